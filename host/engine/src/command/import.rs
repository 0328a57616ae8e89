//! Appending without a decider, for importers.

use gavel_model::{CommandId, ExpectedVersion, NewEvent, StreamId, new_id, reserved};
use gavel_store::{Append, Appended, StreamAppend};

use super::{Commands, Error, ImportedEvent, Origin, refused_append};

impl Commands {
    /// Appends events that no decider has decided: all of them, or none. The registry has to know them.
    ///
    /// # Errors
    ///
    /// `VersionConflict`, `StreamFinal`, `DuplicateEventId`, `EventUnregistered`, or what the store says.
    #[expect(clippy::missing_panics_doc, reason = "one part has one outcome")]
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
        let part = StreamAppend {
            stream: stream.clone(),
            expected,
            expected_previous_id: None,
            events,
            command: None,
            fence: None,
        };
        let appended = self.0.store.append(Append { parts: vec![part] }).await;
        let mut appended = appended.map_err(|error| refused_append(error, command_id))?;
        Ok((
            command_id,
            appended.pop().expect("one part has one outcome"),
        ))
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
