//! The look-up of the facts that a batch of appends is checked against.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use gavel_model::{ActivationKey, ModuleKind, Namespace, StreamId};
use gavel_store::toolkit::admit::{Facts, Tip, registry_key};
use gavel_store::{Append, StreamAppend};
use rusqlite::{Connection, params};

use super::deciding::DecidingModules;
use super::error::SqliteError;
use super::events::HEAD;
use super::modules::NEWEST;
use super::{generations, rows};

const NEWEST_COMMAND: &str = "SELECT max(command_id) FROM commands WHERE namespace = ?1";

const COMMAND: &str = "SELECT 1 FROM commands WHERE namespace = ?1 AND command_id = ?2";

const REGISTERED: &str =
    "SELECT 1 FROM deciders WHERE decider = ?1 AND event = ?2 AND event_version = ?3";

const NEWEST_EVENT_ID: &str = "SELECT max(event_id) FROM events";

const EVENT_ID: &str = "SELECT 1 FROM events WHERE event_id = ?1";

const LAST_OFFSET: &str = r#"SELECT max("offset") FROM events"#;

/// The greatest id that is stored, if any is. Ids that are made later sort higher, so that most new
/// ones are seen to be new without a search for each.
type Newest = Option<Vec<u8>>;

/// Loads all facts that `appends` can touch, as they are inside this transaction. Of the ends of
/// streams, those that are not `known`.
pub(super) fn load_in_tx(
    tx: &Connection,
    known: HashMap<StreamId, Tip>,
    appends: &[Append],
) -> Result<(Facts, DecidingModules), SqliteError> {
    let parts = || appends.iter().flat_map(|append| &append.parts);
    let mut facts = Facts {
        tips: known,
        ..Facts::default()
    };
    load_tips(tx, &mut facts, parts())?;
    let deciders = load_activations(tx, &mut facts, parts())?;
    load_commands(tx, &mut facts, parts())?;
    load_registry(tx, &mut facts, parts())?;
    load_event_ids(tx, &mut facts, parts())?;
    let last: Option<i64> = tx
        .prepare_cached(LAST_OFFSET)?
        .query_row([], |row| row.get(0))?;
    facts.generation = generations::newest_in_tx(tx)?;
    facts.last_offset = last.map_or(0, i64::unsigned_abs);
    Ok((facts, deciders))
}

fn load_tips<'a>(
    tx: &Connection,
    facts: &mut Facts,
    parts: impl Iterator<Item = &'a StreamAppend>,
) -> Result<(), SqliteError> {
    let mut select = tx.prepare_cached(HEAD)?;
    for stream in parts.map(|part| &part.stream) {
        if facts.tips.contains_key(stream) {
            continue;
        }
        let mut found = select.query(rows::names(stream))?;
        if let Some(row) = found.next()? {
            facts.tips.insert(stream.clone(), rows::tip(row)?);
        }
    }
    Ok(())
}

fn load_activations<'a>(
    tx: &Connection,
    facts: &mut Facts,
    parts: impl Iterator<Item = &'a StreamAppend>,
) -> Result<DecidingModules, SqliteError> {
    let fences = parts.filter_map(|part| Some(part.fence?.key(&part.stream)));
    let keys: HashSet<ActivationKey> = fences.collect();
    let mut deciders = DecidingModules::default();
    for key in keys {
        let newest = rows::one(tx, NEWEST, rows::key(&key), rows::pointer)?;
        let Some((number, digest)) = newest else {
            continue;
        };
        facts.activations.insert(key.clone(), number);
        if let Some(digest) = digest.filter(|_| key.kind() == ModuleKind::Decider) {
            deciders.push(key, number, digest);
        }
    }
    Ok(deciders)
}

fn load_commands<'a>(
    tx: &Connection,
    facts: &mut Facts,
    parts: impl Iterator<Item = &'a StreamAppend>,
) -> Result<(), SqliteError> {
    let mut newest: HashMap<&Namespace, Newest> = HashMap::new();
    let mut select = tx.prepare_cached(COMMAND)?;
    for part in parts {
        let Some(command) = &part.command else {
            continue;
        };
        let (namespace, id) = (part.stream.namespace(), command.command_id);
        let newest = match newest.entry(namespace) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let mut select = tx.prepare_cached(NEWEST_COMMAND)?;
                unknown.insert(select.query_row([namespace.as_str()], |row| row.get(0))?)
            }
        };
        if newest.as_deref() >= Some(id.as_bytes().as_slice())
            && select.exists(params![namespace.as_str(), id.as_bytes()])?
        {
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
    let mut newest = tx.prepare_cached(NEWEST_EVENT_ID)?;
    let newest: Newest = newest.query_row([], |row| row.get(0))?;
    let mut select = tx.prepare_cached(EVENT_ID)?;
    for event in parts.flat_map(|part| &part.events) {
        if newest.as_deref() >= Some(event.event_id.as_bytes().as_slice())
            && select.exists([event.event_id.as_bytes()])?
        {
            facts.event_ids.insert(event.event_id);
        }
    }
    Ok(())
}
