//! One pass over the commands of a batch, or of a dry run: each is decided on its stream, which the
//! pass has for itself, and all are appended in one step.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use gavel_model::{
    DeciderName, ExpectedVersion, LedgerMode, NewEvent, Position, RecordedEvent, StreamId,
};
use gavel_sandbox::scheduling::TURN;
use gavel_store::{Append, AppendError, Appended, StreamAppend, StreamHead};
use time::OffsetDateTime;

use super::confirm::Grounds;
use super::decision::{Decided, PreparedCommand};
use super::given_up::{GivenUpReason, never};
use super::hot::{Reservation, ReservedDecision, Settled};
use super::stop::{Stop, Stopped};
use super::{CommandAnswer, CommandOptions, CommandRequest, Commands, Error, Origin};
use crate::catalog::Active;

/// One pass over the commands of a batch.
#[derive(Debug)]
pub(super) struct BatchRun<'a> {
    commands: &'a Commands,
    origin: &'a Origin,
    options: CommandOptions,
    /// The module that was active for each decider when it was first needed.
    active: HashMap<DeciderName, Arc<Active>>,
    /// The streams of the batch, in the order in which every batch reserves them.
    streams: BTreeMap<StreamId, ReservedStream>,
    parts: Vec<StreamAppend>,
    /// The size of the parts' events and of the answers' states, in bytes.
    bytes: usize,
    answers: Vec<CommandAnswer>,
}

/// A stream that the batch has for itself.
#[derive(Debug)]
struct ReservedStream {
    reservation: Reservation,
    /// The head of the stream without the events of the batch; none before its first command.
    durable: Option<StreamHead>,
}

/// The stop of a command: with a rejection, which is worth recording, or otherwise.
enum StoppedCommand {
    Rejected(Box<StreamAppend>, Error),
    Other(Stop),
}

impl From<Stop> for StoppedCommand {
    fn from(stop: Stop) -> Self {
        Self::Other(stop)
    }
}

impl<'a> BatchRun<'a> {
    pub(super) fn new(commands: &'a Commands, origin: &'a Origin, options: CommandOptions) -> Self {
        Self {
            commands,
            origin,
            options,
            active: HashMap::new(),
            streams: BTreeMap::new(),
            parts: Vec::new(),
            bytes: 0,
            answers: Vec::new(),
        }
    }

    pub(super) async fn run(
        mut self,
        requests: &[CommandRequest],
    ) -> Result<Vec<CommandAnswer>, Stopped> {
        match self.pass(requests).await {
            Ok(()) => Ok(self.answers),
            Err(Stopped { index, stop }) => {
                let stop = self.commands.resolve(stop, self.grounds()).await;
                Err(Stopped::new(index, stop))
            }
        }
    }

    async fn pass(&mut self, requests: &[CommandRequest]) -> Result<(), Stopped> {
        let prepared = self.prepare(requests).await?;
        self.reserve(requests).await?;
        self.decide_all(requests, prepared).await?;
        if self.options.dry_run {
            let confirmed = self.commands.confirm(self.grounds()).await;
            confirmed.map_err(|stop| Stopped::new(0, stop))
        } else {
            self.append(requests).await
        }
    }

    /// Decides the commands in order. Records a rejection, which ends the batch.
    async fn decide_all(
        &mut self,
        requests: &[CommandRequest],
        prepared: Vec<PreparedCommand>,
    ) -> Result<(), Stopped> {
        for (index, prepared) in prepared.into_iter().enumerate() {
            match self.decide(prepared).await {
                Ok(()) => {}
                Err(StoppedCommand::Rejected(part, rejected)) if !self.options.dry_run => {
                    self.record_rejection(requests, index, *part).await?;
                    return Err(Stopped::new(index, Stop::refused(rejected)));
                }
                Err(StoppedCommand::Rejected(_, error)) => {
                    let stop = Stop::unconfirmed(error, None);
                    return Err(Stopped::new(index, stop));
                }
                Err(StoppedCommand::Other(stop)) => return Err(Stopped::new(index, stop)),
            }
        }
        Ok(())
    }

    /// Prepares and checks all commands before the first decision: a rejection leaves rows for the
    /// commands behind it, too, which have to be sound.
    async fn prepare(
        &mut self,
        requests: &[CommandRequest],
    ) -> Result<Vec<PreparedCommand>, Stopped> {
        let mut prepared = VecDeque::with_capacity(requests.len());
        let mut unknown = Ok(());
        for (index, request) in requests.iter().enumerate() {
            let ledger = self.commands.0.settings.ledger_of(&request.stream);
            let command = match self.decided_by(&request.stream).await {
                Ok(active) => PreparedCommand::new(active, request, self.origin, ledger),
                Err(error) => Err(error),
            };
            match command {
                Ok(command) => prepared.push_back(command),
                Err(error) => {
                    unknown = Err(Stopped::new(index, Stop::unconfirmed(error, None)));
                    break;
                }
            }
        }
        let checked = self.check(prepared).await?;
        unknown.map(|()| checked)
    }

    async fn decided_by(&mut self, stream: &StreamId) -> Result<Arc<Active>, Error> {
        if let Some(active) = self.active.get(stream.decider()) {
            return Ok(active.clone());
        }
        let active = self.commands.decided_by(stream).await?;
        self.active.insert(stream.decider().clone(), active.clone());
        Ok(active)
    }

    /// Checks the data of all commands on guests' threads, in turns as short as those of a shard.
    async fn check(
        &self,
        mut commands: VecDeque<PreparedCommand>,
    ) -> Result<Vec<PreparedCommand>, Stopped> {
        let mut checked = Vec::with_capacity(commands.len());
        while let Some(next) = commands.front() {
            let module = next.active.decider.module().clone();
            let index = checked.len();
            let turn = move || {
                let began = Instant::now();
                while let Some(command) = commands.pop_front() {
                    command.check().map_err(|error| {
                        let stop = Stop::unconfirmed(error, None);
                        Stopped::new(checked.len(), stop)
                    })?;
                    checked.push(command);
                    if began.elapsed() >= TURN {
                        break;
                    }
                }
                Ok((commands, checked))
            };
            let ended = self.commands.0.modules.runtime().run(&module, turn).await;
            (commands, checked) = ended
                .map_err(|error| Stopped::new(index, Stop::refused(Error::NotRun(error))))??;
        }
        Ok(checked)
    }

    /// Takes the streams of the batch away from other commands, so that neither loses races against
    /// the other.
    async fn reserve(&mut self, requests: &[CommandRequest]) -> Result<(), Stopped> {
        let mut wanted: Vec<(usize, &StreamId)> = requests
            .iter()
            .map(|request| &request.stream)
            .enumerate()
            .collect();
        // In one order for everyone, so that two batches never wait for each other.
        wanted.sort_by_key(|(_, stream)| *stream);
        wanted.dedup_by_key(|(_, stream)| *stream);
        for (index, stream) in wanted {
            let active = self.decided_by(stream).await;
            let active = active.map_err(|error| Stopped::new(index, Stop::refused(error)))?;
            let reservation = self.commands.0.hot.reserve(&active, stream).await;
            let reserved = ReservedStream {
                reservation: reservation.map_err(|stop| Stopped::new(index, stop))?,
                durable: None,
            };
            self.streams.insert(stream.clone(), reserved);
        }
        Ok(())
    }

    /// Decides one command on the state that those before it have left.
    async fn decide(&mut self, prepared: PreparedCommand) -> Result<(), StoppedCommand> {
        let (command_id, stream) = (prepared.command_id, prepared.stream.clone());
        let module = prepared.active.decider.digest();
        let reserved = self.streams.get_mut(&stream);
        let reserved = reserved.expect("each stream of the batch is reserved");
        let decided = reserved
            .reservation
            .decide(prepared, self.options.return_state);
        let ReservedDecision {
            decided,
            state,
            durable,
        } = match decided.await {
            Ok(decision) => decision,
            Err(stop) => {
                if let Stop::Unconfirmed { head, .. } = &stop {
                    reserved.durable = reserved.durable.or(*head);
                }
                return Err(stop.into());
            }
        };
        let Decided {
            part,
            rejection,
            now,
        } = decided;
        reserved.durable = Some(durable);
        let before = part.expected.version().unwrap_or_default();
        if let Some(rejection) = rejection {
            let (replayed, part) = (false, self.on_durable(part));
            let rejected = Error::Rejected {
                rejection,
                command_id,
                version: part.expected.version().unwrap_or_default(),
                module,
                replayed,
            };
            return Err(StoppedCommand::Rejected(Box::new(part), rejected));
        }
        let events: usize = part.events.iter().map(NewEvent::size_bytes).sum();
        let shown = state.as_ref().map_or(0, |state| state.as_str().len());
        self.hold(events + shown)?;
        let proposed = match self.options.dry_run {
            true => proposed(&part, now),
            false => Vec::new(),
        };
        self.answers.push(CommandAnswer {
            command_id,
            stream,
            version: before.plus(part.events.len()),
            replayed: false,
            module,
            events: proposed,
            state,
        });
        self.parts.push(part);
        Ok(())
    }

    /// Makes room for what a command leaves to be held until the batch is answered.
    fn hold(&mut self, bytes: usize) -> Result<(), Stop> {
        let limit_bytes = self.commands.0.settings.batch_bytes;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > limit_bytes {
            let error = Error::BatchTooLarge { limit_bytes };
            return Err(Stop::unconfirmed(error, None));
        }
        Ok(())
    }

    /// Makes a rejection as it is recorded: at the version that the stream has without the events
    /// of the batch, which are dropped. A rejection that builds on such events cannot be decided
    /// again.
    fn on_durable(&self, mut part: StreamAppend) -> StreamAppend {
        let before = self
            .parts
            .iter()
            .find(|before| before.stream == part.stream);
        if let Some(durable) = before
            && durable.expected != part.expected
        {
            part.expected = durable.expected;
            part.expected_previous_id = durable.expected_previous_id;
            if let (Some(record), Some(version)) = (&mut part.command, durable.expected.version()) {
                record.version = version;
                record.ledger = LedgerMode::Keys;
            }
        }
        part
    }

    /// Records that the command at `index` was rejected, and with it that none of the batch is
    /// carried out.
    async fn record_rejection(
        &mut self,
        requests: &[CommandRequest],
        index: usize,
        rejected: StreamAppend,
    ) -> Result<(), Stopped> {
        // The rejection's own checks do not speak for what was decided before it.
        let confirmed = self.commands.confirm(self.grounds()).await;
        confirmed.map_err(|stop| Stopped::new(index, stop))?;
        let Some(module) = rejected.command.as_ref().map(|record| record.module) else {
            return Ok(());
        };
        let (reason, now) = (
            GivenUpReason::BatchRejected(index),
            self.commands.0.clock.now(),
        );
        let rows = requests.iter();
        let mut parts: Vec<_> = rows
            .map(|request| never(request, module, self.origin, reason, now))
            .collect();
        parts[index] = rejected;
        self.store(requests, parts).await?;
        Ok(())
    }

    /// Appends what was decided, and completes the answers with it.
    async fn append(&mut self, requests: &[CommandRequest]) -> Result<(), Stopped> {
        let parts = std::mem::take(&mut self.parts);
        let decisions = self.commands.0.modules.decisions();
        let pending = decisions.of(&parts);
        let appended = self.store(requests, parts).await?;
        decisions.stored(pending);
        for reserved in self.streams.values_mut() {
            reserved.reservation.settle(Settled::Durable);
        }
        for (answer, appended) in self.answers.iter_mut().zip(appended) {
            answer.version = appended.version;
            answer.events = appended.events;
        }
        Ok(())
    }

    async fn store(
        &mut self,
        requests: &[CommandRequest],
        parts: Vec<StreamAppend>,
    ) -> Result<Vec<Appended>, Stopped> {
        let appended = self.commands.0.store.append(Append { parts }).await;
        appended.map_err(|error| self.stopped_by(requests, &error))
    }

    /// Tells which command a failed append stops, and lets go of the state that was found to be
    /// another one.
    fn stopped_by(&mut self, requests: &[CommandRequest], error: &AppendError) -> Stopped {
        let first = |concerns: &dyn Fn(&CommandRequest) -> bool| requests.iter().position(concerns);
        let is_expected = |request: &CommandRequest| request.expected != ExpectedVersion::Any;
        let index = match error {
            AppendError::VersionConflict { stream, .. }
            | AppendError::WrongPreviousId { stream, .. }
            | AppendError::StreamFinal { stream, .. } => {
                if let Some(reserved) = self.streams.get_mut(stream) {
                    reserved.reservation.settle(Settled::of(error, true));
                }
                // Whoever expects something of the stream hears of it, even if another command of
                // the batch came first.
                first(&|request| request.stream == *stream && is_expected(request))
                    .or_else(|| first(&|request| request.stream == *stream))
            }
            AppendError::Fenced { decider, .. } => {
                first(&|request| request.stream.decider() == decider)
            }
            AppendError::DuplicateEventId { .. }
            | AppendError::EventUnregistered { .. }
            | AppendError::DuplicateCommand { .. }
            | AppendError::Overloaded { .. }
            | AppendError::Unavailable(_)
            | AppendError::Corrupt(_)
            | AppendError::OutcomeUnknown(_) => None,
        };
        let index = index.unwrap_or(0);
        let command_id = requests[index].command_id.unwrap_or_default();
        Stopped::new(
            index,
            Stop::of_append(error, requests[index].expected, command_id),
        )
    }

    /// Lists what the decisions so far are built on.
    fn grounds(&self) -> Grounds<'_> {
        let heads = self.streams.iter().filter_map(|(stream, reserved)| {
            let active = self.active.get(stream.decider())?;
            Some((stream, active, reserved.durable?))
        });
        Grounds {
            modules: self.active.values().collect(),
            heads: heads.collect(),
        }
    }
}

/// Makes the events of a part as they would be stored at `now`.
fn proposed(part: &StreamAppend, now: OffsetDateTime) -> Vec<RecordedEvent> {
    let mut version = part.expected.version().unwrap_or_default();
    let mut previous_id = part.expected_previous_id;
    let events = part.events.iter();
    events
        .map(|event| {
            version = version.next();
            RecordedEvent {
                stream: part.stream.clone(),
                version,
                position: Position::BEGINNING,
                previous_id: previous_id.replace(event.event_id),
                created_at: now,
                event: event.clone(),
            }
        })
        .collect()
}
