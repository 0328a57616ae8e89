//! The parts that the tests of the runtime share: hostile modules, compiled once, and short ways to
//! call them.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use gavel_model::{Json, ModuleDigest};
use gavel_sandbox::{
    CompileError, Decision, Fault, GuestCommand, GuestContext, Instance, Limits, Module, Runtime,
    RuntimeOptions, State,
};
use tempfile::TempDir;

/// A folder that holds the code of `hostile`, so that it is compiled once however many limits are
/// tried on it.
static COMPILED: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = private_folder();
    let _ = block_on(try_prepare(
        &wasm("hostile"),
        Limits::default(),
        Some(folder.path()),
    ))
    .unwrap();
    folder
});

static HOSTILE: LazyLock<Module> = LazyLock::new(|| hostile_within(Limits::default()));

/// The bytes of a guest of `tests/guests`.
#[track_caller]
pub(crate) fn wasm(guest: &str) -> Vec<u8> {
    let folder = std::env::var_os("GAVEL_TEST_MODULES").map(PathBuf::from).expect(
        "GAVEL_TEST_MODULES names the folder of the compiled guests; `cargo xtask test` builds them and sets it",
    );
    let file = folder.join(guest).with_extension("wasm");
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The module that misbehaves on command, under the default limits.
pub(crate) fn hostile() -> Module {
    HOSTILE.clone()
}

/// The same under other limits.
pub(crate) fn hostile_within(limits: Limits) -> Module {
    let runtime = runtime(limits, Some(COMPILED.path()));
    block_on(runtime.load(ModuleDigest::of(&wasm("hostile")))).expect("the code is in the cache")
}

/// A runtime that compiles with the `gavel` binary.
pub(crate) fn runtime(limits: Limits, cache: Option<&Path>) -> Runtime {
    let options = RuntimeOptions {
        cache_dir: cache.map(Path::to_owned),
        program: PathBuf::from(env!("CARGO_BIN_EXE_gavel")),
        ..RuntimeOptions::default()
    };
    Runtime::new(limits, options).unwrap()
}

/// Prepares a component in a fresh runtime.
pub(crate) async fn try_prepare(
    wasm: &[u8],
    limits: Limits,
    cache: Option<&Path>,
) -> Result<Module, CompileError> {
    let runtime = runtime(limits, cache);
    runtime.prepare(ModuleDigest::of(wasm), wasm.to_vec()).await
}

pub(crate) async fn prepare(wasm: &[u8]) -> Result<Module, CompileError> {
    try_prepare(wasm, Limits::default(), None).await
}

/// A folder as the cache demands it.
pub(crate) fn private_folder() -> TempDir {
    let private = Permissions::from_mode(0o700);
    tempfile::Builder::new()
        .permissions(private)
        .tempdir()
        .unwrap()
}

/// Waits on a thread of its own, since a test may be on an async one already.
pub(crate) fn block_on<T: Send>(future: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let wait = || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(future)
        };
        scope.spawn(wait).join().unwrap()
    })
}

/// An instance with one state.
pub(crate) struct Guest {
    pub(crate) instance: Instance,
    pub(crate) state: State,
}

impl Guest {
    #[track_caller]
    pub(crate) fn of(module: &Module) -> Self {
        let mut instance = module.instantiate().unwrap();
        let state = instance.initial().unwrap();
        Self { instance, state }
    }

    pub(crate) fn decide(&mut self, command: &str, data: &str) -> Result<Decision, Fault> {
        self.decide_at(command, data, &context(1_000, 7))
    }

    pub(crate) fn decide_at(
        &mut self,
        command: &str,
        data: &str,
        context: &GuestContext,
    ) -> Result<Decision, Fault> {
        let command = GuestCommand {
            name: command.to_owned(),
            data: Json::parse(data).unwrap(),
        };
        self.instance.decide(&self.state, &command, context)
    }

    /// The data of the one event that `command` is answered with.
    #[track_caller]
    pub(crate) fn happened(
        &mut self,
        command: &str,
        data: &str,
        context: &GuestContext,
    ) -> serde_json::Value {
        match self.decide_at(command, data, context).unwrap() {
            Decision::Accepted(events) if events.len() == 1 => events[0].data.to_value(),
            other => panic!("not one event: {other:?}"),
        }
    }
}

pub(crate) fn context(now_ms: u64, seed: u64) -> GuestContext {
    GuestContext {
        command_id: "01990000-0000-7000-8000-000000000000".to_owned(),
        namespace: "default".to_owned(),
        stream_id: "s-1".to_owned(),
        version: 0,
        now_ms,
        seed,
        actor: Some("ann".to_owned()),
        metadata: vec![("key".to_owned(), "value".to_owned())],
    }
}

/// Asserts that `module` still does its work, in an instance of its own.
#[track_caller]
pub(crate) fn assert_works(module: &Module) {
    let mut guest = Guest::of(module);
    let Decision::Accepted(events) = guest.decide("Increment", "{}").unwrap() else {
        panic!("the command is accepted");
    };
    guest.instance.evolve(&guest.state, &events).unwrap();
    let snapshot = guest.instance.snapshot(&guest.state).unwrap();
    assert_eq!(snapshot.as_str(), "1");
}

/// A valid component that passes the look at its structure and takes compilers down: each of many
/// locals is carried through each of many loops, in 82 KB.
pub(crate) fn compile_bomb() -> Vec<u8> {
    const LOCALS: u32 = 5_000;
    let sets: String = (0..LOCALS)
        .map(|local| format!("(local.set {local} (call $f))"))
        .collect();
    let loops = "(loop (br_if 0 (i32.wrap_i64 (call $f))))".repeat(4_000);
    let gets: String = (0..LOCALS)
        .map(|local| format!("(call $g (local.get {local}))"))
        .collect();
    let locals = "(local i64)".repeat(LOCALS as usize);
    let bomb = format!(
        r#"(component (core module
            (import "" "f" (func $f (result i64)))
            (import "" "g" (func $g (param i64)))
            (func {locals} {sets} {loops} {gets})))"#
    );
    wat::parse_str(bomb).unwrap()
}

/// The default limits with one of them changed.
pub(crate) fn limits(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}
