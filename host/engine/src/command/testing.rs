//! A host without guests, for the tests beside the command loop: a store in memory, and a decider
//! that is compiled in.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use gavel_model::{
    Activation, ActivationKey, ActivationNumber, DeciderName, Event, ExpectedVersion, Json,
    Metadata, ModuleDigest, ModuleKind, Namespace, Rejection, StreamId, SystemClock, Version,
    new_id,
};
use gavel_sandbox::{
    CONTRACT, Decision, Fault, GuestCommand, GuestContext, Limits, Module, NativeDecider,
    NativeFold, Runtime, RuntimeOptions,
};
use gavel_store::{ActivationSet, MemoryStore, NewActivation, NewModule, Store};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{
    BatchError, CommandAnswer, CommandOptions, CommandRequest, CommandSettings, Commands, Error,
    Origin,
};
use crate::catalog::{Active, Decider, Manifest, Modules, Ready};

/// The decider of the tests: it adds up numbers.
///
/// `Add` adds `n`, `Take` takes it away unless there is less, `Note` decides nothing, `End` ends
/// the stream, and `Fail` ends in the next of [`Tally::failing_with`], or decides nothing after
/// them.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    faults: Arc<Mutex<VecDeque<Fault>>>,
}

/// The state of [`Tally`].
#[derive(Debug)]
struct Sum {
    sum: i64,
    decider: Tally,
}

impl Tally {
    pub(super) const NAME: &str = "tally";

    /// A decider whose `Fail` ends in `faults`, one after the other.
    pub(super) fn failing_with(faults: impl IntoIterator<Item = Fault>) -> Self {
        let tally = Self::default();
        tally.faults.lock().unwrap().extend(faults);
        tally
    }

    /// The decider, ready to decide.
    fn ready(self) -> Arc<Decider> {
        let manifest = self.describe();
        let digest = ModuleDigest::of(Self::NAME.as_bytes());
        let module = Module::native(digest, Arc::new(self), Limits::default());
        let manifest = Manifest::parse(manifest.as_str()).unwrap();
        Arc::new(Decider::new(module, manifest).unwrap())
    }

    /// The decider at work, without a store that knows of it.
    pub(super) fn active(self) -> Arc<Active> {
        let decider = self.ready();
        let activation = Activation {
            key: key(),
            number: ActivationNumber::NONE.next(),
            digest: Some(decider.digest()),
            replaces: None,
            activated_at: OffsetDateTime::UNIX_EPOCH,
            activated_by: None,
            message: None,
            accepted: Vec::new(),
            report: Json::empty_object(),
        };
        Arc::new(Active {
            activation,
            decider,
        })
    }

    fn fold(&self, sum: i64) -> Box<dyn NativeFold> {
        let decider = self.clone();
        Box::new(Sum { sum, decider })
    }
}

impl NativeDecider for Tally {
    fn describe(&self) -> Json {
        let commands = ["Add", "Take", "Note", "End", "Fail"].map(|name| json!({ "name": name }));
        let events = ["Added", "Ended"].map(|name| json!({ "name": name }));
        let manifest = json!({
            "kind": "decider", "name": Self::NAME, "commands": commands, "events": events,
        });
        Json::from_value(&manifest).unwrap()
    }

    fn initial(&self) -> Box<dyn NativeFold> {
        self.fold(0)
    }

    fn restore(&self, snapshot: &Json) -> Result<Box<dyn NativeFold>, String> {
        let sum = snapshot.to_value()["sum"].as_i64();
        let sum = sum.ok_or("there is no sum")?;
        Ok(self.fold(sum))
    }
}

impl NativeFold for Sum {
    fn evolve(&mut self, events: &[Event]) -> Result<(), Fault> {
        for event in events {
            self.sum += event.data.to_value()["n"].as_i64().unwrap_or(0);
        }
        Ok(())
    }

    fn decide(&self, command: &GuestCommand, _: &GuestContext) -> Result<Decision, Fault> {
        let n = command.data.to_value()["n"].as_i64().unwrap_or(0);
        let decided = |name: &str, n: i64| {
            Decision::Accepted(vec![Event {
                name: name.to_owned(),
                schema_version: 1,
                data: Json::from_value(&json!({ "n": n })).unwrap(),
                is_final: name == "Ended",
                tags: Vec::new(),
            }])
        };
        Ok(match command.name.as_str() {
            "Add" => decided("Added", n),
            "Take" if n > self.sum => Decision::Rejected(Rejection {
                code: "too-little".to_owned(),
                message: format!("there are {}", self.sum),
                data: None,
            }),
            "Take" => decided("Added", -n),
            "End" => decided("Ended", 0),
            "Fail" => match self.decider.faults.lock().unwrap().pop_front() {
                Some(fault) => return Err(fault),
                None => Decision::Accepted(Vec::new()),
            },
            _ => Decision::Accepted(Vec::new()),
        })
    }

    fn snapshot(&self) -> Result<Json, Fault> {
        Ok(Json::from_value(&json!({ "sum": self.sum })).unwrap())
    }
}

/// Some hosts on one store, each with hot states of its own.
pub(super) struct Hosts {
    pub(super) store: Arc<dyn Store>,
    modules: Modules,
}

impl Hosts {
    /// Hosts that run `decider`.
    pub(super) async fn running(decider: Tally) -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(SystemClock)));
        let runtime = Runtime::new(Limits::default(), RuntimeOptions::default()).unwrap();
        let hosts = Self {
            modules: Modules::new(store.clone(), runtime),
            store,
        };
        let manifest = decider.describe();
        let decider = decider.ready();
        let module = NewModule {
            digest: decider.digest(),
            wasm: Tally::NAME.as_bytes().to_vec(),
            kind: ModuleKind::Decider,
            contract: CONTRACT.to_owned(),
            name: Tally::NAME.to_owned(),
            manifest,
            imports: Vec::new(),
        };
        hosts.store.put_module(module).await.unwrap();
        let activation = NewActivation {
            key: key(),
            after: ActivationNumber::NONE,
            digest: Some(decider.digest()),
            events: decider.manifest().event_types(),
            activated_by: None,
            message: None,
            accepted: Vec::new(),
            report: Json::empty_object(),
        };
        let set = ActivationSet::new(vec![activation]).unwrap();
        let hold = hosts.store.hold(&[key()].into()).await.unwrap();
        let moment = hosts.store.moment(&Namespace::default()).await.unwrap();
        let ready = [Ready::Decider(decider)];
        let activated = hosts.modules.activate(hold, set, &moment, &ready);
        activated.await.unwrap();
        hosts
    }

    /// Another host, with nothing in memory.
    pub(super) fn host(&self) -> Commands {
        let (store, modules) = (self.store.clone(), self.modules.clone());
        let settings = CommandSettings::default();
        Commands::new(store, modules, Arc::new(SystemClock), settings)
    }
}

fn name() -> DeciderName {
    DeciderName::new(Tally::NAME).unwrap()
}

fn key() -> ActivationKey {
    ActivationKey::of_decider(&Namespace::default(), &name())
}

pub(super) fn stream(id: &str) -> StreamId {
    StreamId::new(Namespace::default(), name(), id).unwrap()
}

/// A command that leaves everything else to the host.
pub(super) fn command(id: &str, command: &str, n: i64) -> CommandRequest {
    CommandRequest {
        stream: stream(id),
        command: command.to_owned(),
        data: Some(Json::from_value(&json!({ "n": n })).unwrap()),
        metadata: Metadata::default(),
        command_id: Some(new_id()),
        expected: ExpectedVersion::Any,
    }
}

/// A command on a stream that its sender expects at `version`.
pub(super) fn expecting(id: &str, command_name: &str, n: i64, version: u64) -> CommandRequest {
    let version = Version::new(version).unwrap();
    CommandRequest {
        expected: ExpectedVersion::Exact(version),
        ..command(id, command_name, n)
    }
}

const SHOWN: CommandOptions = CommandOptions {
    retry_conflicts: true,
    dry_run: false,
    return_state: true,
};

/// Sends a command by itself.
pub(super) async fn send(host: &Commands, command: CommandRequest) -> Result<CommandAnswer, Error> {
    host.execute(command, &Origin::default(), SHOWN).await
}

/// Sends commands as an atomic batch.
pub(super) async fn send_all<const N: usize>(
    host: &Commands,
    commands: [CommandRequest; N],
) -> Result<Vec<CommandAnswer>, BatchError> {
    host.execute_atomic(commands.into(), &Origin::default(), SHOWN)
        .await
}

/// Sends commands as a dry run.
pub(super) async fn try_all<const N: usize>(
    host: &Commands,
    commands: [CommandRequest; N],
) -> Result<Vec<CommandAnswer>, BatchError> {
    let options = CommandOptions {
        dry_run: true,
        ..SHOWN
    };
    host.execute_atomic(commands.into(), &Origin::default(), options)
        .await
}

/// The version of the stream after an answer, and the sum.
pub(super) fn shown(answer: &CommandAnswer) -> (u64, i64) {
    let sum = answer.state.as_ref().unwrap().to_value()["sum"].as_i64();
    (answer.version.get(), sum.unwrap())
}

/// The JSON of a snapshot.
pub(super) fn sum(sum: i64) -> Json {
    let value: Value = json!({ "sum": sum });
    Json::from_value(&value).unwrap()
}
