//! Appending: look up, judge, write.

use gavel_model::RecordedEvent;
use gavel_store::toolkit::group::Outcome;
use gavel_store::toolkit::lean::lean;
use gavel_store::toolkit::writes::{AppendBatch, CarryOut};
use gavel_store::{Append, Error};
use rusqlite::{Connection, params};
use time::OffsetDateTime;

use super::deciding::DecidingModules;
use super::error::SqliteError;
use super::insert::{Insert, insert};
use super::tables::Tables;
use super::tips::Tips;
use super::{facts, ledger, rows};

const INSERT_EVENT: Insert = insert!(
    r#"INSERT INTO events ("offset", namespace, decider, decider_id, version, event, event_id, event_version, data,
        command_id, previous_id, final, tags, metadata, created_at, activation)"#,
    "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
);

impl CarryOut<AppendBatch> for Tables<'_> {
    fn carry_out(
        &mut self,
        change: AppendBatch,
        now: OffsetDateTime,
    ) -> Result<Vec<Outcome>, Error> {
        Ok(append_in_tx(
            self.database,
            &mut self.tips,
            change.appends,
            now,
        )?)
    }
}

/// Appends a batch, one after the other, each with an outcome of its own: one that is refused
/// writes nothing and keeps none from being written.
///
/// # Errors
///
/// When the batch as a whole failed: the transaction must be undone.
pub(super) fn append_in_tx(
    tx: &Connection,
    tips: &mut Tips,
    appends: Vec<Append>,
    now: OffsetDateTime,
) -> Result<Vec<Outcome>, SqliteError> {
    let known = tips.take_in_tx(tx)?;
    let (mut facts, deciders) = facts::load_in_tx(tx, known, &appends)?;
    let mut commands = Vec::new();
    let judged = appends.into_iter().map(|append| {
        facts.admit(append, now).map(|admitted| {
            commands.extend(admitted.commands);
            admitted.answers
        })
    });
    let outcomes: Vec<Outcome> = judged.collect();
    tips.keep(facts.tips);
    let admitted = outcomes.iter().flatten().flatten();
    insert_events_in_tx(tx, admitted.flat_map(|part| &part.events), &deciders)?;
    ledger::insert_in_tx(tx, &commands, &deciders)?;
    Ok(outcomes)
}

fn insert_events_in_tx<'a>(
    tx: &Connection,
    events: impl Iterator<Item = &'a RecordedEvent>,
    deciders: &DecidingModules,
) -> rusqlite::Result<()> {
    let events: Vec<_> = events.collect();
    let bytes = |recorded: &&RecordedEvent| recorded.event.size_bytes();
    INSERT_EVENT.run_in_tx(tx, &events, bytes, |recorded, row| {
        let (stream, event) = (&recorded.stream, &recorded.event);
        let decider = deciders.of(stream);
        let lean = decider.and_then(|by| Some((by.number, lean(event, &by.module)?)));
        let (activation, metadata) = match &lean {
            Some((number, metadata)) => (Some(number.get()), metadata),
            None => (None, &event.metadata),
        };
        row.set(params![
            recorded.position.offset().cast_signed(),
            stream.namespace().as_str(),
            stream.decider().as_str(),
            stream.id(),
            recorded.version.to_sql(),
            event.event,
            event.event_id.as_bytes(),
            event.schema_version,
            event.data.as_str(),
            event.command_id.as_bytes(),
            recorded.previous_id.as_ref().map(|id| id.as_bytes()),
            event.is_final,
            rows::json_text(&event.tags),
            rows::json_text(metadata.entries()),
            rows::milliseconds(recorded.created_at),
            activation,
        ])
    })
}
