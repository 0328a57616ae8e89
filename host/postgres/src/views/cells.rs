//! The values of columns on their way to the server and back.

use gavel_store::views::{Cell, ColumnType, KeyedRow};
use sqlx::postgres::PgRow;

use crate::query::Statement;
use crate::rows::{Read, Time, column};

/// Binds a value.
pub(super) fn bind<'q>(statement: Statement<'q>, cell: &Cell) -> Statement<'q> {
    match cell {
        Cell::Integer(number) => statement.bind(*number),
        Cell::Number(number) => statement.bind(*number),
        Cell::Boolean(value) => statement.bind(*value),
        Cell::Text(text) => statement.bind(text.clone()),
        Cell::Time(time) => statement.bind(*time),
        Cell::Uuid(id) => statement.bind(*id),
    }
}

/// Binds the values that rows have in one column, as an array. A value of another type is none: the
/// host has checked all before.
pub(super) fn bind_column<'q>(
    statement: Statement<'q>,
    kind: ColumnType,
    place: usize,
    rows: &[KeyedRow],
) -> Statement<'q> {
    macro_rules! array {
        ($kind:ident, $value:ident => $taken:expr) => {{
            let cells = rows.iter().map(|row| row.cells.get(place)?.as_ref());
            let values = cells.map(|cell| match cell {
                Some(Cell::$kind($value)) => Some($taken),
                _ => None,
            });
            statement.bind(values.collect::<Vec<_>>())
        }};
    }
    match kind {
        ColumnType::Integer => array!(Integer, value => *value),
        ColumnType::Number => array!(Number, value => *value),
        ColumnType::Boolean => array!(Boolean, value => *value),
        ColumnType::Text => array!(Text, value => value.as_str()),
        ColumnType::Time => array!(Time, value => *value),
        ColumnType::Uuid => array!(Uuid, value => *value),
    }
}

/// The value of a column of a row; none of NULL.
pub(super) fn cell(row: &PgRow, name: &str, kind: ColumnType) -> Read<Option<Cell>> {
    Ok(match kind {
        ColumnType::Integer => column::<Option<_>>(row, name)?.map(Cell::Integer),
        ColumnType::Number => column::<Option<_>>(row, name)?.map(Cell::Number),
        ColumnType::Boolean => column::<Option<_>>(row, name)?.map(Cell::Boolean),
        ColumnType::Text => column::<Option<_>>(row, name)?.map(Cell::Text),
        ColumnType::Time => column::<Option<_>>(row, name)?.map(|Time(time)| Cell::Time(time)),
        ColumnType::Uuid => column::<Option<_>>(row, name)?.map(Cell::Uuid),
    })
}
