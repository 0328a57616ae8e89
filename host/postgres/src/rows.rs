//! The rows of the tables as types of the model. A row that cannot be read is reported, never left
//! out.

use std::collections::BTreeMap;

use gavel_model::{
    Activation, ActivationKey, ActivationNumber, DeciderName, Json, Metadata, ModuleDigest,
    ModuleKind, Namespace, NewEvent, Position, RecordedEvent, StreamId, Version, in_utc,
};
use gavel_store::toolkit::lean;
use gavel_store::{
    Beat, Counted, Error, Place, RehearsalRecord, StoredModule, StreamHead, StreamSummary,
};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgHasArrayType, PgRow, PgTypeInfo, PgValueRef};
use sqlx::types::Json as SqlJson;
use sqlx::{Decode, Postgres, Row as _, Type};
use time::OffsetDateTime;
use time::macros::datetime;
use uuid::Uuid;

/// The columns that [`event`] reads. Those that have no binary form or type of ours come as text,
/// under another name: by the name of a column ORDER BY means what is selected, and texts of
/// numbers sort otherwise. The table, or what stands for it, has to be called `events`.
macro_rules! event_columns {
    () => {
        "event, event_id, event_version, decider, decider_id, data::TEXT AS data_text, command_id, previous_id, final, created_at, \
         \"offset\", transaction_id::TEXT AS transaction_text, namespace, version, tags, metadata, generation, \
         CASE WHEN activation IS NOT NULL THEN (SELECT a.digest FROM activations AS a WHERE a.namespace = events.namespace \
             AND a.kind = 'decider' AND a.name = events.decider AND a.number = events.activation) END AS module"
    };
}

/// The columns that [`module`] reads.
macro_rules! module_columns {
    () => {
        "digest, kind, contract, name, size_bytes, manifest::TEXT AS manifest_text, imports, uploaded_at"
    };
}

/// The columns that [`activation`] reads.
macro_rules! activation_columns {
    () => {
        "namespace, kind, name, number, digest, replaces, activated_at, activated_by, message, accepted, report::TEXT AS report_text"
    };
}

/// The columns that [`rehearsal`] reads.
macro_rules! rehearsal_columns {
    () => {
        "id, namespace, kind, name, digest, is_over, seen_at, document::TEXT AS document_text"
    };
}

pub(super) use {activation_columns, event_columns, module_columns, rehearsal_columns};

/// The reason for which a row cannot be read, in words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unreadable(String);

pub(super) type Read<T> = Result<T, Unreadable>;

impl Unreadable {
    /// The error for a row that is no event.
    pub(super) fn of(self, what: &'static str) -> Error {
        Error::Corrupt {
            what,
            reason: self.0,
        }
    }
}

pub(super) fn unreadable(error: impl std::fmt::Display) -> Unreadable {
    Unreadable(error.to_string())
}

pub(super) fn column<'r, T>(row: &'r PgRow, name: &str) -> Read<T>
where
    T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    row.try_get(name).map_err(unreadable)
}

/// A time of a row. The database holds others than we do (`-infinity`, the year 20000, those before
/// Christ), at which the decoding of [`OffsetDateTime`] panics.
#[derive(Debug)]
pub(super) struct Time(pub(super) OffsetDateTime);

impl Type<Postgres> for Time {
    fn type_info() -> PgTypeInfo {
        <OffsetDateTime as Type<Postgres>>::type_info()
    }
}

impl PgHasArrayType for Time {
    fn array_type_info() -> PgTypeInfo {
        <OffsetDateTime as PgHasArrayType>::array_type_info()
    }
}

impl Decode<'_, Postgres> for Time {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        const EPOCH: OffsetDateTime = datetime!(2000-01-01 00:00 UTC);
        let microseconds = <i64 as Decode<Postgres>>::decode(value)?;
        let time = EPOCH.checked_add(time::Duration::microseconds(microseconds));
        let time = time.and_then(in_utc);
        time.map(Self)
            .ok_or_else(|| "the time is not of the years 1 to 9999".into())
    }
}

pub(super) fn time(row: &PgRow, name: &str) -> Read<OffsetDateTime> {
    column(row, name).map(|Time(time)| time)
}

/// The reason for which `gavel_append` refused a part, in the order of the checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum AppendRefusal {
    /// Another writer has the stream locked.
    Held,
    Fenced,
    DuplicateCommand,
    Final,
    Conflict,
    WrongPreviousId,
    Unregistered,
    DuplicateEvent,
}

impl AppendRefusal {
    fn from_code(code: &str) -> Read<Self> {
        Ok(match code {
            "held" => Self::Held,
            "fenced" => Self::Fenced,
            "duplicate-command" => Self::DuplicateCommand,
            "final" => Self::Final,
            "conflict" => Self::Conflict,
            "wrong-previous-id" => Self::WrongPreviousId,
            "unregistered" => Self::Unregistered,
            "duplicate-event" => Self::DuplicateEvent,
            other => return Err(Unreadable(format!("unknown refusal `{other}`"))),
        })
    }
}

/// The answer of `gavel_append` for one part.
#[derive(Debug)]
pub(super) struct PartOutcome {
    pub(super) refused: Option<AppendRefusal>,
    pub(super) number: Option<i64>,
    pub(super) id: Option<Uuid>,
    pub(super) version: Version,
    pub(super) previous_id: Option<Uuid>,
    pub(super) created_at: OffsetDateTime,
}

/// The answer of `gavel_append`, which explains its columns.
#[derive(Debug)]
pub(super) struct BatchOutcome {
    pub(super) parts: Vec<PartOutcome>,
    /// The positions of all events that were stored, in order.
    pub(super) positions: Vec<Position>,
}

impl BatchOutcome {
    /// The columns that [`BatchOutcome::from_row`] reads.
    pub(super) const COLUMNS: &str = "refused, number, id, version, previous_id, created_at, generation, \
         transaction_id::TEXT AS transaction_text, offsets";

    pub(super) fn from_row(row: &PgRow) -> Read<Self> {
        // Nothing at all where nothing is refused.
        let refused: Option<Vec<Option<String>>> = column(row, "refused")?;
        let number: Option<Vec<Option<i64>>> = column(row, "number")?;
        let id: Option<Vec<Option<Uuid>>> = column(row, "id")?;
        let versions: Vec<i64> = column(row, "version")?;
        let previous_id: Vec<Option<Uuid>> = column(row, "previous_id")?;
        let created_at: Vec<Time> = column(row, "created_at")?;
        let nothing = versions.len();
        let refused = refused.unwrap_or_else(|| vec![None; nothing]);
        let number = number.unwrap_or_else(|| vec![None; nothing]);
        let id = id.unwrap_or_else(|| vec![None; nothing]);
        let facts = number.into_iter().zip(id);
        let at = versions.into_iter().zip(previous_id).zip(created_at);
        let parts = refused.into_iter().zip(facts).zip(at);
        let parts = parts.map(
            |((refused, (number, id)), ((version, previous_id), Time(created_at)))| {
                Ok(PartOutcome {
                    refused: refused
                        .as_deref()
                        .map(AppendRefusal::from_code)
                        .transpose()?,
                    number,
                    id,
                    version: Version::from_sql(version)
                        .ok_or_else(|| Unreadable(format!("version is {version}")))?,
                    previous_id,
                    created_at,
                })
            },
        );
        let parts = parts.collect::<Read<_>>()?;
        let offsets: Option<Vec<i64>> = column(row, "offsets")?;
        let offsets = offsets.unwrap_or_default().into_iter();
        let positions = offsets.map(|offset| position(row, offset));
        Ok(Self {
            parts,
            positions: positions.collect::<Read<_>>()?,
        })
    }
}

pub(super) fn version(row: &PgRow, name: &str) -> Read<Version> {
    let number = column(row, name)?;
    Version::from_sql(number).ok_or_else(|| Unreadable(format!("{name} is {number}")))
}

pub(super) fn position(row: &PgRow, offset: i64) -> Read<Position> {
    let generation: i32 = column(row, "generation")?;
    let transaction: &str = column(row, "transaction_text")?;
    Ok(Position::new(
        u64::try_from(generation).map_err(unreadable)?,
        transaction.parse().map_err(unreadable)?,
        u64::try_from(offset).map_err(unreadable)?,
    ))
}

pub(super) fn stream(row: &PgRow) -> Read<StreamId> {
    let namespace = Namespace::new(column::<&str>(row, "namespace")?).map_err(unreadable)?;
    let decider = DeciderName::new(column::<&str>(row, "decider")?).map_err(unreadable)?;
    StreamId::new(namespace, decider, column::<&str>(row, "decider_id")?).map_err(unreadable)
}

fn json(row: &PgRow, name: &str) -> Read<Json> {
    Json::from_stored(column(row, name)?).map_err(unreadable)
}

pub(super) fn metadata(row: &PgRow) -> Read<Metadata> {
    let SqlJson(entries): SqlJson<BTreeMap<String, String>> = column(row, "metadata")?;
    Ok(Metadata::from_stored(entries))
}

pub(super) fn digest(text: &str) -> Read<ModuleDigest> {
    text.parse().map_err(unreadable)
}

/// An event, from a row with the columns of `event_columns!`.
pub(super) fn event(row: &PgRow) -> Result<RecordedEvent, Error> {
    let place = || position(row, column(row, "offset")?);
    let position = place().map_err(|reason| reason.of("event"))?;
    let read = || -> Read<RecordedEvent> {
        let schema_version: i64 = column(row, "event_version")?;
        let command_id = column(row, "command_id")?;
        Ok(RecordedEvent {
            stream: stream(row)?,
            version: version(row, "version")?,
            position,
            previous_id: column(row, "previous_id")?,
            created_at: time(row, "created_at")?,
            event: NewEvent {
                event_id: column(row, "event_id")?,
                event: column(row, "event")?,
                schema_version: schema_version.try_into().map_err(unreadable)?,
                data: json(row, "data_text")?,
                is_final: column(row, "final")?,
                tags: column(row, "tags")?,
                metadata: match column(row, "module")? {
                    Some(module) => lean::whole(metadata(row)?, module, command_id),
                    None => metadata(row)?,
                },
                command_id,
            },
        })
    };
    read().map_err(|Unreadable(reason)| {
        let text = |name| column::<String>(row, name).unwrap_or_default();
        let [namespace, decider, id] = ["namespace", "decider", "decider_id"].map(text);
        Error::Malformed {
            stream: format!("{namespace}/{decider}/{id}"),
            position,
            reason,
            raw: text("data_text"),
        }
    })
}

pub(super) fn head(row: &PgRow) -> Read<StreamHead> {
    Ok(StreamHead {
        version: version(row, "version")?,
        last_event_id: column(row, "last_event_id")?,
        is_final: column(row, "final")?,
    })
}

pub(super) fn summary(row: &PgRow) -> Read<StreamSummary> {
    Ok(StreamSummary {
        id: column(row, "decider_id")?,
        version: version(row, "version")?,
        is_final: column(row, "final")?,
        updated_at: time(row, "updated_at")?,
    })
}

pub(super) fn version_column(row: &PgRow) -> Read<Version> {
    version(row, "version")
}

/// The index of the look-up that found the row, from 0.
pub(super) fn place(row: &PgRow) -> Read<usize> {
    let place: i64 = column(row, "place")?;
    usize::try_from(place - 1).map_err(unreadable)
}

/// The events of a page of heads, and its last stream if it may not be the last of all.
pub(super) fn counted(row: &PgRow, limit: u32) -> Read<Counted> {
    let last: Option<String> = column(row, "last")?;
    let is_full = column::<i64>(row, "streams")? == i64::from(limit);
    Ok(Counted {
        events: column::<i64>(row, "events")?
            .try_into()
            .map_err(unreadable)?,
        end: last.filter(|_| is_full).map(|id| Place {
            id,
            // All of them.
            version: Version::EMPTY.plus(usize::MAX),
        }),
    })
}

pub(super) fn rehearsal(row: &PgRow) -> Read<RehearsalRecord> {
    Ok(RehearsalRecord {
        id: column(row, "id")?,
        key: activation_key(row)?,
        digest: digest(column(row, "digest")?)?,
        is_over: column(row, "is_over")?,
        seen_at: time(row, "seen_at")?,
        document: json(row, "document_text")?,
    })
}

pub(super) fn beat(row: &PgRow) -> Read<Beat> {
    Ok(Beat {
        namespace: Namespace::new(column::<&str>(row, "namespace")?).map_err(unreadable)?,
        id: column(row, "id")?,
        seen_at: time(row, "seen_at")?,
    })
}

pub(super) fn module(row: &PgRow) -> Read<StoredModule> {
    let size: i64 = column(row, "size_bytes")?;
    Ok(StoredModule {
        digest: digest(column(row, "digest")?)?,
        size_bytes: size.try_into().map_err(unreadable)?,
        kind: kind(row)?,
        contract: column(row, "contract")?,
        name: column(row, "name")?,
        manifest: json(row, "manifest_text")?,
        imports: column(row, "imports")?,
        uploaded_at: time(row, "uploaded_at")?,
    })
}

fn kind(row: &PgRow) -> Read<ModuleKind> {
    let name: &str = column(row, "kind")?;
    ModuleKind::from_name(name).ok_or_else(|| Unreadable(format!("`{name}` is no kind of module")))
}

fn activation_key(row: &PgRow) -> Read<ActivationKey> {
    let namespace = Namespace::new(column::<&str>(row, "namespace")?).map_err(unreadable)?;
    let name: &str = column(row, "name")?;
    ActivationKey::new(namespace, kind(row)?, name).map_err(unreadable)
}

pub(super) fn activation(row: &PgRow) -> Read<Activation> {
    let optional_digest = |name| {
        let text: Option<&str> = column(row, name)?;
        text.map(digest).transpose()
    };
    Ok(Activation {
        key: activation_key(row)?,
        number: ActivationNumber::new(column(row, "number")?),
        digest: optional_digest("digest")?,
        replaces: optional_digest("replaces")?,
        activated_at: time(row, "activated_at")?,
        activated_by: column(row, "activated_by")?,
        message: column(row, "message")?,
        accepted: column(row, "accepted")?,
        report: json(row, "report_text")?,
    })
}
