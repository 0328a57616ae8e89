//! Looking up what a batch of appends is judged by: one statement per kind of fact, whatever the number of appends.

use std::collections::{BTreeSet, HashSet};

use serde::Serialize;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::error::failed;
use super::rows;
use crate::core::{
    ActivationNumber, CommandId, DeciderName, EventId, Namespace, StreamId, Version,
};
use crate::store::admit::{Facts, RegistryKey, Tip, registry_key};
use crate::store::{Append, Error, StreamAppend, StreamHead};

// Each list is bound as one JSON array; `key` is the place of an item in it.

const TIPS: &str = "
SELECT wanted.key, head.version, head.last_event_id, head.final, head.updated_at
FROM json_each(?1) AS wanted
CROSS JOIN stream_heads AS head ON head.namespace = wanted.value ->> 0
    AND head.decider = wanted.value ->> 1
    AND head.decider_id = wanted.value ->> 2";

const ACTIVATIONS: &str = "
SELECT wanted.key, max(activation.number)
FROM json_each(?1) AS wanted
CROSS JOIN activations AS activation ON activation.namespace = wanted.value ->> 0
    AND activation.decider = wanted.value ->> 1
GROUP BY wanted.key";

const COMMANDS: &str = "
SELECT wanted.key
FROM json_each(?1) AS wanted
CROSS JOIN commands AS command ON command.namespace = wanted.value ->> 0
    AND command.command_id = unhex(wanted.value ->> 1)";

const REGISTRY: &str = "
SELECT wanted.key
FROM json_each(?1) AS wanted
CROSS JOIN deciders AS registered ON registered.decider = wanted.value ->> 0
    AND registered.event = wanted.value ->> 1
    AND registered.event_version = wanted.value ->> 2";

const EVENT_IDS: &str = "
SELECT wanted.key
FROM json_each(?1) AS wanted
CROSS JOIN events ON events.event_id = unhex(wanted.value)";

const LAST_OFFSET: &str = r#"SELECT max("offset") FROM events"#;

/// Everything that `appends` can touch, as it is inside this transaction.
pub(super) async fn load_in_tx(
    tx: &mut SqliteConnection,
    appends: &[Append],
) -> Result<Facts, Error> {
    let parts = || appends.iter().flat_map(|append| &append.parts);
    let mut facts = Facts::default();
    load_tips(tx, &mut facts, parts().map(|part| &part.stream).collect()).await?;
    load_activations(tx, &mut facts, parts().filter_map(fenced).collect()).await?;
    load_commands(tx, &mut facts, parts().filter_map(command).collect()).await?;
    let events = || parts().flat_map(|part| part.events.iter().map(move |event| (part, event)));
    if events().next().is_none() {
        return Ok(facts);
    }
    let kinds = events().map(|(part, event)| registry_key(&part.stream, event));
    load_registry(tx, &mut facts, kinds.collect()).await?;
    let ids = events().map(|(_, event)| event.event_id);
    load_event_ids(tx, &mut facts, ids.collect()).await?;
    let last: Option<i64> = sqlx::query_scalar(LAST_OFFSET)
        .fetch_one(tx)
        .await
        .map_err(failed)?;
    facts.last_offset = last.map_or(0, i64::unsigned_abs);
    Ok(facts)
}

fn fenced(part: &StreamAppend) -> Option<(&Namespace, &DeciderName)> {
    part.fence
        .map(|_| (part.stream.namespace(), part.stream.decider()))
}

fn command(part: &StreamAppend) -> Option<(&Namespace, CommandId)> {
    let command = part.command.as_ref()?;
    Some((part.stream.namespace(), command.command_id))
}

async fn load_tips(
    tx: &mut SqliteConnection,
    facts: &mut Facts,
    streams: BTreeSet<&StreamId>,
) -> Result<(), Error> {
    let wanted = list(streams.iter().map(|stream| {
        (
            stream.namespace().as_str(),
            stream.decider().as_str(),
            stream.id(),
        )
    }));
    let streams: Vec<&StreamId> = streams.into_iter().collect();
    let found: Vec<(i64, i64, Uuid, bool, i64)> = sqlx::query_as(TIPS)
        .bind(wanted)
        .fetch_all(tx)
        .await
        .map_err(failed)?;
    for (key, version, last_event_id, is_final, updated_at) in found {
        let corrupt = |reason| Error::Corrupt {
            what: "stream head",
            reason,
        };
        let head = StreamHead {
            version: Version::from_sql(version)
                .ok_or_else(|| corrupt("its version is negative".to_owned()))?,
            last_event_id: Some(last_event_id),
            is_final,
        };
        let updated_at = Some(rows::time(updated_at).map_err(corrupt)?);
        if let Some(&stream) = item(&streams, key) {
            facts.tips.insert(stream.clone(), Tip { head, updated_at });
        }
    }
    Ok(())
}

async fn load_activations(
    tx: &mut SqliteConnection,
    facts: &mut Facts,
    deciders: HashSet<(&Namespace, &DeciderName)>,
) -> Result<(), Error> {
    if deciders.is_empty() {
        return Ok(());
    }
    let deciders: Vec<_> = deciders.into_iter().collect();
    let wanted = deciders
        .iter()
        .map(|(namespace, decider)| (namespace.as_str(), decider.as_str()));
    let found: Vec<(i64, i64)> = sqlx::query_as(ACTIVATIONS)
        .bind(list(wanted))
        .fetch_all(tx)
        .await
        .map_err(failed)?;
    for (key, number) in found {
        if let Some(&(namespace, decider)) = item(&deciders, key) {
            let decider = (namespace.clone(), decider.clone());
            let number = ActivationNumber::new(number);
            facts.activations.insert(decider, number);
        }
    }
    Ok(())
}

async fn load_commands(
    tx: &mut SqliteConnection,
    facts: &mut Facts,
    commands: HashSet<(&Namespace, CommandId)>,
) -> Result<(), Error> {
    if commands.is_empty() {
        return Ok(());
    }
    let commands: Vec<_> = commands.into_iter().collect();
    let wanted = commands
        .iter()
        .map(|(namespace, id)| (namespace.as_str(), hexadecimal(*id)));
    for key in find(tx, COMMANDS, list(wanted)).await? {
        if let Some(&(namespace, id)) = item(&commands, key) {
            facts.commands.insert((namespace.clone(), id));
        }
    }
    Ok(())
}

async fn load_registry(
    tx: &mut SqliteConnection,
    facts: &mut Facts,
    kinds: HashSet<RegistryKey>,
) -> Result<(), Error> {
    let kinds: Vec<RegistryKey> = kinds.into_iter().collect();
    let wanted = kinds
        .iter()
        .map(|(decider, event, schema_version)| (decider.as_str(), event, schema_version));
    for key in find(tx, REGISTRY, list(wanted)).await? {
        facts.registry.extend(item(&kinds, key).cloned());
    }
    Ok(())
}

async fn load_event_ids(
    tx: &mut SqliteConnection,
    facts: &mut Facts,
    ids: Vec<EventId>,
) -> Result<(), Error> {
    let wanted = list(ids.iter().copied().map(hexadecimal));
    for key in find(tx, EVENT_IDS, wanted).await? {
        facts.event_ids.extend(item(&ids, key));
    }
    Ok(())
}

/// The keys of the wanted items that are there.
async fn find(
    tx: &mut SqliteConnection,
    statement: &'static str,
    wanted: String,
) -> Result<Vec<i64>, Error> {
    sqlx::query_scalar(statement)
        .bind(wanted)
        .fetch_all(tx)
        .await
        .map_err(failed)
}

fn item<T>(items: &[T], key: i64) -> Option<&T> {
    items.get(usize::try_from(key).ok()?)
}

fn list<T: Serialize>(items: impl Iterator<Item = T>) -> String {
    rows::json_text(&items.collect::<Vec<T>>())
}

/// JSON has no bytes.
fn hexadecimal(id: Uuid) -> String {
    id.simple().to_string()
}
