//! New rows of a table, copied into it.

use std::fmt::Write as _;

use gavel_store::views::{Cell, KeyedRow};
use sqlx::postgres::PgConnection;
use time::format_description::well_known::Rfc3339;

/// The number of rows from which on they are copied: fewer are written sooner by one statement.
pub(super) const ROWS: usize = 1_000;
/// The size of a piece that is sent at once, in bytes, about.
const PIECE_BYTES: usize = 256 * 1024;

/// Copies rows, with a statement that names table and columns. Given up, it leaves the connection
/// out of step.
///
/// # Errors
///
/// [`sqlx::Error`]; a row that was there already is a violation of the table's key.
pub(super) async fn copy(
    connection: &mut PgConnection,
    statement: &str,
    rows: &[KeyedRow],
) -> Result<(), sqlx::Error> {
    let mut copy = connection.copy_in_raw(statement).await?;
    let mut piece = String::with_capacity(PIECE_BYTES);
    for row in rows {
        write_row(&mut piece, row);
        if piece.len() >= PIECE_BYTES {
            copy.send(piece.as_bytes()).await?;
            piece.clear();
        }
    }
    copy.send(piece.as_bytes()).await?;
    copy.finish().await?;
    Ok(())
}

/// Writes a line of the text format of COPY: see *File Formats* in PostgreSQL's documentation of
/// it.
fn write_row(line: &mut String, row: &KeyedRow) {
    write_text(line, row.key.as_str());
    line.push('\t');
    write_text(line, &row.position.to_string());
    line.push('\t');
    write_text(line, row.value.as_str());
    for cell in &row.cells {
        line.push('\t');
        match cell {
            Some(cell) => write_cell(line, cell),
            None => line.push_str("\\N"),
        }
    }
    line.push('\n');
}

fn write_cell(line: &mut String, cell: &Cell) {
    // Writing to a string does not fail.
    let _ = match cell {
        Cell::Integer(number) => write!(line, "{number}"),
        Cell::Number(number) => write!(line, "{number:e}"),
        Cell::Boolean(value) => write!(line, "{value}"),
        Cell::Uuid(id) => write!(line, "{id}"),
        Cell::Text(text) => {
            write_text(line, text);
            Ok(())
        }
        Cell::Time(time) => {
            // Of the years 1 to 9999, all of which have this form.
            line.push_str(&time.format(&Rfc3339).unwrap_or_default());
            Ok(())
        }
    };
}

fn write_text(line: &mut String, text: &str) {
    let mut rest = text;
    while let Some(place) = rest.find(['\\', '\t', '\n', '\r']) {
        let (plain, special) = rest.split_at(place);
        line.push_str(plain);
        line.push_str(match special.as_bytes()[0] {
            b'\\' => "\\\\",
            b'\t' => "\\t",
            b'\n' => "\\n",
            _ => "\\r",
        });
        rest = &special[1..];
    }
    line.push_str(rest);
}
