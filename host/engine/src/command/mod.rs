//! The command loop: load, evolve, decide, append.
//!
//! Every command passes through here, alone or as part of an atomic batch. **Invariants:** nothing
//! is answered before it is durable; nothing is appended that was decided by a module that is not
//! active any more; a state that was advanced for an append is dropped when the append fails.

mod attempt;
mod decision;
mod error;
mod given_up;
mod hot;
mod import;
pub mod metrics;
mod query;
mod recorded;
mod request;
mod session;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gavel_model::{Clock, CommandId, ExpectedVersion, LedgerMode, PerDecider, StreamId, new_id};
use gavel_store::{AppendError, Store};
use rand::Rng as _;

pub use error::{BatchError, Error, SchemaViolation};
pub use hot::SnapshotPolicy;
pub use request::{
    CommandAnswer, CommandOptions, CommandRequest, ImportedEvent, Origin, StateAnswer, StateAt,
};

use crate::catalog::Modules;
use attempt::{Attempt, AttemptError};
use hot::{HotStreams, Reservation};

/// The most times that a decision is repeated because of something other than the command itself: a
/// swap under way, or a lost connection.
const DISTURBANCES_LIMIT: u32 = 100;
/// The longest pause before a command is decided again.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// The limits of carrying out commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandSettings {
    /// The ledger mode of the commands of each decider: how much the ledger keeps of them.
    pub ledger: PerDecider<LedgerMode>,
    /// The most times that a command is decided again after a lost race, before its sender gets the
    /// conflict.
    pub conflict_retries: u32,
    /// The most streams that are kept hot, all modules together; the least recently used ones are
    /// let go first.
    pub hot_streams: usize,
    /// Linear memory of the instances in which they live, in bytes, all modules together.
    pub hot_bytes: usize,
    /// The most commands that may wait in one shard of a module; more are refused.
    pub queue: usize,
    /// Most that the events which a batch decides, and the states that it asks for, may take up in
    /// bytes; one that is not atomic may go beyond it by what is under way.
    pub batch_bytes: usize,
    /// The thresholds at which a snapshot of a stream is taken.
    pub snapshots: SnapshotPolicy,
}

impl Default for CommandSettings {
    fn default() -> Self {
        Self {
            ledger: PerDecider::default(),
            conflict_retries: 16,
            hot_streams: 100_000,
            hot_bytes: 256 << 20,
            queue: 8_192,
            batch_bytes: 16 << 20,
            snapshots: SnapshotPolicy {
                events: 500,
                replay: Duration::from_millis(20),
            },
        }
    }
}

/// Carries out commands and answers queries for states.
#[derive(Debug, Clone)]
pub struct Commands(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<dyn Store>,
    modules: Modules,
    clock: Arc<dyn Clock>,
    settings: CommandSettings,
    hot: HotStreams,
}

impl Commands {
    /// Commands on the streams of `store`, decided by what is active in `modules`.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        modules: Modules,
        clock: Arc<dyn Clock>,
        settings: CommandSettings,
    ) -> Self {
        let hot = HotStreams::new(store.clone(), &modules, clock.clone(), &settings);
        Self(Arc::new(Inner {
            store,
            modules,
            clock,
            settings,
            hot,
        }))
    }

    /// Gives the bound of what a batch may answer, in bytes.
    #[must_use]
    pub fn batch_bytes(&self) -> usize {
        self.0.settings.batch_bytes
    }

    /// Carries out one command.
    ///
    /// If the future is dropped, the command may or may not be carried out: send it again with the
    /// same id to learn its outcome.
    ///
    /// # Errors
    ///
    /// Every variant of [`Error`] but `OutcomeUnknown` means that no event was stored. `Rejected`
    /// is recorded in the ledger; the others leave no trace.
    #[expect(clippy::missing_panics_doc, reason = "one command has one answer")]
    pub async fn execute(
        &self,
        request: CommandRequest,
        origin: &Origin,
        options: CommandOptions,
    ) -> Result<CommandAnswer, Error> {
        let answers = self
            .execute_atomic(vec![request], origin, options)
            .await
            .map_err(|batch| *batch.error)?;
        Ok(answers
            .into_iter()
            .next()
            .expect("one command has one answer"))
    }

    /// Carries out all commands or none. Each sees the events of those before it.
    ///
    /// A rejection stops the batch and is recorded in the ledger under the ids of all its commands:
    /// sent again, the batch is rejected again, whatever has become of its streams.
    ///
    /// # Errors
    ///
    /// As [`Commands::execute`], with the place of the command that stopped the batch.
    pub async fn execute_atomic(
        &self,
        mut requests: Vec<CommandRequest>,
        origin: &Origin,
        options: CommandOptions,
    ) -> Result<Vec<CommandAnswer>, BatchError> {
        reject_repeated_ids(&requests)?;
        let ids_are_the_senders = requests.iter().any(|request| request.command_id.is_some());
        for request in &mut requests {
            request.command_id.get_or_insert_with(new_id);
        }
        let mut turns = Turns::default();
        loop {
            if (ids_are_the_senders || turns.in_doubt) && !options.dry_run {
                match self.recorded(&requests, options, !turns.in_doubt).await {
                    Ok(Some(answers)) => return Ok(answers),
                    Ok(None) => {}
                    Err(reason) if turns.in_doubt && is_outage(&reason.error) => {
                        turns.disturbed(outcome_unknown(&requests)).await?;
                        continue;
                    }
                    Err(reason) => return Err(reason),
                }
            }
            match self.attempt(&requests, origin, options).await {
                Ok(answers) => return Ok(answers),
                Err(AttemptError::Disturbed(reason)) => match turns.disturbed(reason).await {
                    Err(reason) if turns.in_doubt => {
                        return self
                            .refuse_in_doubt(&requests, origin, options, reason)
                            .await;
                    }
                    waited => waited?,
                },
                Err(AttemptError::InDoubt) => {
                    turns.in_doubt = true;
                    turns.disturbed(outcome_unknown(&requests)).await?;
                }
                Err(AttemptError::Recorded) => turns.disturbed(outcome_unknown(&requests)).await?,
                Err(AttemptError::Lost(conflict)) if turns.in_doubt => {
                    if let Err(conflict) = turns.disturbed(conflict).await {
                        return self
                            .refuse_in_doubt(&requests, origin, options, conflict)
                            .await;
                    }
                }
                Err(AttemptError::Lost(conflict)) => {
                    ::metrics::counter!(metrics::CONFLICTS).increment(1);
                    // A command by itself has been decided again where the state is.
                    let may_retry = options.retry_conflicts
                        && requests.len() > 1
                        && requests[conflict.index].expected == ExpectedVersion::Any;
                    let limit = if may_retry {
                        self.0.settings.conflict_retries
                    } else {
                        0
                    };
                    if let Err(conflict) = turns.lost(conflict, limit).await {
                        return if ids_are_the_senders {
                            self.unless_recorded(&requests, options, conflict).await
                        } else {
                            Err(conflict)
                        };
                    }
                }
                Err(AttemptError::Refused(reason)) if turns.in_doubt => {
                    return self
                        .refuse_in_doubt(&requests, origin, options, reason)
                        .await;
                }
                Err(AttemptError::Refused(reason))
                    if ids_are_the_senders
                        && !options.dry_run
                        && is_about_the_stream(&reason.error) =>
                {
                    return self.unless_recorded(&requests, options, reason).await;
                }
                Err(AttemptError::Refused(reason)) => return Err(reason),
            }
        }
    }

    /// Decides the commands once, and stores what was decided.
    async fn attempt(
        &self,
        requests: &[CommandRequest],
        origin: &Origin,
        options: CommandOptions,
    ) -> Result<Vec<CommandAnswer>, AttemptError> {
        match requests {
            [request] if !options.dry_run => self
                .attempt_hot(request, origin, options)
                .await
                .map(|answer| vec![answer]),
            // Large: in a box it is no part of the future of a single command.
            _ => Box::pin(self.attempt_together(requests, origin, options)).await,
        }
    }

    /// Decides the commands on states of their own, and stores what was decided unless it is a dry
    /// run.
    async fn attempt_together(
        &self,
        requests: &[CommandRequest],
        origin: &Origin,
        options: CommandOptions,
    ) -> Result<Vec<CommandAnswer>, AttemptError> {
        let _reserved = if options.dry_run {
            Vec::new()
        } else {
            self.reserve(requests).await?
        };
        Attempt::new(self, origin, options).run(requests).await
    }

    /// Keeps single commands away from the streams of a batch, so that neither loses races against
    /// the other.
    async fn reserve(&self, requests: &[CommandRequest]) -> Result<Vec<Reservation>, AttemptError> {
        let streams: BTreeSet<&StreamId> = requests.iter().map(|request| &request.stream).collect();
        let mut reserved = Vec::with_capacity(streams.len());
        // In one order for everyone, so that two batches never wait for each other.
        for stream in streams {
            let (namespace, decider) = (stream.namespace(), stream.decider());
            let active = self.0.modules.known_active(namespace, decider).await;
            let active = active
                .map_err(|error| AttemptError::Refused(BatchError::new(0, Error::Module(error))))?;
            if let Some(active) = active {
                reserved.extend(self.0.hot.reserve(&active, stream).await);
            }
        }
        Ok(reserved)
    }
}

/// Counts how often a batch is decided again.
#[derive(Debug, Default)]
struct Turns {
    conflicts: u32,
    disturbances: u32,
    /// Tells whether an append was broken off, so that it may have taken place.
    in_doubt: bool,
}

impl Turns {
    /// Waits for the turn after a lost race, or gives up after `limit` of them.
    async fn lost(&mut self, conflict: BatchError, limit: u32) -> Result<(), BatchError> {
        if self.conflicts == limit {
            return Err(conflict);
        }
        self.conflicts += 1;
        pause(self.conflicts).await;
        Ok(())
    }

    /// Waits for the turn after a disturbance, or gives up.
    async fn disturbed(&mut self, reason: BatchError) -> Result<(), BatchError> {
        if self.disturbances == DISTURBANCES_LIMIT {
            return Err(reason);
        }
        self.disturbances += 1;
        pause(self.disturbances).await;
        Ok(())
    }
}

fn outcome_unknown(requests: &[CommandRequest]) -> BatchError {
    let command_id = requests[0].command_id.unwrap_or_default();
    BatchError::new(0, Error::OutcomeUnknown { command_id })
}

/// Tells whether a refusal follows from the head of the stream, rather than from the command.
fn is_about_the_stream(error: &Error) -> bool {
    matches!(
        error,
        Error::VersionConflict { .. } | Error::StreamFinal { .. }
    )
}

fn is_outage(error: &Error) -> bool {
    match error {
        Error::Store(error) => error.is_retryable(),
        Error::StoreOverloaded { .. } => true,
        _ => false,
    }
}

fn reject_repeated_ids(requests: &[CommandRequest]) -> Result<(), BatchError> {
    let mut seen: Vec<CommandId> = Vec::new();
    for (index, request) in requests.iter().enumerate() {
        let Some(command_id) = request.command_id else {
            continue;
        };
        if seen.contains(&command_id) {
            return Err(BatchError::new(index, Error::KeyReused { command_id }));
        }
        seen.push(command_id);
    }
    Ok(())
}

/// Waits a random while, longer with every turn, so that those who collided do not collide again.
async fn pause(turn: u32) {
    let bound = Duration::from_millis(1 << turn.min(7)).min(LONGEST_PAUSE);
    // The generator belongs to this thread and must not be held across the await.
    let pause = rand::rng().random_range(Duration::ZERO..=bound);
    tokio::time::sleep(pause).await;
}

/// Converts an error of an append that means the same to all callers.
fn refused_append(error: AppendError, command_id: CommandId) -> Error {
    match error {
        AppendError::VersionConflict {
            stream,
            expected,
            current,
        } => Error::VersionConflict {
            stream,
            expected,
            current,
        },
        AppendError::StreamFinal { stream, version } => Error::StreamFinal { stream, version },
        AppendError::DuplicateEventId { event_id } => Error::DuplicateEventId { event_id },
        AppendError::EventUnregistered {
            decider,
            event,
            schema_version,
        } => Error::EventUnregistered {
            decider,
            event,
            schema_version,
        },
        AppendError::Overloaded { limit } => Error::StoreOverloaded { limit },
        AppendError::Unavailable(source) => Error::Store(gavel_store::Error::Unavailable(source)),
        AppendError::Corrupt(error) => Error::Store(error),
        AppendError::OutcomeUnknown(_) | AppendError::DuplicateCommand { .. } => {
            Error::OutcomeUnknown { command_id }
        }
        AppendError::Fenced { decider, .. } => Error::SwapUnderWay { decider },
        AppendError::WrongPreviousId { stream, .. } => Error::WrongPreviousId { stream },
    }
}
