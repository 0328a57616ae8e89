//! A command on its way through a decider: prepared, and decided on one state.

use std::sync::Arc;
use std::time::Instant;

use gavel_model::{
    Clock, CommandId, CommandOutcome, CommandRecord, Event, ExpectedVersion, Fingerprint,
    JsonError, LedgerMode, Metadata, NewEvent, Rejection, StreamId, Version, new_id, reserved,
};
use gavel_sandbox::{Decision, Fault, GuestCommand, GuestContext, Instance, State};
use gavel_store::{Fence, StreamAppend, StreamHead};
use rand::Rng as _;
use time::OffsetDateTime;

use super::{CommandRequest, Error, Origin, SchemaViolation};
use crate::catalog::{Active, Unfit};

/// A command, and the module which is to decide it. It is decided once its data are
/// [checked](Self::check).
#[derive(Debug)]
pub(super) struct PreparedCommand {
    pub(super) active: Arc<Active>,
    pub(super) stream: StreamId,
    pub(super) command_id: CommandId,
    pub(super) expected: ExpectedVersion,
    command: GuestCommand,
    ledger: LedgerMode,
    fingerprint: Fingerprint,
    metadata: Metadata,
    origin: Origin,
}

/// A decision that is not stored yet.
#[derive(Debug)]
pub(super) struct Decided {
    /// The part to store: the events, the ledger's row, and the expected version of the stream.
    pub(super) part: StreamAppend,
    /// The decider's rejection; none when it accepted the command.
    pub(super) rejection: Option<Rejection>,
    /// The time that the decider saw.
    pub(super) now: OffsetDateTime,
}

impl PreparedCommand {
    /// Brings a request and the module that is to decide it together; the ledger will keep as much
    /// as `ledger` says.
    ///
    /// # Errors
    ///
    /// `CommandUnknown`, or `InvalidData` for what cannot be kept, whatever its schema.
    pub(super) fn new(
        active: Arc<Active>,
        request: &CommandRequest,
        origin: &Origin,
        ledger: LedgerMode,
    ) -> Result<Self, Error> {
        let named = active.decider.check_name(&request.command);
        named.map_err(|unfit| unfit_error(unfit, &request.stream, &request.command))?;
        let Some(data) = request.data.clone() else {
            return Err(Error::InvalidData {
                violations: vec![SchemaViolation {
                    pointer: String::new(),
                    message: JsonError::NulCharacter.to_string(),
                }],
            });
        };
        Ok(Self {
            active,
            stream: request.stream.clone(),
            command_id: request.command_id.unwrap_or_else(new_id),
            expected: request.expected,
            fingerprint: fingerprint(request),
            command: GuestCommand {
                name: request.command.clone(),
                data,
            },
            ledger,
            metadata: request.metadata.clone(),
            origin: origin.clone(),
        })
    }

    /// Checks the data against the command's schema, which the module's author may have made as
    /// expensive as the bounds allow: call it on a guest's thread.
    ///
    /// # Errors
    ///
    /// `InvalidData`.
    pub(super) fn check(&self) -> Result<(), Error> {
        let decider = &self.active.decider;
        let began = Instant::now();
        let checked = decider.check_command(&self.command.name, &self.command.data);
        decider.module().count_host_work(began.elapsed());
        checked.map_err(|unfit| unfit_error(unfit, &self.stream, &self.command.name))
    }

    /// Checks that the stream has not ended, and is at the version that the sender expects.
    ///
    /// # Errors
    ///
    /// `StreamFinal` or `VersionConflict`.
    pub(super) fn check_head(&self, head: &StreamHead) -> Result<(), Error> {
        if head.is_final {
            return Err(Error::StreamFinal {
                stream: self.stream.clone(),
                version: head.version,
            });
        }
        let expected = self.expected.version();
        if let Some(expected) = expected.filter(|expected| *expected != head.version) {
            return Err(Error::VersionConflict {
                stream: self.stream.clone(),
                expected,
                current: head.version,
            });
        }
        Ok(())
    }

    /// Decides at `state`, and folds what was decided into it. Runs guest code: call it on a
    /// guest's thread.
    ///
    /// # Errors
    ///
    /// A [`Fault`], after which `state` is not to be used any more.
    pub(super) fn decide(
        &self,
        clock: &dyn Clock,
        instance: &mut Instance,
        state: &State,
        head: &StreamHead,
    ) -> Result<Decided, Fault> {
        let mut record = self.record(clock.now(), head.version);
        let decision = instance.decide(state, &self.command, &GuestContext::from(&record))?;
        record.fuel = instance.fuel_used();
        let mut part = StreamAppend {
            stream: self.stream.clone(),
            expected: ExpectedVersion::Exact(head.version),
            // A version may be another event's, after the database was put back to an earlier
            // state.
            expected_previous_id: head.last_event_id,
            events: Vec::new(),
            command: None,
            fence: Some(Fence::of_decider(self.active.activation.number)),
        };
        let rejection = match decision {
            Decision::Rejected(rejection) => {
                record.outcome = CommandOutcome::Rejected(rejection.clone());
                Some(rejection)
            }
            Decision::Accepted(events) => {
                let declared = self.active.decider.check_events(&events);
                declared.map_err(|reason| Fault::BrokeContract { reason })?;
                if !events.is_empty() {
                    // Folded before they are stored: nothing is stored that cannot be folded.
                    instance.evolve(state, &events)?;
                }
                record.outcome = CommandOutcome::Accepted {
                    events: u32::try_from(events.len()).unwrap_or(u32::MAX),
                };
                let metadata = self.event_metadata(&record);
                part.events = events
                    .into_iter()
                    .map(|event| to_new_event(event, self.command_id, metadata.clone()))
                    .collect();
                None
            }
        };
        let now = record.now;
        part.command = Some(record);
        Ok(Decided {
            part,
            rejection,
            now,
        })
    }

    /// Makes the ledger's row, as far as it is known before the decision.
    fn record(&self, now: OffsetDateTime, version: Version) -> CommandRecord {
        CommandRecord {
            command_id: self.command_id,
            stream: self.stream.clone(),
            command: self.command.name.clone(),
            data: self.command.data.clone(),
            ledger: self.ledger,
            fingerprint: self.fingerprint,
            now,
            seed: rand::rng().random(),
            actor: self.origin.actor.clone(),
            metadata: self.metadata.clone(),
            version,
            module: self.active.decider.digest(),
            outcome: CommandOutcome::Accepted { events: 0 },
            fuel: 0,
        }
    }

    /// Builds the metadata of each event: the sender's and the host's.
    fn event_metadata(&self, record: &CommandRecord) -> Metadata {
        let mut metadata = record
            .metadata
            .clone()
            .with(reserved::MODULE, record.module.to_string());
        for key in [reserved::CORRELATION_ID, reserved::CAUSATION_ID] {
            if metadata.get(key).is_none() {
                metadata = metadata.with(key, record.command_id.to_string());
            }
        }
        if let Some(actor) = &self.origin.actor {
            metadata = metadata.with(reserved::ACTOR, actor.clone());
        }
        if let Some(traceparent) = &self.origin.traceparent {
            metadata = metadata.with(reserved::TRACEPARENT, traceparent.clone());
        }
        metadata
    }
}

/// Computes the fingerprint of a request: the same command id with another fingerprint is another
/// command.
pub(super) fn fingerprint(request: &CommandRequest) -> Fingerprint {
    let (stream, command, metadata) = (&request.stream, &request.command, &request.metadata);
    match &request.data {
        Some(data) => Fingerprint::of_command(stream, command, data, metadata),
        // Of what is never recorded.
        None => Fingerprint::of([]),
    }
}

/// Computes the head of a stream at `head` after `events` were appended.
pub(super) fn after(head: StreamHead, events: &[NewEvent]) -> StreamHead {
    match events.last() {
        None => head,
        Some(newest) => StreamHead {
            version: head.version.plus(events.len()),
            last_event_id: Some(newest.event_id),
            is_final: newest.is_final,
        },
    }
}

fn unfit_error(unfit: Unfit, stream: &StreamId, command: &str) -> Error {
    match unfit {
        Unfit::UnknownCommand { did_you_mean } => Error::CommandUnknown {
            decider: stream.decider().clone(),
            command: command.to_owned(),
            did_you_mean,
        },
        Unfit::InvalidData(violations) => Error::InvalidData {
            violations: violations
                .into_iter()
                .map(|(pointer, message)| SchemaViolation { pointer, message })
                .collect(),
        },
    }
}

/// Makes an event to append: the host makes its id.
fn to_new_event(event: Event, command_id: CommandId, metadata: Metadata) -> NewEvent {
    let Event {
        name,
        schema_version,
        data,
        is_final,
        tags,
    } = event;
    NewEvent {
        event_id: new_id(),
        event: name,
        schema_version,
        data,
        is_final,
        tags,
        metadata,
        command_id,
    }
}
