//! Why something happened: a recorded decision, with all it was decided on, made again by the very module that made it.

use std::sync::Arc;

use super::compare::{Checks, Redecided};
use super::folder::Folder;
use super::past::FOLD_EVENTS;
use super::verify::differences;
use super::{Error, Gate};
use crate::core::{
    CommandId, CommandOutcome, CommandRecord, Event, EventId, Json, Namespace, RecordedEvent,
    StreamId, Version,
};
use crate::modules::Decider;
use crate::runtime::Decision;
use crate::store::{Direction, StreamRange};

/// A decision, and the same decision made again.
#[derive(Debug, Clone, PartialEq)]
pub struct Why {
    /// The event that was asked about; none when it was the command.
    pub event: Option<RecordedEvent>,
    /// What the ledger holds of the command; none for an event that was imported.
    pub command: Option<CommandRecord>,
    /// All events that followed from the command.
    pub events: Vec<RecordedEvent>,
    /// The state that was decided on, as the module that decided folds it now; none for an event that was imported, or when it cannot be folded.
    pub state_before: Option<Json>,
    /// What that module decides now; none for an event that was imported.
    pub again: Option<Again>,
    /// In what the two differ, a sentence each; none when they are equal byte for byte.
    pub differences: Vec<String>,
}

impl Gate {
    /// Why an event is there.
    ///
    /// # Errors
    ///
    /// [`Error::EventNotFound`], or why the store or the module cannot be used.
    pub async fn why_event(&self, namespace: &Namespace, event_id: EventId) -> Result<Why, Error> {
        let found = self
            .store
            .event(namespace, event_id)
            .await
            .map_err(Error::Store)?;
        let event = found.ok_or(Error::EventNotFound { event_id })?;
        let command_id = event.event.command_id;
        let record = self
            .store
            .command(namespace, command_id)
            .await
            .map_err(Error::Store)?;
        let why = match record {
            Some(record) => self.why(record).await?,
            None => Why {
                event: None,
                command: None,
                events: vec![event.clone()],
                state_before: None,
                again: None,
                differences: Vec::new(),
            },
        };
        Ok(Why {
            event: Some(event),
            ..why
        })
    }

    /// Why a command was decided as it was.
    ///
    /// # Errors
    ///
    /// [`Error::CommandNotFound`], or why the store or the module cannot be used.
    pub async fn why_command(
        &self,
        namespace: &Namespace,
        command_id: CommandId,
    ) -> Result<Why, Error> {
        let record = self
            .store
            .command(namespace, command_id)
            .await
            .map_err(Error::Store)?;
        self.why(record.ok_or(Error::CommandNotFound { command_id })?)
            .await
    }

    async fn why(&self, record: CommandRecord) -> Result<Why, Error> {
        let events = match record.outcome {
            CommandOutcome::Accepted { events } if events > 0 => {
                let range = StreamRange {
                    after: record.version,
                    through: Some(record.version.plus(events as usize)),
                    limit: events,
                    direction: Direction::Forward,
                };
                self.store
                    .read_stream(&record.stream, range)
                    .await
                    .map_err(Error::Store)?
            }
            _ => Vec::new(),
        };
        let decider = self
            .modules
            .decider(record.module)
            .await
            .map_err(Error::Module)?;
        let folder = self
            .fold_through(&decider, &record.stream, record.version)
            .await?;
        let (state_before, again) = self.decide_once(folder, &record).await?;
        let recorded: Vec<Event> = events
            .iter()
            .map(|event| event.event.clone().into())
            .collect();
        let differences = differences(&record, &recorded, &again);
        Ok(Why {
            event: None,
            command: Some(record),
            events,
            state_before,
            again: Some(again),
            differences,
        })
    }

    /// The state of a stream at a version, folded by a module from its first event on.
    pub(super) async fn fold_through(
        &self,
        decider: &Arc<Decider>,
        stream: &StreamId,
        through: Version,
    ) -> Result<Folder, Error> {
        let runtime = self.modules.runtime();
        let mut folder = Folder::new(decider.clone(), runtime.limits().memory_bytes);
        let mut version = Version::EMPTY;
        loop {
            let limit = u32::try_from(FOLD_EVENTS).unwrap_or(u32::MAX);
            let page = self
                .store
                .history(stream, version, Some(through), limit)
                .await;
            let events = page.map_err(Error::Store)?.events;
            let read = events.len();
            let job = move || {
                // What fails here fails again when it is decided, and is told then.
                let begun = version != Version::EMPTY || folder.begin().is_ok();
                if begun && folder.fold(version, &events).is_err() {
                    folder.end();
                }
                folder
            };
            folder = runtime
                .run_in_background(job)
                .await
                .map_err(Error::NotRun)?;
            version = version.plus(read);
            if read < FOLD_EVENTS {
                return Ok(folder);
            }
        }
    }

    /// The state, and what is decided at it.
    async fn decide_once(
        &self,
        mut folder: Folder,
        record: &CommandRecord,
    ) -> Result<(Option<Json>, Redecided), Error> {
        let record = record.clone();
        let job = move || {
            let state = folder.snapshot().ok();
            let decided = folder.decide(&record).map(|(decision, _)| decision);
            (state, Checks::after(folder.decider(), decided))
        };
        let runtime = self.modules.runtime();
        runtime.run_in_background(job).await.map_err(Error::NotRun)
    }
}

/// What the module decides now, or why it fails.
pub type Again = Result<Decision, String>;
