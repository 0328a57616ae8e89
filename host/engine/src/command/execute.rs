//! The entrance for commands, and what follows from a command that was stopped: an answer, or
//! another turn.

use std::slice;
use std::time::Duration;

use gavel_model::{CommandId, ExpectedVersion, new_id};
use gavel_sandbox::RunError;
use rand::Rng as _;

use super::batch::BatchRun;
use super::metrics::CONFLICTS;
use super::stop::{Stop, Stopped};
use super::{BatchError, CommandAnswer, CommandOptions, CommandRequest, Commands, Error, Origin};

/// The most times that a decision is repeated because of something other than the command itself: a
/// swap under way, or a lost connection.
const DISTURBANCES_LIMIT: u32 = 100;
/// The longest pause before a command is decided again.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

impl Commands {
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
        mut request: CommandRequest,
        origin: &Origin,
        options: CommandOptions,
    ) -> Result<CommandAnswer, Error> {
        let answers = self
            .execute_all(slice::from_mut(&mut request), origin, options)
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
        self.execute_all(&mut requests, origin, options).await
    }

    async fn execute_all(
        &self,
        requests: &mut [CommandRequest],
        origin: &Origin,
        options: CommandOptions,
    ) -> Result<Vec<CommandAnswer>, BatchError> {
        reject_repeated_ids(requests)?;
        let ids_are_the_senders = requests.iter().any(|request| request.command_id.is_some());
        for request in requests.iter_mut() {
            request.command_id.get_or_insert_with(new_id);
        }
        let mut turns = Turns::default();
        loop {
            if (ids_are_the_senders || turns.in_doubt) && !options.dry_run {
                match self.recorded(requests, options, !turns.in_doubt).await {
                    Ok(Some(answers)) => return Ok(answers),
                    Ok(None) => {}
                    Err(reason) if turns.in_doubt && is_outage(&reason.error) => {
                        turns.disturbed(outcome_unknown(requests)).await?;
                        continue;
                    }
                    Err(reason) => return Err(reason),
                }
            }
            let Stopped { index, stop } = match self.attempt(requests, origin, options).await {
                Ok(answers) => return Ok(answers),
                Err(stopped) => stopped,
            };
            let reason = |error| BatchError { index, error };
            let turn = match stop {
                Stop::InDoubt => {
                    turns.in_doubt = true;
                    turns.disturbed(outcome_unknown(requests)).await?;
                    continue;
                }
                Stop::Recorded => {
                    turns.disturbed(outcome_unknown(requests)).await?;
                    continue;
                }
                Stop::Lost(conflict) if turns.in_doubt => turns.disturbed(reason(conflict)).await,
                Stop::Lost(conflict) => {
                    ::metrics::counter!(CONFLICTS).increment(1);
                    // A command by itself has been decided again where the state is.
                    let may_retry = options.retry_conflicts
                        && requests.len() > 1
                        && requests[index].expected == ExpectedVersion::Any;
                    let limit = match may_retry {
                        true => self.0.settings.conflict_retries,
                        false => 0,
                    };
                    turns.lost(reason(conflict), limit).await
                }
                Stop::Fenced(error) | Stop::Unconfirmed { error, .. } => {
                    turns.disturbed(reason(error)).await
                }
                // What the sender gets if that never ends.
                Stop::Again => {
                    let queue = self.0.settings.queue;
                    let overloaded = Error::NotRun(RunError::Overloaded { queue });
                    turns.disturbed(reason(Box::new(overloaded))).await
                }
                Stop::Refused(error) => Err(reason(error)),
            };
            let Err(reason) = turn else { continue };
            return if turns.in_doubt {
                self.refuse_in_doubt(requests, origin, options, reason)
                    .await
            } else if ids_are_the_senders && !options.dry_run && is_about_the_stream(&reason.error)
            {
                self.unless_recorded(requests, options, reason).await
            } else {
                Err(reason)
            };
        }
    }

    /// Decides the commands once, and stores what was decided.
    async fn attempt(
        &self,
        requests: &[CommandRequest],
        origin: &Origin,
        options: CommandOptions,
    ) -> Result<Vec<CommandAnswer>, Stopped> {
        match requests {
            [request] if !options.dry_run => {
                let answer = self.run_single(request, origin, options).await;
                answer
                    .map(|answer| vec![answer])
                    .map_err(|stop| Stopped::new(0, stop))
            }
            // Large: in a box it is no part of the future of a single command.
            _ => Box::pin(BatchRun::new(self, origin, options).run(requests)).await,
        }
    }
}

/// Counts how often commands are decided again.
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

pub(super) fn outcome_unknown(requests: &[CommandRequest]) -> BatchError {
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

pub(super) fn is_outage(error: &Error) -> bool {
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
