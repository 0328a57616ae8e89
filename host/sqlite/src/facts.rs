//! The look-up of the facts that a batch of appends is checked against.

use std::collections::HashSet;

use gavel_model::{ActivationKey, ActivationNumber, StreamId};
use gavel_store::toolkit::admit::{Facts, registry_key};
use gavel_store::{Append, StreamAppend};
use rusqlite::{Connection, params};

use super::error::SqliteError;
use super::events::HEAD;
use super::{generations, rows};

const ACTIVATION: &str =
    "SELECT max(number) FROM activations WHERE namespace = ?1 AND kind = ?2 AND name = ?3";

const COMMAND: &str = "SELECT 1 FROM commands WHERE namespace = ?1 AND command_id = ?2";

const REGISTERED: &str =
    "SELECT 1 FROM deciders WHERE decider = ?1 AND event = ?2 AND event_version = ?3";

const EVENT_ID: &str = "SELECT 1 FROM events WHERE event_id = ?1";

const LAST_OFFSET: &str = r#"SELECT max("offset") FROM events"#;

/// Loads all facts that `appends` can touch, as they are inside this transaction.
pub(super) fn load_in_tx(tx: &Connection, appends: &[Append]) -> Result<Facts, SqliteError> {
    let parts = || appends.iter().flat_map(|append| &append.parts);
    let mut facts = Facts::default();
    load_tips(tx, &mut facts, parts())?;
    load_activations(tx, &mut facts, parts())?;
    load_commands(tx, &mut facts, parts())?;
    load_registry(tx, &mut facts, parts())?;
    load_event_ids(tx, &mut facts, parts())?;
    let last: Option<i64> = tx
        .prepare_cached(LAST_OFFSET)?
        .query_row([], |row| row.get(0))?;
    facts.generation = generations::newest_in_tx(tx)?;
    facts.last_offset = last.map_or(0, i64::unsigned_abs);
    Ok(facts)
}

fn load_tips<'a>(
    tx: &Connection,
    facts: &mut Facts,
    parts: impl Iterator<Item = &'a StreamAppend>,
) -> Result<(), SqliteError> {
    let streams: HashSet<&StreamId> = parts.map(|part| &part.stream).collect();
    for stream in streams {
        if let Some(tip) = rows::one(tx, HEAD, rows::names(stream), rows::tip)? {
            facts.tips.insert(stream.clone(), tip);
        }
    }
    Ok(())
}

fn load_activations<'a>(
    tx: &Connection,
    facts: &mut Facts,
    parts: impl Iterator<Item = &'a StreamAppend>,
) -> Result<(), SqliteError> {
    let mut select = tx.prepare_cached(ACTIVATION)?;
    let fences = parts.filter_map(|part| Some(part.fence?.key(&part.stream)));
    let keys: HashSet<ActivationKey> = fences.collect();
    for key in keys {
        let newest: Option<i64> = select.query_row(rows::key(&key), |row| row.get(0))?;
        if let Some(newest) = newest {
            facts.activations.insert(key, ActivationNumber::new(newest));
        }
    }
    Ok(())
}

fn load_commands<'a>(
    tx: &Connection,
    facts: &mut Facts,
    parts: impl Iterator<Item = &'a StreamAppend>,
) -> Result<(), SqliteError> {
    let mut select = tx.prepare_cached(COMMAND)?;
    for part in parts {
        let Some(command) = &part.command else {
            continue;
        };
        let (namespace, id) = (part.stream.namespace(), command.command_id);
        if select.exists(params![namespace.as_str(), id.as_bytes()])? {
            facts.commands.insert((namespace.clone(), id));
        }
    }
    Ok(())
}

fn load_registry<'a>(
    tx: &Connection,
    facts: &mut Facts,
    parts: impl Iterator<Item = &'a StreamAppend>,
) -> Result<(), SqliteError> {
    let mut select = tx.prepare_cached(REGISTERED)?;
    let events = parts.flat_map(|part| part.events.iter().map(move |event| (part, event)));
    let kinds: HashSet<_> = events
        .map(|(part, event)| registry_key(&part.stream, event))
        .collect();
    let registry = facts.registry.get_or_insert_default();
    for kind in kinds {
        if select.exists(params![kind.0.as_str(), kind.1, kind.2])? {
            registry.insert(kind);
        }
    }
    Ok(())
}

fn load_event_ids<'a>(
    tx: &Connection,
    facts: &mut Facts,
    parts: impl Iterator<Item = &'a StreamAppend>,
) -> Result<(), SqliteError> {
    let mut select = tx.prepare_cached(EVENT_ID)?;
    for event in parts.flat_map(|part| &part.events) {
        if select.exists([event.event_id.as_bytes()])? {
            facts.event_ids.insert(event.event_id);
        }
    }
    Ok(())
}
