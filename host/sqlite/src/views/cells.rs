//! The values of columns, as SQLite holds them.

use gavel_model::{EventId, RowKey, in_utc};
use gavel_store::views::{Cell, ColumnType};
use rusqlite::types::{Value, ValueRef};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};
use uuid::Uuid;

use crate::cells::{Cells, Reason, reason};

/// The type of a column in SQL.
pub(super) fn sql_type(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Integer | ColumnType::Boolean => "INTEGER",
        ColumnType::Number => "REAL",
        ColumnType::Text | ColumnType::Time | ColumnType::Uuid => "TEXT",
    }
}

/// The value as SQLite has it.
pub(super) fn value(cell: &Cell) -> Value {
    match cell {
        Cell::Integer(number) => Value::Integer(*number),
        Cell::Number(number) => Value::Real(*number),
        Cell::Boolean(value) => Value::Integer(i64::from(*value)),
        Cell::Text(text) => Value::Text(text.clone()),
        Cell::Time(time) => Value::Text(text_of_time(*time)),
        Cell::Uuid(id) => Value::Text(id.to_string()),
    }
}

/// A time in the one form that sorts as times do.
fn text_of_time(time: OffsetDateTime) -> String {
    let time = time.to_offset(UtcOffset::UTC);
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second, micro) = time.to_hms_micro();
    format!(
        "{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micro:06}Z",
        u8::from(month)
    )
}

/// The value that SQLite has; none of NULL.
pub(super) fn cell(kind: ColumnType, value: ValueRef<'_>) -> Result<Option<Cell>, Reason> {
    let cell = match (kind, value) {
        (_, ValueRef::Null) => return Ok(None),
        (ColumnType::Integer, ValueRef::Integer(number)) => Cell::Integer(number),
        (ColumnType::Number, ValueRef::Real(number)) => Cell::Number(number),
        (ColumnType::Boolean, ValueRef::Integer(number)) => Cell::Boolean(number != 0),
        (ColumnType::Text, value) => Cell::Text(value.as_str().map_err(reason)?.to_owned()),
        (ColumnType::Time, value) => {
            let text = value.as_str().map_err(reason)?;
            let time = OffsetDateTime::parse(text, &Rfc3339).map_err(reason)?;
            let time = in_utc(time).ok_or("the time is not of the years 1 to 9999");
            Cell::Time(time.map_err(reason)?)
        }
        (ColumnType::Uuid, value) => {
            let text = value.as_str().map_err(reason)?;
            Cell::Uuid(Uuid::try_parse(text).map_err(reason)?)
        }
        (kind, value) => {
            let found = value.data_type();
            return Err(format!("a column of {kind:?} holds {found}"));
        }
    };
    Ok(Some(cell))
}

impl Cells<'_> {
    pub(super) fn take_row_key(&mut self) -> Result<RowKey, Reason> {
        RowKey::new(self.take_text()?).map_err(reason)
    }

    pub(super) fn take_event_id(&mut self) -> Result<EventId, Reason> {
        self.take_id()
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn times_sort_as_their_texts_do() {
        let times = [
            datetime!(0001-01-01 00:00 UTC),
            datetime!(0999-12-31 23:59:59.999_999 UTC),
            datetime!(2026-02-03 04:05:06 +05:30),
            datetime!(2026-02-03 04:05:06 UTC),
            datetime!(2026-02-03 04:05:06.000_001 UTC),
            datetime!(9999-12-31 23:59:59.999_999 UTC),
        ];
        let texts = times.map(text_of_time);
        assert!(texts.is_sorted(), "{texts:?}");
        assert_eq!(texts[2], "2026-02-02T22:35:06.000000Z");
        for (time, text) in times.iter().zip(&texts) {
            let read = cell(ColumnType::Time, ValueRef::Text(text.as_bytes()));
            assert_eq!(read, Ok(Some(Cell::Time(*time))));
        }
    }
}
