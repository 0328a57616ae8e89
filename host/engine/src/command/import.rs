//! Imports: appending without a decider.

use gavel_model::{
    ActivationNumber, CommandId, ExpectedVersion, ModuleKind, NewEvent, StreamId, new_id, reserved,
};
use gavel_store::{Append, AppendError, Appended, Fence, StreamAppend};

use super::{Commands, Error, ImportedEvent, Origin};

impl Commands {
    /// Appends events that no decider has decided: all of them, or none. The registry has to know
    /// the events, and the name has to be a decider's, or unused.
    ///
    /// # Errors
    ///
    /// `NameTaken`, `VersionConflict`, `StreamFinal`, `DuplicateEventId`, `EventUnregistered`, or
    /// the error of the store.
    #[expect(clippy::missing_panics_doc, reason = "a part has an outcome")]
    pub async fn import(
        &self,
        stream: &StreamId,
        expected: ExpectedVersion,
        events: Vec<ImportedEvent>,
        command_id: Option<CommandId>,
        origin: &Origin,
    ) -> Result<(CommandId, Appended), Error> {
        let command_id = command_id.unwrap_or_else(new_id);
        let events = events
            .into_iter()
            .map(|event| to_new_event(event, command_id, origin))
            .collect();
        let others = ModuleKind::ALL.into_iter();
        let others = others.filter(|kind| *kind != ModuleKind::Decider);
        // Whoever begins the name meanwhile waits for this append, or this append is refused.
        let unbegun = others.map(|kind| StreamAppend {
            stream: stream.clone(),
            expected: ExpectedVersion::Any,
            expected_previous_id: None,
            events: Vec::new(),
            command: None,
            fence: Some(Fence {
                kind,
                number: ActivationNumber::NONE,
            }),
        });
        let imported = StreamAppend {
            stream: stream.clone(),
            expected,
            expected_previous_id: None,
            events,
            command: None,
            fence: None,
        };
        // The events come last: they may end the stream.
        let parts = unbegun.chain([imported]).collect();
        let appended = self.0.store.append(Append { parts }).await;
        let mut appended = appended.map_err(|error| match error {
            AppendError::Fenced { decider, fence, .. } => Error::NameTaken {
                decider,
                kind: fence.kind,
            },
            error => Error::of_append(&error, command_id),
        })?;
        Ok((command_id, appended.pop().expect("a part has an outcome")))
    }
}

fn to_new_event(event: ImportedEvent, command_id: CommandId, origin: &Origin) -> NewEvent {
    let ImportedEvent {
        event,
        event_id,
        schema_version,
        data,
        is_final,
        tags,
        mut metadata,
    } = event;
    if let Some(actor) = &origin.actor {
        metadata = metadata.with(reserved::ACTOR, actor.clone());
    }
    if let Some(traceparent) = &origin.traceparent {
        metadata = metadata.with(reserved::TRACEPARENT, traceparent.clone());
    }
    let event_id = event_id.unwrap_or_else(new_id);
    NewEvent {
        event_id,
        event,
        schema_version,
        data,
        is_final,
        tags,
        metadata,
        command_id,
    }
}
