//! The reason for a recorded decision: all that it was decided on, and the same decision made again
//! by the very module that made it.

use gavel_model::{
    CommandId, CommandOutcome, CommandRecord, Event, EventId, Json, Namespace, RecordedEvent,
};
use gavel_store::{Direction, StreamRange};

use super::folder::{Again, Folder};
use super::verify::{differences, miscounts};
use super::{Error, Gate};

/// A decision, and the same decision made again.
#[derive(Debug, Clone, PartialEq)]
pub struct Why {
    /// The event that was asked about; none when it was the command.
    pub event: Option<RecordedEvent>,
    /// The ledger's row of the command; none for an event that was imported.
    pub command: Option<CommandRecord>,
    /// All events that followed from the command.
    pub events: Vec<RecordedEvent>,
    /// The state that was decided on, as the module that decided folds it now; none for an event
    /// that was imported, or when it cannot be folded.
    pub state_before: Option<Json>,
    /// The decision that the same module makes now; none for an event that was imported, and where
    /// the ledger keeps keys only.
    pub again: Option<Again>,
    /// The text that the same module writes to stdout and stderr as it decides now; none if it
    /// writes nothing.
    pub output: Option<String>,
    /// The differences between the two decisions, or between the ledger and the events, a sentence
    /// each; none when they are equal byte for byte.
    pub differences: Vec<String>,
}

impl Gate {
    /// Explains an event.
    ///
    /// # Errors
    ///
    /// [`Error::EventNotFound`], or the error of the store or of the module.
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
        // An import may have had the key of a command that came after it.
        let record =
            record.filter(|record| record.stream == event.stream && record.version < event.version);
        let why = match record {
            Some(record) => self.why(record).await?,
            None => Why {
                event: None,
                command: None,
                events: vec![event.clone()],
                state_before: None,
                again: None,
                output: None,
                differences: Vec::new(),
            },
        };
        Ok(Why {
            event: Some(event),
            ..why
        })
    }

    /// Explains the decision on a command.
    ///
    /// # Errors
    ///
    /// [`Error::CommandNotFound`], or the error of the store or of the module.
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
                    bytes: usize::MAX,
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
        let at = Some(record.version);
        let before = self.times_without_room();
        // What fails here fails again when it is decided, and is told then.
        let (folder, _) = self
            .fold_stream(self.folder(&decider), &record.stream, at)
            .await?;
        let (state_before, again, output) = self.decide_once(folder, &record).await?;
        let recorded: Vec<Event> = events
            .iter()
            .map(|event| event.event.clone().into())
            .collect();
        let mut found = miscounts(&record, record.version, &recorded);
        if let Some(again) = &again {
            found.extend(differences(&record, &recorded, again));
        }
        if state_before.is_none() || !found.is_empty() {
            self.had_room_since(before)?;
        }
        Ok(Why {
            event: None,
            command: Some(record),
            events,
            state_before,
            again,
            output,
            differences: found,
        })
    }

    /// Gives the state, and what is decided and written at it if the payload is known.
    async fn decide_once(
        &self,
        mut folder: Folder,
        record: &CommandRecord,
    ) -> Result<(Option<Json>, Option<Again>, Option<String>), Error> {
        let record = record.clone();
        let job = move || {
            let state = folder.snapshot().ok();
            drop(folder.take_output());
            let again = record.kept_data().map(|_| folder.decide(&record).0);
            (state, again, folder.take_output())
        };
        let runtime = self.modules.runtime();
        runtime.run_in_background(job).await.map_err(Error::NotRun)
    }
}
