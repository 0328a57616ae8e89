//! Checks an append in contract order and computes its rows: the checks of
//! [`EventStore::append`](crate::EventStore::append).
//!
//! For stores that hold their write lock from the first check to the last write. Each append is
//! checked as a whole before any of it is written, so that many appends can share one transaction:
//! a refused one leaves nothing to undo. This module does no I/O: [`Facts`] are looked up
//! beforehand.

use std::collections::{HashMap, HashSet};

use gavel_model::{
    ActivationKey, ActivationNumber, CommandId, CommandRecord, DeciderName, EventId, Namespace,
    NewEvent, Position, RecordedEvent, StreamId,
};
use time::OffsetDateTime;

use crate::{Append, AppendError, Appended, StreamAppend, StreamHead};

/// A kind of event in the registry: decider, name, schema version.
pub type RegistryKey = (DeciderName, String, u32);

/// The facts of a store that the checks need: at least all that the appends can touch. A stream or
/// an id that is absent does not exist.
///
/// **Invariant:** after each [`Facts::admit`] the facts are those of the store with that append
/// written.
#[derive(Debug, Default)]
pub struct Facts {
    /// The newest activation of each key.
    pub activations: HashMap<ActivationKey, ActivationNumber>,
    /// The commands of the ledger.
    pub commands: HashSet<(Namespace, CommandId)>,
    /// The newest end of each stream that has events, and perhaps of some that have none.
    pub tips: HashMap<StreamId, Tip>,
    /// The kinds of event that may be stored; none where that is checked before.
    pub registry: Option<HashSet<RegistryKey>>,
    /// The ids of all events.
    pub event_ids: HashSet<EventId>,
    /// The generation that is written in.
    pub generation: u64,
    /// The offset of the newest event of all streams.
    pub last_offset: u64,
}

/// The newest end of a stream, and its time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tip {
    /// The newest version of the stream, and its event.
    pub head: StreamHead,
    /// The creation time of the newest event; none without events.
    pub updated_at: Option<OffsetDateTime>,
}

/// The rows that an admitted append writes.
#[derive(Debug, Default)]
pub struct Admitted {
    /// One answer per part, with the events to store.
    pub answers: Vec<Appended>,
    /// The rows for the ledger.
    pub commands: Vec<CommandRecord>,
}

impl Facts {
    /// Checks an append that would be written at `now`.
    ///
    /// # Errors
    ///
    /// The reason for which the append is refused; then none of its rows may be written.
    pub fn admit(&mut self, append: Append, now: OffsetDateTime) -> Result<Admitted, AppendError> {
        self.check_fences(&append.parts)?;
        self.check_commands(&append.parts)?;
        self.check_streams(&append.parts)?;
        self.check_registry(&append.parts)?;
        self.check_event_ids(&append.parts)?;
        Ok(self.record(append, now))
    }

    fn check_fences(&self, parts: &[StreamAppend]) -> Result<(), AppendError> {
        for part in parts {
            let Some(fence) = part.fence else { continue };
            let current = self.activations.get(&fence.key(&part.stream)).copied();
            let current = current.unwrap_or(ActivationNumber::NONE);
            if fence.number != current {
                return Err(AppendError::Fenced {
                    decider: part.stream.decider().clone(),
                    fence,
                    current,
                });
            }
        }
        Ok(())
    }

    fn check_commands(&self, parts: &[StreamAppend]) -> Result<(), AppendError> {
        let mut seen = HashSet::new();
        for part in parts {
            let Some(command) = &part.command else {
                continue;
            };
            let command_id = command.command_id;
            let key = (part.stream.namespace().clone(), command_id);
            if self.commands.contains(&key) || parts.len() > 1 && !seen.insert(key) {
                return Err(AppendError::DuplicateCommand { command_id });
            }
        }
        Ok(())
    }

    /// Checks each stream in the state after the earlier parts.
    fn check_streams(&self, parts: &[StreamAppend]) -> Result<(), AppendError> {
        let mut heads: HashMap<&StreamId, StreamHead> = HashMap::new();
        for part in parts {
            let stream = &part.stream;
            let head = heads.entry(stream).or_insert_with(|| self.head(stream));
            check_open(stream, head)?;
            if let Some(expected) = part.expected.version()
                && !part.expected.accepts(head.version)
            {
                return Err(AppendError::VersionConflict {
                    stream: stream.clone(),
                    expected,
                    current: head.version,
                });
            }
            if part.expected_previous_id.is_some()
                && part.expected_previous_id != head.last_event_id
            {
                return Err(AppendError::WrongPreviousId {
                    stream: stream.clone(),
                    current: head.last_event_id,
                });
            }
            for event in &part.events {
                check_open(stream, head)?;
                *head = after(head, event);
            }
        }
        Ok(())
    }

    fn check_registry(&self, parts: &[StreamAppend]) -> Result<(), AppendError> {
        let Some(registry) = &self.registry else {
            return Ok(());
        };
        for part in parts {
            for event in &part.events {
                let key = registry_key(&part.stream, event);
                if !registry.contains(&key) {
                    let (decider, event, schema_version) = key;
                    return Err(AppendError::EventUnregistered {
                        decider,
                        event,
                        schema_version,
                    });
                }
            }
        }
        Ok(())
    }

    fn check_event_ids(&self, parts: &[StreamAppend]) -> Result<(), AppendError> {
        let mut seen = HashSet::new();
        let events = parts.iter().flat_map(|part| &part.events);
        let are_several = events.clone().nth(1).is_some();
        for event in events {
            let event_id = event.event_id;
            if self.event_ids.contains(&event_id) || are_several && !seen.insert(event_id) {
                return Err(AppendError::DuplicateEventId { event_id });
            }
        }
        Ok(())
    }

    fn head(&self, stream: &StreamId) -> StreamHead {
        self.tips.get(stream).copied().unwrap_or_default().head
    }

    fn record(&mut self, append: Append, now: OffsetDateTime) -> Admitted {
        let mut admitted = Admitted::default();
        for part in append.parts {
            admitted
                .answers
                .push(self.record_events(&part.stream, part.events, now));
            if let Some(command) = part.command {
                self.commands
                    .insert((part.stream.namespace().clone(), command.command_id));
                admitted.commands.push(command);
            }
        }
        admitted
    }

    fn record_events(
        &mut self,
        stream: &StreamId,
        events: Vec<NewEvent>,
        now: OffsetDateTime,
    ) -> Appended {
        let tip = self.tips.entry(stream.clone()).or_default();
        let record = |event: NewEvent| {
            self.last_offset += 1;
            self.event_ids.insert(event.event_id);
            // The computer's clock may have been set back since the event before.
            let created_at = tip.updated_at.map_or(now, |newest| newest.max(now));
            let previous_id = tip.head.last_event_id;
            *tip = Tip {
                head: after(&tip.head, &event),
                updated_at: Some(created_at),
            };
            RecordedEvent {
                stream: stream.clone(),
                version: tip.head.version,
                position: Position::new(self.generation, 0, self.last_offset),
                previous_id,
                created_at,
                event,
            }
        };
        let events = events.into_iter().map(record).collect();
        Appended {
            version: tip.head.version,
            events,
        }
    }
}

/// The entry of the registry that `event` needs.
pub fn registry_key(stream: &StreamId, event: &NewEvent) -> RegistryKey {
    (
        stream.decider().clone(),
        event.event.clone(),
        event.schema_version,
    )
}

fn check_open(stream: &StreamId, head: &StreamHead) -> Result<(), AppendError> {
    if head.is_final {
        return Err(AppendError::StreamFinal {
            stream: stream.clone(),
            version: head.version,
        });
    }
    Ok(())
}

fn after(head: &StreamHead, event: &NewEvent) -> StreamHead {
    StreamHead {
        version: head.version.next(),
        last_event_id: Some(event.event_id),
        is_final: event.is_final,
    }
}
