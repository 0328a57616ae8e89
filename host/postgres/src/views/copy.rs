//! New rows of a table, copied into it.

use std::fmt::Write as _;

use gavel_store::views::{Cell, CommitError, KeyedRow, RowsChange};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use time::format_description::well_known::Rfc3339;
use tokio::time::timeout;

use super::PostgresViews;
use super::change::{not_changed, outcome};
use super::known::KnownTable;
use crate::error::is_lost_race;
use crate::query::{ANSWER_TIMEOUT, StatementError, answered, run_on};

/// The number of rows from which on they are copied: fewer are written sooner by one statement.
pub(super) const ROWS: usize = 1_000;
/// The size of a piece that is sent at once, in bytes, about.
const PIECE_BYTES: usize = 256 * 1024;

impl PostgresViews {
    /// Moves a table on, and copies rows into it. Gives whether none of them was there before; if
    /// one was, nothing is changed. Dropped midway, nothing is changed.
    pub(super) async fn copy_rows(
        &self,
        table: &KnownTable,
        change: &RowsChange,
    ) -> Result<bool, CommitError> {
        let mut connection = answered(self.pool.acquire()).await?;
        // A copy that is given up leaves it out of step.
        connection.close_on_drop();
        let mut tx = answered(connection.begin()).await?;
        let moved = run_on(&mut tx, self.moving_alone(change)).await;
        outcome(&moved.map_err(not_changed)?)?;
        let copied = timeout(ANSWER_TIMEOUT, copy(&mut tx, &table.copy, &change.put)).await;
        let copied = copied.map_err(|elapsed| StatementError::Lost(elapsed.into()));
        match copied.and_then(|copied| copied.map_err(StatementError::from)) {
            Ok(()) => answered(tx.commit()).await?,
            Err(failure) if is_lost_race(&failure) => return Ok(false),
            Err(failure) => return Err(not_changed(failure)),
        }
        Ok(true)
    }
}

async fn copy(
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
