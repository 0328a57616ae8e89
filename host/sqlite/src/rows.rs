//! The conversion of rows. A row that cannot be read is reported, never left out.

use gavel_model::{
    Activation, ActivationKey, ActivationNumber, CommandId, Event, ModuleDigest, ModuleKind,
    Namespace, NewEvent, Position, RecordedEvent, StreamId, Version,
};
use gavel_store::toolkit::admit::Tip;
use gavel_store::toolkit::lean::whole;
use gavel_store::{
    Beat, Error, PastRange, Place, RehearsalRecord, StoredModule, StreamHead, StreamSummary,
};
use rusqlite::Row;
use rusqlite::types::ValueRef;
use serde::Serialize;
use uuid::Uuid;

use super::cells::{Cells, Reason, reason};
pub(super) use super::cells::{milliseconds, nearest_time};
use super::error::SqliteError;
use super::generations::Generations;
pub(super) use super::query::{all, one};

/// The columns that [`event`] reads, in its order.
macro_rules! event_columns {
    () => {
        r#""offset", version, previous_id, created_at, event, event_id, event_version, data, final, tags, metadata, command_id,
        (SELECT digest FROM activations
         WHERE namespace = events.namespace AND kind = 'decider' AND name = events.decider AND number = events.activation)"#
    };
}

/// The columns that [`past_event`] reads, in its order, and the one that names its place when it
/// cannot be read.
macro_rules! history_columns {
    () => {
        r#"event, event_version, data, final, tags, version, event_id, "offset""#
    };
}

/// The columns that [`event_of_past`] reads, in its order, and the one that names its place when it
/// cannot be read.
macro_rules! passage_columns {
    () => {
        r#"decider_id, version, event, event_version, data, final, tags, command_id, "offset""#
    };
}

/// The columns that [`event_of_log`] reads, in its order.
macro_rules! log_columns {
    () => {
        concat!(
            crate::rows::event_columns!(),
            ", namespace, decider, decider_id"
        )
    };
}

/// The columns that [`module`] reads, in its order.
macro_rules! module_columns {
    () => {
        "digest, size_bytes, kind, contract, name, manifest, imports, uploaded_at"
    };
}

/// The columns that [`activation`] reads, in its order.
macro_rules! activation_columns {
    () => {
        "namespace, kind, name, number, digest, replaces, activated_at, activated_by, message, accepted, report"
    };
}

/// The columns that [`rehearsal`] reads, in its order.
macro_rules! rehearsal_columns {
    () => {
        "id, namespace, kind, name, digest, is_over, seen_at, document"
    };
}

pub(super) use {
    activation_columns, event_columns, history_columns, log_columns, module_columns,
    passage_columns, rehearsal_columns,
};

/// The event of a row of `stream`.
pub(super) fn event(
    row: &Row<'_>,
    generations: &Generations<'_>,
    stream: &StreamId,
) -> Result<RecordedEvent, SqliteError> {
    let position = generations.position(row.get(0)?)?;
    read_event(&mut Cells::of(row), position, |_| Ok(stream.clone()))
        .map_err(|reason| malformed(row, generations, stream.to_string(), reason))
}

/// The event in a row of `stream`, as folding needs it, and the head of the stream after it.
pub(super) fn past_event(
    row: &Row<'_>,
    generations: &Generations<'_>,
    stream: &StreamId,
) -> Result<(Event, StreamHead), SqliteError> {
    let read = |cells: &mut Cells<'_>| -> Result<_, Reason> {
        let event = read_past_event(cells)?;
        let head = StreamHead {
            version: cells.take_version()?,
            last_event_id: Some(cells.take_id()?),
            is_final: event.is_final,
        };
        Ok((event, head))
    };
    read(&mut Cells::of(row))
        .map_err(|reason| malformed(row, generations, stream.to_string(), reason))
}

/// The event in a row of one decider's streams, as folding needs it: the id of the stream, the
/// version, the event, and its command.
pub(super) fn event_of_past<'r>(
    row: &'r Row<'_>,
    generations: &Generations<'_>,
    range: &PastRange,
) -> Result<(&'r str, Version, Event, CommandId), SqliteError> {
    let read = |cells: &mut Cells<'r>| -> Result<_, Reason> {
        Ok((
            cells.take_text()?,
            cells.take_version()?,
            read_past_event(cells)?,
            cells.take_id()?,
        ))
    };
    read(&mut Cells::of(row)).map_err(|reason| {
        let id = lossy(row, "decider_id");
        malformed(
            row,
            generations,
            format!("{}/{}/{id}", range.namespace, range.decider),
            reason,
        )
    })
}

fn read_past_event(cells: &mut Cells<'_>) -> Result<Event, Reason> {
    Ok(Event {
        name: cells.take()?,
        schema_version: cells.take_u32()?,
        data: cells.take_json()?,
        is_final: cells.take()?,
        tags: cells.take_list()?,
    })
}

/// The event of a row that names its stream.
pub(super) fn event_of_log(
    row: &Row<'_>,
    generations: &Generations<'_>,
) -> Result<RecordedEvent, SqliteError> {
    let position = generations.position(row.get(0)?)?;
    read_event(&mut Cells::of(row), position, Cells::take_stream).map_err(|reason| {
        let names = ["namespace", "decider", "decider_id"].map(|name| lossy(row, name));
        malformed(row, generations, names.join("/"), reason)
    })
}

fn read_event<'r>(
    cells: &mut Cells<'r>,
    position: Position,
    stream: impl FnOnce(&mut Cells<'r>) -> Result<StreamId, Reason>,
) -> Result<RecordedEvent, Reason> {
    // The offset, of which the position was made.
    cells.step();
    let version = cells.take_version()?;
    let previous_id = cells.take::<Option<_>>()?.map(Uuid::from_bytes);
    let created_at = cells.take_time()?;
    let event: String = cells.take()?;
    let mut event = NewEvent {
        event,
        event_id: cells.take_id()?,
        schema_version: cells.take_u32()?,
        data: cells.take_json()?,
        is_final: cells.take()?,
        tags: cells.take_list()?,
        metadata: cells.take_metadata()?,
        command_id: cells.take_id()?,
    };
    if let Some(module) = cells.take::<Option<String>>()? {
        event.metadata = whole(event.metadata, &module, event.command_id);
    }
    Ok(RecordedEvent {
        stream: stream(cells)?,
        version,
        position,
        previous_id,
        created_at,
        event,
    })
}

fn malformed(
    row: &Row<'_>,
    generations: &Generations<'_>,
    stream: String,
    reason: Reason,
) -> SqliteError {
    let offset = row.get("offset").map_err(SqliteError::from);
    match offset.and_then(|offset| generations.position(offset)) {
        Ok(position) => Error::Malformed {
            stream,
            position,
            reason,
            raw: lossy(row, "data"),
        }
        .into(),
        Err(error) => error,
    }
}

/// A column of a row that cannot be read, as well as can be.
fn lossy(row: &Row<'_>, column: &str) -> String {
    match row.get_ref(column) {
        Ok(ValueRef::Text(bytes) | ValueRef::Blob(bytes)) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
        _ => String::new(),
    }
}

/// A row of the modules, without the bytes.
pub(super) fn module(row: &Row<'_>) -> Result<StoredModule, SqliteError> {
    let read = |cells: &mut Cells<'_>| -> Result<StoredModule, Reason> {
        Ok(StoredModule {
            digest: cells.take_digest()?,
            size_bytes: u64::try_from(cells.take::<i64>()?).map_err(reason)?,
            kind: cells.take_kind()?,
            contract: cells.take()?,
            name: cells.take()?,
            manifest: cells.take_json()?,
            imports: cells.take_list()?,
            uploaded_at: cells.take_time()?,
        })
    };
    read(&mut Cells::of(row)).map_err(corrupt("module"))
}

/// A row of the activation log.
pub(super) fn activation(row: &Row<'_>) -> Result<Activation, SqliteError> {
    let read = |cells: &mut Cells<'_>| -> Result<Activation, Reason> {
        Ok(Activation {
            key: cells.take_key()?,
            number: ActivationNumber::new(cells.take()?),
            digest: cells.take_optional_digest()?,
            replaces: cells.take_optional_digest()?,
            activated_at: cells.take_time()?,
            activated_by: cells.take()?,
            message: cells.take()?,
            accepted: cells.take_list()?,
            report: cells.take_json()?,
        })
    };
    read(&mut Cells::of(row)).map_err(corrupt("activation"))
}

/// The values that find what belongs to a key.
pub(super) fn key(key: &ActivationKey) -> [&str; 3] {
    [
        key.namespace().as_str(),
        key.kind().as_str(),
        key.name().as_str(),
    ]
}

/// A kind of module.
pub(super) fn kind(row: &Row<'_>) -> Result<ModuleKind, SqliteError> {
    Cells::of(row).take_kind().map_err(corrupt("activation"))
}

/// The number and the module of an activation.
pub(super) fn pointer(
    row: &Row<'_>,
) -> Result<(ActivationNumber, Option<ModuleDigest>), SqliteError> {
    let read = |cells: &mut Cells<'_>| -> Result<_, Reason> {
        let number = ActivationNumber::new(cells.take()?);
        Ok((number, cells.take_optional_digest()?))
    };
    read(&mut Cells::of(row)).map_err(corrupt("activation"))
}

/// A stream's id and a version.
pub(super) fn place(row: &Row<'_>) -> Result<Place, SqliteError> {
    let read = |cells: &mut Cells<'_>| -> Result<_, Reason> {
        Ok(Place {
            id: cells.take_text()?.to_owned(),
            version: cells.take_version()?,
        })
    };
    read(&mut Cells::of(row)).map_err(corrupt("event"))
}

/// A rehearsal.
pub(super) fn rehearsal(row: &Row<'_>) -> Result<RehearsalRecord, SqliteError> {
    let read = |cells: &mut Cells<'_>| -> Result<RehearsalRecord, Reason> {
        Ok(RehearsalRecord {
            id: cells.take_id()?,
            key: cells.take_key()?,
            digest: cells.take_digest()?,
            is_over: cells.take()?,
            seen_at: cells.take_time()?,
            document: cells.take_json()?,
        })
    };
    read(&mut Cells::of(row)).map_err(corrupt("rehearsal"))
}

/// A sign of life of the host that works on a rehearsal.
pub(super) fn beat(row: &Row<'_>) -> Result<Beat, SqliteError> {
    let read = |cells: &mut Cells<'_>| -> Result<Beat, Reason> {
        Ok(Beat {
            namespace: Namespace::new(cells.take_text()?).map_err(reason)?,
            id: cells.take_id()?,
            seen_at: cells.take_time()?,
        })
    };
    read(&mut Cells::of(row)).map_err(corrupt("rehearsal"))
}

/// The newest event of a stream: version, id, `final`, time.
pub(super) fn tip(row: &Row<'_>) -> Result<Tip, SqliteError> {
    let read = |cells: &mut Cells<'_>| -> Result<Tip, Reason> {
        Ok(Tip {
            head: StreamHead {
                version: cells.take_version()?,
                last_event_id: Some(cells.take_id()?),
                is_final: cells.take()?,
            },
            updated_at: Some(cells.take_time()?),
        })
    };
    read(&mut Cells::of(row)).map_err(corrupt("stream head"))
}

/// A row of the list of streams: id, version, `final`, time.
pub(super) fn summary(row: &Row<'_>) -> Result<StreamSummary, SqliteError> {
    let read = |cells: &mut Cells<'_>| -> Result<StreamSummary, Reason> {
        Ok(StreamSummary {
            id: cells.take()?,
            version: cells.take_version()?,
            is_final: cells.take()?,
            updated_at: nearest_time(cells.take()?),
        })
    };
    read(&mut Cells::of(row)).map_err(corrupt("stream head"))
}

pub(super) fn corrupt(what: &'static str) -> impl FnOnce(Reason) -> SqliteError {
    move |reason| Error::Corrupt { what, reason }.into()
}

/// The text of names and labels as JSON.
pub(super) fn json_text<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("text, numbers, lists and maps of text are JSON")
}

/// The values that name a stream.
pub(super) fn names(stream: &StreamId) -> [&str; 3] {
    [
        stream.namespace().as_str(),
        stream.decider().as_str(),
        stream.id(),
    ]
}
