//! A host without HTTP: a store, a sandbox, and the loop between them.

use std::path::PathBuf;
use std::sync::Arc;

use gavel_engine::catalog::Modules;
use gavel_engine::command::{
    CommandAnswer, CommandOptions, CommandRequest, CommandSettings, Commands, Error, Origin,
    StateAt,
};
use gavel_engine::streaming::Log;
use gavel_engine::views::{ViewSettings, Views};
use gavel_gate::{ActivationRequest, Gate, GateSettings};
use gavel_model::{
    ActivationKey, DeciderName, ExpectedVersion, Json, Metadata, Namespace, StreamId, SystemClock,
    Version,
};
use gavel_sandbox::{BackgroundThrottle, Limits, Runtime, RuntimeOptions};
use gavel_store::{MemoryStore, MemoryViews, Snapshot, Store};
use serde_json::Value;

/// A host with one decider.
pub(crate) struct Host {
    store: Arc<dyn Store>,
    modules: Modules,
    decider: DeciderName,
    pub(crate) commands: Commands,
}

impl Host {
    /// A host that runs the module `name` under that name.
    pub(crate) async fn start(name: &str, settings: CommandSettings) -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(SystemClock)));
        let options = RuntimeOptions {
            program: PathBuf::from(env!("CARGO_BIN_EXE_gavel")),
            ..RuntimeOptions::default()
        };
        let runtime = Runtime::new(Limits::default(), options).unwrap();
        let modules = Modules::new(store.clone(), runtime);
        let (module, _) = modules.upload(wasm(name), None).await.unwrap();
        let decider = DeciderName::new(name).unwrap();
        let clock = Arc::new(SystemClock);
        let log = Log::new(store.clone(), clock.clone(), BackgroundThrottle::default());
        let views = Views::new(
            Arc::new(MemoryViews::new(clock.clone())),
            store.clone(),
            store.clone(),
            log,
            modules.clone(),
            clock,
            ViewSettings::default(),
        );
        let gate = Gate::new(
            store.clone(),
            modules.clone(),
            views,
            GateSettings::default(),
        );
        let activation = ActivationRequest {
            key: ActivationKey::of_decider(&Namespace::default(), &decider),
            digest: module.digest,
            message: None,
            accept: Vec::new(),
            activated_by: None,
        };
        gate.activate(activation).await.unwrap();
        let commands = commands(&store, &modules, settings);
        Self {
            store,
            modules,
            decider,
            commands,
        }
    }

    /// A second host on the same store, with nothing in memory.
    pub(crate) fn beside(&self, settings: CommandSettings) -> Commands {
        commands(&self.store, &self.modules, settings)
    }

    /// Leaves a snapshot for hosts that have nothing in their memory.
    pub(crate) async fn put_snapshot(&self, snapshot: Snapshot) {
        self.store.put_snapshots(vec![snapshot]).await.unwrap();
    }

    pub(crate) fn stream(&self, id: &str) -> StreamId {
        StreamId::new(Namespace::default(), self.decider.clone(), id).unwrap()
    }
}

fn commands(store: &Arc<dyn Store>, modules: &Modules, settings: CommandSettings) -> Commands {
    Commands::new(
        store.clone(),
        modules.clone(),
        Arc::new(SystemClock),
        settings,
    )
}

/// Sends a command, and asks for the state after it.
pub(crate) async fn send(
    commands: &Commands,
    stream: &StreamId,
    command: &str,
    data: Value,
) -> Result<CommandAnswer, Error> {
    let request = CommandRequest {
        stream: stream.clone(),
        command: command.to_owned(),
        data: Some(Json::from_value(&data).unwrap()),
        metadata: Metadata::default(),
        command_id: None,
        expected: ExpectedVersion::Any,
    };
    let options = CommandOptions {
        return_state: true,
        ..CommandOptions::default()
    };
    commands.execute(request, &Origin::default(), options).await
}

/// The state and version of a stream, by way of a snapshot if there is one.
pub(crate) async fn newest(commands: &Commands, stream: &StreamId) -> (Value, Version) {
    let answer = commands.state(stream, StateAt::Newest, None).await.unwrap();
    (answer.state.to_value(), answer.version)
}

/// The state at a version, folded from the first event on.
pub(crate) async fn folded(commands: &Commands, stream: &StreamId, version: Version) -> Value {
    let moment = StateAt::Version(version);
    let answer = commands.state(stream, moment, None).await.unwrap();
    answer.state.to_value()
}

fn wasm(name: &str) -> Vec<u8> {
    let folder = std::env::var_os("GAVEL_TEST_MODULES").map(PathBuf::from).expect(
        "GAVEL_TEST_MODULES names the folder of the compiled guests; `cargo xtask test` builds them and sets it",
    );
    let file = folder.join(name).with_extension("wasm");
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
