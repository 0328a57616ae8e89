//! Appending: look up, judge, write.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use time::OffsetDateTime;

use super::error::{append_failed, failed};
use super::writer::Writer;
use super::{facts, rows};
use crate::core::{Clock, CommandOutcome, CommandRecord, RecordedEvent};
use crate::store::group::{Commit, Failed, Outcome, Verdict};
use crate::store::{Append, Error};

/// Most rows per INSERT, a power of two: well below SQLite's limit of 32,766 values in a statement.
const ROWS_PER_INSERT: usize = 64;

/// Where batches go: the one file.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) writer: Arc<Writer>,
    pub(super) clock: Arc<dyn Clock>,
}

#[async_trait]
impl Commit for Database {
    /// The writer keeps the connection.
    type Session = ();

    async fn commit(&self, _session: &mut (), batch: &[Append]) -> Result<Vec<Verdict>, Failed> {
        let begun = self.writer.begin().await;
        let mut tx = begun.map_err(|error| Failed::NotSent(error.into()))?;
        // The time is taken under the write lock, so that later positions are not earlier in time while the clock goes forward.
        let outcomes = append_in_tx(tx.connection(), batch, self.clock.now()).await;
        let outcomes = outcomes.map_err(|error| Failed::Refused(append_failed(error)))?;
        if outcomes.iter().any(Result::is_ok) {
            let committed = tx.commit().await;
            committed.map_err(|error| Failed::Lost(error.into()))?;
        } else {
            tx.rollback().await;
        }
        Ok(outcomes.into_iter().map(Verdict::Settled).collect())
    }

    async fn commit_held(&self, _append: &Append) -> Result<Outcome, Failed> {
        unreachable!("who writes to the file has it to himself, and no verdict is `Held`")
    }
}

/// Appends a batch, one after the other, each with an outcome of its own: one that is refused writes nothing and keeps none from being written.
///
/// # Errors
///
/// When the batch as a whole failed: the transaction must be undone.
pub(super) async fn append_in_tx(
    tx: &mut SqliteConnection,
    appends: &[Append],
    now: OffsetDateTime,
) -> Result<Vec<Outcome>, Error> {
    let mut facts = facts::load_in_tx(tx, appends).await?;
    let mut outcomes = Vec::with_capacity(appends.len());
    let mut commands = Vec::new();
    for append in appends {
        let outcome = facts.admit(append.clone(), now).map(|admitted| {
            commands.extend(admitted.commands);
            admitted.answers
        });
        outcomes.push(outcome);
    }
    let admitted = outcomes.iter().flatten().flatten();
    let events: Vec<&RecordedEvent> = admitted.flat_map(|part| &part.events).collect();
    insert_events_in_tx(tx, &events).await?;
    insert_commands_in_tx(tx, &commands).await?;
    Ok(outcomes)
}

async fn insert_events_in_tx(
    tx: &mut SqliteConnection,
    events: &[&RecordedEvent],
) -> Result<(), Error> {
    for rows in powers_of_two(events) {
        let mut insert = QueryBuilder::<Sqlite>::new(
            r#"INSERT INTO events ("offset", namespace, decider, decider_id, version, event, event_id, event_version, data,
            command_id, previous_id, final, tags, metadata, created_at) "#,
        );
        insert.push_values(rows, |mut row, recorded| {
            let (stream, event) = (&recorded.stream, &recorded.event);
            row.push_bind(rows::offset(recorded.position))
                .push_bind(stream.namespace().as_str())
                .push_bind(stream.decider().as_str())
                .push_bind(stream.id())
                .push_bind(recorded.version.to_sql())
                .push_bind(event.event.as_str())
                .push_bind(event.event_id)
                .push_bind(event.schema_version)
                .push_bind(event.data.as_str())
                .push_bind(event.command_id)
                .push_bind(recorded.previous_id)
                .push_bind(event.is_final)
                .push_bind(rows::json_text(&event.tags))
                .push_bind(rows::json_text(event.metadata.entries()))
                .push_bind(rows::milliseconds(recorded.created_at));
        });
        insert.build().execute(&mut *tx).await.map_err(failed)?;
    }
    Ok(())
}

async fn insert_commands_in_tx(
    tx: &mut SqliteConnection,
    commands: &[CommandRecord],
) -> Result<(), Error> {
    for rows in powers_of_two(commands) {
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT INTO commands (namespace, command_id, decider, decider_id, command, data, fingerprint, now, seed, actor,
            metadata, version, module, outcome, events, rejection_code, rejection_message, rejection_data, fuel) ",
        );
        insert.push_values(rows, |mut row, command| {
            let stream = &command.stream;
            let (outcome, events, rejection) = match &command.outcome {
                CommandOutcome::Accepted { events } => ("accepted", *events, None),
                CommandOutcome::Rejected(rejection) => ("rejected", 0, Some(rejection)),
            };
            let rejection_data = rejection.and_then(|rejection| rejection.data.as_ref());
            row.push_bind(stream.namespace().as_str())
                .push_bind(command.command_id)
                .push_bind(stream.decider().as_str())
                .push_bind(stream.id())
                .push_bind(command.command.as_str())
                .push_bind(command.data.as_str())
                .push_bind(command.fingerprint.as_bytes())
                .push_bind(rows::milliseconds(command.now))
                .push_bind(command.seed.cast_signed())
                .push_bind(command.actor.as_deref())
                .push_bind(rows::json_text(command.metadata.entries()))
                .push_bind(command.version.to_sql())
                .push_bind(command.module.to_string())
                .push_bind(outcome)
                .push_bind(events)
                .push_bind(rejection.map(|rejection| rejection.code.as_str()))
                .push_bind(rejection.map(|rejection| rejection.message.as_str()))
                .push_bind(rejection_data.map(|data| data.as_str()))
                .push_bind(command.fuel.cast_signed());
        });
        insert.build().execute(&mut *tx).await.map_err(failed)?;
    }
    Ok(())
}

/// The rows in runs of 64, 32, 16 … 1, so that there are few statements, and few texts of them to prepare and to keep prepared.
fn powers_of_two<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let power = rows.len().min(ROWS_PER_INSERT).checked_ilog2()?;
        let (run, rest) = rows.split_at(1 << power);
        rows = rest;
        Some(run)
    })
}
