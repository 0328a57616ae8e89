//! The cells of a row, and the conversion of their values.

use std::collections::BTreeMap;

use gavel_model::{
    ActivationKey, DeciderName, EARLIEST, Json, LATEST, Metadata, ModuleDigest, ModuleKind,
    Namespace, Position, StreamId, Version, in_utc,
};
use rusqlite::Row;
use rusqlite::types::FromSql;
use time::OffsetDateTime;
use uuid::Uuid;

/// The fault in a row.
pub(super) type Reason = String;

/// Reads the columns of a row from left to right.
pub(super) struct Cells<'r> {
    row: &'r Row<'r>,
    next: usize,
}

impl<'r> Cells<'r> {
    pub(super) fn of(row: &'r Row<'r>) -> Self {
        Self { row, next: 0 }
    }

    pub(super) fn step(&mut self) -> usize {
        self.next += 1;
        self.next - 1
    }

    pub(super) fn take<T: FromSql>(&mut self) -> Result<T, Reason> {
        self.row.get(self.step()).map_err(reason)
    }

    pub(super) fn take_text(&mut self) -> Result<&'r str, Reason> {
        let cell = self.row.get_ref(self.step()).map_err(reason)?;
        cell.as_str().map_err(reason)
    }

    pub(super) fn take_id(&mut self) -> Result<Uuid, Reason> {
        self.take().map(Uuid::from_bytes)
    }

    pub(super) fn take_u32(&mut self) -> Result<u32, Reason> {
        u32::try_from(self.take::<i64>()?).map_err(reason)
    }

    pub(super) fn take_position(&mut self) -> Result<Position, Reason> {
        self.take_text()?.parse().map_err(reason)
    }

    pub(super) fn take_count(&mut self) -> Result<u64, Reason> {
        u64::try_from(self.take::<i64>()?).map_err(reason)
    }

    pub(super) fn take_version(&mut self) -> Result<Version, Reason> {
        Version::from_sql(self.take()?).ok_or_else(|| "a version is negative".to_owned())
    }

    pub(super) fn take_time(&mut self) -> Result<OffsetDateTime, Reason> {
        time(self.take()?)
    }

    pub(super) fn take_optional_time(&mut self) -> Result<Option<OffsetDateTime>, Reason> {
        self.take::<Option<i64>>()?.map(time).transpose()
    }

    pub(super) fn take_json(&mut self) -> Result<Json, Reason> {
        Json::from_stored(self.take()?).map_err(reason)
    }

    pub(super) fn take_list(&mut self) -> Result<Vec<String>, Reason> {
        serde_json::from_str(self.take_text()?).map_err(reason)
    }

    /// Takes metadata, of which there is none in a cell that is NULL.
    pub(super) fn take_metadata(&mut self) -> Result<Metadata, Reason> {
        let cell = self.row.get_ref(self.step()).map_err(reason)?;
        let Some(text) = cell.as_str_or_null().map_err(reason)? else {
            return Ok(Metadata::default());
        };
        let entries: BTreeMap<String, String> = serde_json::from_str(text).map_err(reason)?;
        Ok(Metadata::from_stored(entries))
    }

    pub(super) fn take_digest(&mut self) -> Result<ModuleDigest, Reason> {
        self.take_text()?.parse().map_err(reason)
    }

    pub(super) fn take_optional_digest(&mut self) -> Result<Option<ModuleDigest>, Reason> {
        let text = self.take::<Option<String>>()?;
        text.map(|text| text.parse()).transpose().map_err(reason)
    }

    pub(super) fn take_kind(&mut self) -> Result<ModuleKind, Reason> {
        let name = self.take_text()?;
        ModuleKind::from_name(name).ok_or_else(|| format!("`{name}` is no kind of module"))
    }

    pub(super) fn take_key(&mut self) -> Result<ActivationKey, Reason> {
        let namespace = Namespace::new(self.take_text()?).map_err(reason)?;
        let kind = self.take_kind()?;
        ActivationKey::new(namespace, kind, self.take_text()?).map_err(reason)
    }

    pub(super) fn take_stream(&mut self) -> Result<StreamId, Reason> {
        let namespace = Namespace::new(self.take_text()?).map_err(reason)?;
        let decider = DeciderName::new(self.take_text()?).map_err(reason)?;
        StreamId::new(namespace, decider, self.take_text()?).map_err(reason)
    }
}

pub(super) fn reason(error: impl ToString) -> Reason {
    error.to_string()
}

/// A time as a column holds it. Finer parts are cut off.
pub(super) fn milliseconds(time: OffsetDateTime) -> i64 {
    let milliseconds = time.unix_timestamp_nanos().div_euclid(1_000_000);
    i64::try_from(milliseconds).expect("all times of this type are within ten thousand years")
}

/// The time that a column holds.
fn time(milliseconds: i64) -> Result<OffsetDateTime, Reason> {
    let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000);
    in_utc(time.map_err(reason)?).ok_or_else(|| "the time is not of the years 1 to 9999".to_owned())
}

/// The time that a column holds, or the nearest that we do: where a time that is out of range must
/// not hide the row.
pub(super) fn nearest_time(milliseconds: i64) -> OffsetDateTime {
    let nearest = if milliseconds < 0 { EARLIEST } else { LATEST };
    time(milliseconds).unwrap_or(nearest)
}
