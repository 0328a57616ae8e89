//! One instance of a process's module, and the calls into it.

use std::collections::{BTreeMap, BTreeSet};

use gavel_model::{
    DeciderName, Json, Metadata, Order, RecordedEvent, Rejection, StreamKey, Task, TaskAction,
    TaskId, Version,
};
use time::OffsetDateTime;
use wasmtime::Store;

use super::Kind;
use super::sources::{QueryItem, SourcesCalls};
use crate::bindings::readers::exports::gavel::module::process::{self as wit, Guest, GuestIndices};
use crate::host::{Host, Surroundings};
use crate::log::printable;
use crate::running::Running;
use crate::value::{self, EventTexts, millis, within, without_nul};
use crate::{Fault, Module};

/// The longest part of a text of a guest that a reason repeats, in characters.
const REPEATED_CHARS: usize = 40;

pub(super) const KIND: Kind = Kind {
    is_run: false,
    load: |pre, store, instance| GuestIndices::new(pre)?.load(store, instance).map(drop),
    describe: |module| module.instantiate_process()?.describe(),
};

/// A running process with memory of its own.
///
/// Each call gets the whole of [`Limits::fuel`](crate::Limits::fuel) and
/// [`Limits::deadline`](crate::Limits::deadline). All methods run guest code: call them on a
/// guest's thread. After a fault that left the guest in pieces every call fails with
/// [`Fault::Spent`]: throw the instance away.
pub struct ProcessInstance {
    running: Running,
    guest: Guest,
    sources: Option<SourcesCalls>,
}

/// An instance of a process that is to be folded.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceToFold<'a> {
    /// The key.
    pub key: &'a StreamKey,
    /// The state; none if the instance has not begun, or was forgotten.
    pub state: Option<&'a Json>,
    /// The inputs, in the order of the log.
    pub inputs: &'a [InstanceInput<'a>],
}

/// Something that an instance of a process learns.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceInput<'a> {
    /// The time at which it was stored.
    pub at: OffsetDateTime,
    /// The thing that has happened.
    pub news: News<'a>,
}

/// The kinds of things that an instance of a process learns.
#[derive(Debug, Clone, PartialEq)]
pub enum News<'a> {
    /// An event whose keys name the instance.
    Event(&'a RecordedEvent),
    /// A wait is over: its task, and the time that it was for.
    Due(&'a TaskId, OffsetDateTime),
    /// A command was rejected, or can never be carried out: its task, and the reason.
    Rejected(&'a TaskId, &'a Rejection),
    /// The command of a task was accepted.
    Accepted(&'a TaskId),
    /// A person gave up a task.
    Abandoned(&'a TaskId),
}

/// An instance of a process after its inputs.
#[derive(Debug, Clone, PartialEq)]
pub struct FoldedInstance {
    /// The state to keep; none if there is nothing to remember and nothing to do.
    pub state: Option<Json>,
    /// The changes of the tasks after each input, in the order of the inputs.
    pub steps: Vec<TaskStep>,
}

/// The changes of the tasks of an instance after one input.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TaskStep {
    /// The tasks that are to be done from now on, in the order in which to begin them; no id comes
    /// twice.
    pub added: Vec<Task>,
    /// The tasks that are not to be done any longer; no id comes twice.
    pub gone: Vec<TaskId>,
}

/// The reason for which an instance of a process was not folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceFault {
    /// The place of the input in the instance's own list; none if it is no single one, or if the
    /// module does not tell.
    pub index: Option<usize>,
    /// The reason, one sentence.
    pub reason: String,
}

impl Module {
    /// A fresh instance of a process's module, which shares no memory with any other. Guest code
    /// runs: call it on a guest's thread.
    ///
    /// # Errors
    ///
    /// A [`Fault`] when the component's start code traps or exceeds a limit, or when it is no
    /// process.
    pub fn instantiate_process(&self) -> Result<ProcessInstance, Fault> {
        let pre = self.component();
        let (running, (guest, sources)) = self.start(pre, |store, instance| {
            let guest = GuestIndices::new(pre)?.load(&mut *store, instance)?;
            let sources = SourcesCalls::find(self.optional_interfaces(), pre, store, instance)?;
            Ok((guest, sources))
        })?;
        Ok(ProcessInstance {
            running,
            guest,
            sources,
        })
    }
}

impl ProcessInstance {
    /// The manifest.
    ///
    /// # Errors
    ///
    /// A [`Fault`]: the module cannot be used.
    pub fn describe(&mut self) -> Result<Json, Fault> {
        let text = self.call(|guest, store| guest.call_describe(store))?;
        value::document("the manifest", &text, self.running.limits().manifest_bytes)
    }

    /// The keys of the instances that learn of each event, in the order of the events; as the
    /// module names them.
    ///
    /// # Errors
    ///
    /// A [`Fault`].
    pub fn keys(&mut self, events: &[&RecordedEvent]) -> Result<Vec<Vec<String>>, Fault> {
        let texts: Vec<EventTexts<'_>> = events.iter().map(|event| EventTexts::of(event)).collect();
        let lowered: Vec<_> = texts.iter().map(EventTexts::lower).collect();
        let keys = self.call(|guest, store| guest.call_keys(store, &lowered))?;
        let (named, asked) = (keys.len(), events.len());
        if named != asked {
            return Err(broken(format!(
                "it names keys for {named} of {asked} events"
            )));
        }
        Ok(keys)
    }

    /// Folds inputs into the states of instances. Gives for each instance its new state, and the
    /// changes of its tasks after each input.
    ///
    /// # Errors
    ///
    /// A [`Fault`] says nothing of a single instance.
    pub fn fold(
        &mut self,
        instances: &[InstanceToFold<'_>],
    ) -> Result<Vec<Result<FoldedInstance, InstanceFault>>, Fault> {
        let texts: Vec<Vec<InputTexts<'_>>> = instances
            .iter()
            .map(|instance| instance.inputs.iter().map(InputTexts::of).collect())
            .collect();
        let inputs: Vec<Vec<wit::Input<'_>>> = texts
            .iter()
            .map(|texts| texts.iter().map(InputTexts::lower).collect())
            .collect();
        let lowered: Vec<_> = std::iter::zip(instances, &inputs)
            .map(|(instance, inputs)| wit::Instance {
                key: instance.key.as_str(),
                state: instance.state.map(Json::as_str),
                inputs,
            })
            .collect();
        let folded = self.call(|guest, store| guest.call_fold(store, &lowered))?;
        let (given, asked) = (folded.len(), instances.len());
        if given != asked {
            return Err(broken(format!("it folds {given} of {asked} instances")));
        }
        let bytes = folded.iter().filter_map(|folded| folded.as_ref().ok());
        let bytes = bytes.map(size_of_folded).sum();
        within(bytes, self.running.limits().output_bytes, "bytes of output")?;
        let folded = std::iter::zip(folded, instances).map(|(folded, instance)| match folded {
            Ok(folded) => checked_instance(folded, instance.inputs.len()),
            Err(error) => Err(InstanceFault {
                index: usize::try_from(error.index)
                    .ok()
                    .filter(|index| *index < instance.inputs.len()),
                reason: printable(&error.message),
            }),
        });
        Ok(folded.collect())
    }

    /// All that is to be done at a state, in the order in which to begin it; no id comes twice.
    ///
    /// # Errors
    ///
    /// A [`Fault`].
    pub fn todo(&mut self, key: &StreamKey, state: &Json) -> Result<Vec<Task>, Fault> {
        let (key, state) = (key.as_str(), state.as_str());
        let tasks = self.call(|guest, store| guest.call_todo(store, key, state))?;
        let bytes = tasks.iter().map(size_of_task).sum();
        within(bytes, self.running.limits().output_bytes, "bytes of output")?;
        checked_tasks(tasks).map_err(broken)
    }

    /// Tells whether the module can say which events an instance follows from.
    #[must_use]
    pub fn has_sources(&self) -> bool {
        self.sources.is_some()
    }

    /// The conditions of which an event of the instance has to match at least one.
    ///
    /// # Errors
    ///
    /// A [`Fault`].
    ///
    /// # Panics
    ///
    /// When the module cannot say so.
    pub fn sources(&mut self, key: &StreamKey) -> Result<Vec<QueryItem>, Fault> {
        let sources = self.sources.as_ref();
        let sources = sources.expect("only a module that has sources is asked for them");
        sources.of_key(&mut self.running, key.as_str())
    }

    /// The cost of the newest call, in units of fuel.
    #[must_use]
    pub fn fuel_used(&self) -> u64 {
        self.running.fuel_used()
    }

    /// Takes what the module wrote to stdout and stderr since the last time, cut at
    /// [`Limits::log_bytes`](crate::Limits::log_bytes); none if that is nothing.
    #[must_use]
    pub fn take_output(&mut self) -> Option<String> {
        self.running.take_output()
    }

    /// Tells whether a fault has left the instance unusable: then it can only be thrown away.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.running.is_spent()
    }

    fn call<T>(
        &mut self,
        call: impl FnOnce(&Guest, &mut Store<Host>) -> wasmtime::Result<T>,
    ) -> Result<T, Fault> {
        let guest = &self.guest;
        self.running
            .call(Surroundings::default(), |store| call(guest, store))
    }
}

impl std::fmt::Debug for ProcessInstance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessInstance")
            .field("is_spent", &self.is_spent())
            .finish_non_exhaustive()
    }
}

/// The parts of an input that are lent to a guest.
struct InputTexts<'a> {
    at_ms: u64,
    news: NewsTexts<'a>,
}

enum NewsTexts<'a> {
    Event(EventTexts<'a>),
    Other(wit::News<'a>),
}

impl<'a> InputTexts<'a> {
    fn of(input: &InstanceInput<'a>) -> Self {
        let news = match input.news {
            News::Event(event) => NewsTexts::Event(EventTexts::of(event)),
            News::Due(task, time) => {
                NewsTexts::Other(wit::News::Due((task.as_str(), millis(time))))
            }
            News::Rejected(task, rejection) => {
                let rejection = wit::Rejection {
                    code: &rejection.code,
                    message: &rejection.message,
                    data: rejection.data.as_ref().map(Json::as_str),
                };
                NewsTexts::Other(wit::News::Rejected((task.as_str(), rejection)))
            }
            News::Accepted(task) => NewsTexts::Other(wit::News::Accepted(task.as_str())),
            News::Abandoned(task) => NewsTexts::Other(wit::News::Abandoned(task.as_str())),
        };
        Self {
            at_ms: millis(input.at),
            news,
        }
    }

    fn lower(&self) -> wit::Input<'_> {
        let what = match &self.news {
            NewsTexts::Event(event) => wit::News::Event(event.lower()),
            NewsTexts::Other(news) => news.clone(),
        };
        wit::Input {
            at_ms: self.at_ms,
            what,
        }
    }
}

fn broken(reason: String) -> Fault {
    Fault::BrokeContract { reason }
}

fn size_of_folded(folded: &wit::Folded) -> usize {
    let steps = folded.steps.iter().map(|step| {
        let added: usize = step.added.iter().map(size_of_task).sum();
        let gone: usize = step.gone.iter().map(String::len).sum();
        added + gone
    });
    folded.state.as_ref().map_or(0, String::len) + steps.sum::<usize>()
}

fn size_of_task(task: &wit::Task) -> usize {
    let action = match &task.action {
        wit::Action::Send(order) => {
            let metadata = order.metadata.iter();
            let metadata: usize = metadata.map(|(key, value)| key.len() + value.len()).sum();
            let names = order.decider.len() + order.stream_id.len() + order.command.len();
            names + order.data.len() + metadata
        }
        wit::Action::WaitUntil(_) => size_of::<u64>(),
    };
    task.id.len() + action
}

fn checked_instance(folded: wit::Folded, inputs: usize) -> Result<FoldedInstance, InstanceFault> {
    let fault = |index, reason| InstanceFault { index, reason };
    let steps = folded.steps.len();
    if steps != inputs {
        let reason = format!("it gives {steps} steps for {inputs} inputs");
        return Err(fault(None, reason));
    }
    let state = folded.state.as_deref().map(Json::parse).transpose();
    let state = state.map_err(|error| fault(None, format!("the state: {error}")))?;
    let steps = folded.steps.into_iter().enumerate();
    let steps =
        steps.map(|(index, step)| checked_step(step).map_err(|reason| fault(Some(index), reason)));
    Ok(FoldedInstance {
        state,
        steps: steps.collect::<Result<_, _>>()?,
    })
}

fn checked_step(step: wit::Step) -> Result<TaskStep, String> {
    let mut seen = BTreeSet::new();
    let mut gone = Vec::with_capacity(step.gone.len());
    for id in step.gone {
        let id = task_id(id)?;
        if !seen.insert(id.clone()) {
            return Err(format!("the task `{id}` is gone twice"));
        }
        gone.push(id);
    }
    Ok(TaskStep {
        added: checked_tasks(step.added)?,
        gone,
    })
}

fn checked_tasks(tasks: Vec<wit::Task>) -> Result<Vec<Task>, String> {
    let mut seen = BTreeSet::new();
    let mut checked = Vec::with_capacity(tasks.len());
    for task in tasks {
        let id = task_id(task.id)?;
        if !seen.insert(id.clone()) {
            return Err(format!("the task `{id}` is listed twice"));
        }
        let action = checked_action(task.action);
        let action = action.map_err(|reason| format!("the task `{id}`: {reason}"))?;
        checked.push(Task { id, action });
    }
    Ok(checked)
}

fn task_id(text: String) -> Result<TaskId, String> {
    // Only what is refused is repeated, and not all of that.
    let shown: String = printable(&text).chars().take(REPEATED_CHARS).collect();
    TaskId::new(text).map_err(|error| format!("it names the task `{shown}`: {error}"))
}

fn checked_action(action: wit::Action) -> Result<TaskAction, String> {
    match action {
        wit::Action::Send(order) => checked_order(order).map(TaskAction::Send),
        wit::Action::WaitUntil(ms) => {
            let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000);
            let time = time.map_err(|_| "its time is after the year 9999".to_owned())?;
            Ok(TaskAction::WaitUntil(time))
        }
    }
}

fn checked_order(order: wit::Order) -> Result<Order, String> {
    without_nul("the command", &order.command)?;
    let version = order.expected_version.map(|number| {
        let version = Version::new(number);
        version.ok_or_else(|| format!("no stream has the version {number}"))
    });
    let mut metadata = BTreeMap::new();
    for (key, value) in order.metadata {
        if metadata.contains_key(&key) {
            let key: String = printable(&key).chars().take(REPEATED_CHARS).collect();
            return Err(format!("the metadata `{key}` is there twice"));
        }
        metadata.insert(key, value);
    }
    Ok(Order {
        decider: DeciderName::new(order.decider).map_err(|error| error.to_string())?,
        stream: StreamKey::new(order.stream_id).map_err(|error| error.to_string())?,
        command: order.command,
        data: Json::parse(&order.data).map_err(|error| format!("the data: {error}"))?,
        expected_version: version.transpose()?,
        metadata: Metadata::from_sender(metadata).map_err(|error| printable(&error.to_string()))?,
    })
}
