//! One pass over the commands of a batch: decide each, then append all in one step.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use gavel_model::{
    DeciderName, ExpectedVersion, LedgerMode, ModuleDigest, Namespace, NewEvent, StreamId,
};
use gavel_sandbox::Fault;
use gavel_sandbox::scheduling::TURN;
use gavel_store::{Append, AppendError, Appended, StreamAppend};
use uuid::Uuid;

use super::decision::{Decided, Task};
use super::given_up::GivenUpReason;
use super::hot::Company;
use super::session::{Guests, Session};
use super::{
    BatchError, CommandAnswer, CommandOptions, CommandRequest, Commands, Error, Origin,
    refused_append,
};
use crate::catalog::Active;

/// The end of an attempt without an answer.
#[derive(Debug)]
pub(super) enum AttemptError {
    /// Another writer was faster. Trying again may help, if the sender leaves that to the host.
    Lost(BatchError),
    /// A swap came in between. Trying again helps.
    Disturbed(BatchError),
    /// The append was broken off; it may have taken place. The ledger has the outcome.
    InDoubt,
    /// Another host has carried out the command meanwhile. The ledger has its outcome.
    Recorded,
    /// The refusal is the answer.
    Refused(BatchError),
}

/// One pass over the commands of a batch.
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    commands: &'a Commands,
    origin: &'a Origin,
    options: CommandOptions,
    /// The state of each stream, with the events that the batch has decided so far.
    sessions: HashMap<StreamId, Session>,
    /// The guests in which these states live, by module.
    guests: HashMap<ModuleDigest, Guests>,
    /// The states with which each of these states may share an instance.
    company: Company,
    parts: Vec<StreamAppend>,
    /// The size of the parts' events and of the answers' states, in bytes.
    bytes: usize,
    answers: Vec<CommandAnswer>,
    /// The module that was active for each decider when it was first needed.
    active: HashMap<DeciderName, Arc<Active>>,
}

/// A command was stopped: with a rejection, which is worth recording, or otherwise.
enum StoppedCommand {
    Rejected(Box<StreamAppend>, Error),
    Other(Error),
}

impl From<Error> for StoppedCommand {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl<'a> Attempt<'a> {
    pub(super) fn new(commands: &'a Commands, origin: &'a Origin, options: CommandOptions) -> Self {
        Self {
            commands,
            origin,
            options,
            sessions: HashMap::new(),
            guests: HashMap::new(),
            company: Company::Others,
            parts: Vec::new(),
            bytes: 0,
            answers: Vec::new(),
            active: HashMap::new(),
        }
    }

    pub(super) async fn run(
        mut self,
        requests: &[CommandRequest],
    ) -> Result<Vec<CommandAnswer>, AttemptError> {
        // All before the first decision: a rejection leaves rows for the commands behind it, too,
        // which have to be sound.
        let mut tasks = VecDeque::with_capacity(requests.len());
        let mut unknown = Ok(());
        for (index, request) in requests.iter().enumerate() {
            match self.task(request).await {
                Ok(task) => tasks.push_back(task),
                Err(error) => {
                    unknown = Err(BatchError::new(index, error));
                    break;
                }
            }
        }
        let checked = self.check(tasks).await;
        let tasks = match checked.and_then(|tasks| unknown.map(|()| tasks)) {
            Ok(tasks) => tasks,
            Err(reason) => return Err(self.refuse(requests, reason).await),
        };
        for (index, (request, task)) in requests.iter().zip(tasks).enumerate() {
            match self.decide(request, task).await {
                Ok(()) => {}
                Err(StoppedCommand::Rejected(part, rejected)) if !self.options.dry_run => {
                    self.record_rejection(requests, index, *part).await?;
                    return Err(AttemptError::Refused(BatchError::new(index, rejected)));
                }
                // Together they have no room in one instance; alone each may have.
                Err(StoppedCommand::Other(error))
                    if self.company == Company::Others
                        && !self.sessions.is_empty()
                        && is_crowded(&error) =>
                {
                    let mut apart = Self::new(self.commands, self.origin, self.options);
                    apart.company = Company::None;
                    drop(self);
                    return Box::pin(apart.run(requests)).await;
                }
                Err(StoppedCommand::Rejected(_, error) | StoppedCommand::Other(error)) => {
                    return Err(self.refuse(requests, BatchError::new(index, error)).await);
                }
            }
        }
        if self.options.dry_run {
            return match self.overtaken(requests).await {
                Ok(false) => Ok(self.answers),
                Ok(true) => Err(AttemptError::Disturbed(swap_under_way(requests))),
                Err(failure) => Err(failure),
            };
        }
        self.append(requests).await?;
        Ok(self.answers)
    }

    /// Brings a command and the module that is to decide it together.
    async fn task(&mut self, request: &CommandRequest) -> Result<Task, Error> {
        let active = self
            .active(request.stream.namespace(), request.stream.decider())
            .await?;
        let ledger = self.commands.ledger_of(&request.stream);
        Task::new(active, request, self.origin, ledger)
    }

    /// Checks the data of all commands on guests' threads, in turns as short as those of a shard.
    async fn check(&self, mut tasks: VecDeque<Task>) -> Result<Vec<Task>, BatchError> {
        let mut checked = Vec::with_capacity(tasks.len());
        while let Some(next) = tasks.front() {
            let module = next.active.decider.module().clone();
            let index = checked.len();
            let turn = move || {
                let began = Instant::now();
                while let Some(task) = tasks.pop_front() {
                    let fits = task.check();
                    fits.map_err(|error| BatchError::new(checked.len(), error))?;
                    checked.push(task);
                    if began.elapsed() >= TURN {
                        break;
                    }
                }
                Ok((tasks, checked))
            };
            let ended = self.commands.0.modules.runtime().run(&module, turn).await;
            (tasks, checked) =
                ended.map_err(|error| BatchError::new(index, Error::NotRun(error)))??;
        }
        Ok(checked)
    }

    /// Decides one command on the state that those before it have left.
    async fn decide(&mut self, request: &CommandRequest, task: Task) -> Result<(), StoppedCommand> {
        let active = task.active.clone();
        let (modules, store) = (&self.commands.0.modules, &*self.commands.0.store);
        let guests = self
            .guests
            .entry(active.decider.digest())
            .or_insert_with(|| Guests::new(modules, active.decider.clone(), self.company));
        let session = match self.sessions.remove(&request.stream) {
            Some(session) => session,
            None => Session::load(guests, store, &request.stream, None).await?,
        };
        let head = session.head();
        task.check_head(&head)?;

        let (command_id, module) = (task.command_id, active.decider.digest());
        let clock = self.commands.0.clock.clone();
        let (mut session, decided) = session.decide(guests, task, clock).await?;
        let Decided {
            part,
            rejection,
            now,
        } = decided;
        if let Some(rejection) = rejection {
            let (replayed, part) = (false, self.on_durable(part));
            let version = part.expected.version().unwrap_or(head.version);
            let rejected = Error::Rejected {
                rejection,
                command_id,
                version,
                module,
                replayed,
            };
            return Err(StoppedCommand::Rejected(Box::new(part), rejected));
        }
        let proposed = if self.options.dry_run {
            session.propose(&part.events, now)
        } else {
            Vec::new()
        };
        session.advance(&part.events);
        let mut state = None;
        if self.options.return_state {
            let (unchanged, json) = session.state(guests).await?;
            (session, state) = (unchanged, Some(json));
        }
        let events: usize = part.events.iter().map(NewEvent::size_bytes).sum();
        self.hold(events + state.as_ref().map_or(0, |state| state.as_str().len()))?;
        self.answers.push(CommandAnswer {
            command_id,
            stream: request.stream.clone(),
            version: session.head().version,
            replayed: false,
            module,
            events: proposed,
            state,
        });
        self.sessions.insert(request.stream.clone(), session);
        self.parts.push(part);
        Ok(())
    }

    /// Makes room for what a command leaves to be held until the batch is answered.
    fn hold(&mut self, bytes: usize) -> Result<(), Error> {
        let limit_bytes = self.commands.0.settings.batch_bytes;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > limit_bytes {
            return Err(Error::BatchTooLarge { limit_bytes });
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
    ) -> Result<(), AttemptError> {
        if requests.len() == 1 {
            self.parts.push(rejected);
            return self.append(requests).await;
        }
        // The fence of the rejection does not speak for the modules that have decided before it.
        if self.overtaken(requests).await? {
            return Err(AttemptError::Disturbed(swap_under_way(requests)));
        }
        let Some(module) = rejected.command.as_ref().map(|record| record.module) else {
            return Ok(());
        };
        let reason = GivenUpReason::BatchRejected(index);
        let never = |request| self.commands.never(request, module, self.origin, reason);
        let mut parts: Vec<_> = requests.iter().map(never).collect();
        parts[index] = rejected;
        self.store(requests, parts).await?;
        Ok(())
    }

    /// Appends what was decided, and completes the answers with it.
    async fn append(&mut self, requests: &[CommandRequest]) -> Result<(), AttemptError> {
        let parts = std::mem::take(&mut self.parts);
        let decisions = self.commands.0.modules.decisions();
        let undecided = decisions.of(&parts);
        let appended = self.store(requests, parts).await?;
        decisions.stored(undecided);
        for (answer, appended) in self.answers.iter_mut().zip(appended) {
            answer.version = appended.version;
            answer.events = appended.events;
        }
        Ok(())
    }

    async fn store(
        &self,
        requests: &[CommandRequest],
        parts: Vec<StreamAppend>,
    ) -> Result<Vec<Appended>, AttemptError> {
        let first_id = parts
            .iter()
            .find_map(|part| part.command.as_ref())
            .map(|record| record.command_id)
            .unwrap_or_default();
        match self.commands.0.store.append(Append { parts }).await {
            Ok(appended) => Ok(appended),
            Err(error) => Err(self.not_appended(requests, first_id, error).await),
        }
    }

    async fn not_appended(
        &self,
        requests: &[CommandRequest],
        command_id: Uuid,
        error: AppendError,
    ) -> AttemptError {
        let concerned = |stream: &StreamId| {
            requests
                .iter()
                .position(|request| request.stream == *stream)
                .unwrap_or(0)
        };
        match error {
            AppendError::VersionConflict { ref stream, .. }
            | AppendError::WrongPreviousId { ref stream, .. } => {
                // Whoever expects something of the stream hears of it, even if another command of
                // the batch came first.
                let index = requests
                    .iter()
                    .position(|request| {
                        request.stream == *stream && request.expected != ExpectedVersion::Any
                    })
                    .unwrap_or_else(|| concerned(stream));
                AttemptError::Lost(BatchError::new(index, refused_append(error, command_id)))
            }
            AppendError::StreamFinal { ref stream, .. } => {
                let index = concerned(stream);
                AttemptError::Refused(BatchError::new(index, refused_append(error, command_id)))
            }
            AppendError::Fenced { ref decider, .. } => {
                let index = requests
                    .iter()
                    .position(|request| request.stream.decider() == decider)
                    .unwrap_or(0);
                let namespace = requests[index].stream.namespace();
                match self.commands.0.modules.active(namespace, decider).await {
                    Ok(_) => AttemptError::Disturbed(BatchError::new(
                        index,
                        refused_append(error, command_id),
                    )),
                    Err(error) => {
                        AttemptError::Refused(BatchError::new(index, Error::Module(error)))
                    }
                }
            }
            AppendError::OutcomeUnknown(_) => AttemptError::InDoubt,
            AppendError::DuplicateCommand { .. } => AttemptError::Recorded,
            AppendError::DuplicateEventId { .. }
            | AppendError::EventUnregistered { .. }
            | AppendError::Corrupt(_)
            | AppendError::Overloaded { .. }
            | AppendError::Unavailable(_) => {
                AttemptError::Refused(BatchError::new(0, refused_append(error, command_id)))
            }
        }
    }

    /// Refuses the batch unless a swap came first. A refusal does not pass the fence of an append,
    /// so it holds only if no swap came before it.
    async fn refuse(&self, requests: &[CommandRequest], reason: BatchError) -> AttemptError {
        match self.overtaken(requests).await {
            Ok(true) => AttemptError::Disturbed(reason),
            Ok(false) => AttemptError::Refused(reason),
            Err(failure) => failure,
        }
    }

    /// Tells whether a module that this attempt has used is no longer the active one.
    async fn overtaken(&self, requests: &[CommandRequest]) -> Result<bool, AttemptError> {
        let Some(first) = requests.first() else {
            return Ok(false);
        };
        for (decider, used) in &self.active {
            let newest = self
                .commands
                .0
                .modules
                .active(first.stream.namespace(), decider)
                .await;
            let newest = newest
                .map_err(|error| AttemptError::Refused(BatchError::new(0, Error::Module(error))))?;
            if newest.is_none_or(|newest| newest.activation.number != used.activation.number) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn active(
        &mut self,
        namespace: &Namespace,
        decider: &DeciderName,
    ) -> Result<Arc<Active>, Error> {
        if let Some(active) = self.active.get(decider) {
            return Ok(active.clone());
        }
        let active = self
            .commands
            .0
            .modules
            .known_active(namespace, decider)
            .await
            .map_err(Error::Module)?;
        let active = active.ok_or_else(|| Error::DeciderNotFound {
            decider: decider.clone(),
        })?;
        self.active.insert(decider.clone(), active.clone());
        Ok(active)
    }
}

fn is_crowded(error: &Error) -> bool {
    let Error::Fault { fault, .. } = error else {
        return false;
    };
    matches!(fault, Fault::OutOfMemory { .. })
}

fn swap_under_way(requests: &[CommandRequest]) -> BatchError {
    let decider = requests[0].stream.decider().clone();
    BatchError::new(0, Error::SwapUnderWay { decider })
}
