//! `gavel-instructions`: fixed loads whose instructions are counted, by callgrind. One task makes
//! them, and nothing in them depends on a clock. `cargo xtask bench instructions` counts two
//! lengths of each: the difference is without the start.
//!
//! The code of the module is compiled before anything is counted, and under valgrind as well, which
//! knows fewer instructions than new processors have. For guests on threads of the background
//! valgrind is of no use: there `rustix` looks for a page that valgrind hides.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use axum::body::Body;
use axum::http::Request;
use axum::{Router, body};
use clap::{Parser, ValueEnum};
use futures::future::try_join_all;
use gavel_bench_host::NativeAccount;
use gavel_engine::catalog::{Decider, Manifest, Modules, Ready};
use gavel_engine::command::CommandSettings;
use gavel_engine::streaming::{PushRules, PushSettings};
use gavel_engine::views::ViewSettings;
use gavel_gate::GateSettings;
use gavel_http::{ApiSettings, AppState, Services, recorder, router};
use gavel_model::{ActivationNumber, Event, Json, ModuleDigest, SystemClock};
use gavel_sandbox::{
    COMPILE_ARGUMENT, CONTRACT, Decision, GuestCommand, GuestContext, Limits, Module,
    NativeDecider as _, Runtime, RuntimeOptions, compile_unbounded,
};
use gavel_sqlite::SqliteStore;
use gavel_store::conformance::support::{
    activate_counter, activation, append, decided, incremented, key, module, stream, stream_of,
};
use gavel_store::{ActivationSet, MemoryStore, MemoryViews, NewActivation, NewModule, Store};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// The allocator of `gavel`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Commands of one round, each on a stream of its own.
const COMMANDS: u64 = 100;

/// The bytes that stand for a component of the account that is compiled in.
const NATIVE: &str = "native";

/// The bytes of an answer that are read.
const ANSWER_BYTES: usize = 1 << 20;

/// Carries out rounds of 100 commands.
#[derive(Debug, Parser)]
struct Arguments {
    #[arg(value_enum)]
    case: Case,
    rounds: u64,
    /// The component of the account.
    account: PathBuf,
    /// The folder of its compiled code.
    compiled: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Case {
    /// Appends of an event and a row of the ledger to a file of SQLite, in one transaction.
    Append,
    /// Deposits that the sandboxed account decides, and the folding of their events.
    Guest,
    /// The same calls of the account that is compiled in.
    Native,
    /// Deposits in one `POST /v1/commands`, from its body to the body of its answer, with the
    /// account compiled in and the store in memory.
    Json,
}

fn main() -> ExitCode {
    if std::env::args_os()
        .nth(1)
        .is_some_and(|argument| argument == COMPILE_ARGUMENT)
    {
        return compile_unbounded();
    }
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let rounds = arguments.rounds;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match arguments.case {
            Case::Append => append_to_sqlite(rounds).await,
            Case::Guest => call(rounds, &sandboxed(arguments).await?),
            Case::Native => call(rounds, &native()),
            Case::Json => answer_requests(rounds).await,
        }
    })
}

async fn append_to_sqlite(rounds: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("gavel.db");
    let store = SqliteStore::open(file, true, Arc::new(SystemClock)).await?;
    let fence = activate_counter(&store).await;
    for round in 0..rounds {
        let appends = (0..COMMANDS).map(|number| {
            let stream = stream(&number.to_string());
            let part = decided(&stream, fence, round, vec![incremented()]);
            append(&store, part)
        });
        try_join_all(appends).await?;
    }
    Ok(())
}

/// The account as a component, whose code is in its cache.
async fn sandboxed(arguments: &Arguments) -> Result<Module> {
    let account = std::fs::read(&arguments.account)?;
    let sandbox = sandbox(Some(arguments.compiled.clone()))?;
    Ok(sandbox.prepare(ModuleDigest::of(&account), account).await?)
}

/// The account that is compiled in. There is no component of it that a host could load.
fn native() -> Module {
    let digest = ModuleDigest::of(NATIVE.as_bytes());
    Module::native(digest, Arc::new(NativeAccount), Limits::default())
}

fn call(rounds: u64, module: &Module) -> Result<()> {
    let mut instance = module.instantiate()?;
    let opened = Event {
        name: "Opened".to_owned(),
        schema_version: 1,
        data: Json::parse(r#"{"owner":"ann"}"#)?,
        is_final: false,
        tags: Vec::new(),
    };
    let deposit = GuestCommand {
        name: "Deposit".to_owned(),
        data: Json::parse(r#"{"amount":1}"#)?,
    };
    let context = GuestContext {
        command_id: "00000000-0000-4000-8000-000000000000".to_owned(),
        namespace: "default".to_owned(),
        stream_id: "acc-1".to_owned(),
        version: 1,
        now_ms: 0,
        seed: 0,
        actor: None,
        metadata: Vec::new(),
    };
    let state = instance.initial()?;
    instance.evolve(&state, &[opened])?;
    for _ in 0..rounds * COMMANDS {
        match instance.decide(&state, &deposit, &context)? {
            Decision::Accepted(events) => instance.evolve(&state, &events)?,
            Decision::Rejected(rejection) => bail!("a Deposit was rejected: {rejection:?}"),
        }
    }
    Ok(())
}

async fn answer_requests(rounds: u64) -> Result<()> {
    let store = Arc::new(MemoryStore::new(Arc::new(SystemClock)));
    let services = Services::new(
        store.clone(),
        Arc::new(MemoryViews::new(Arc::new(SystemClock))),
        sandbox(None)?,
        CommandSettings::default(),
        GateSettings::default(),
        PushSettings {
            timeout: Duration::from_secs(1),
            rules: PushRules::new(None, SocketAddr::from((Ipv4Addr::LOCALHOST, 4000))),
        },
        ViewSettings::default(),
    );
    activate_natively(&*store, &services.modules).await?;
    let metrics = recorder()?.handle();
    let drain = CancellationToken::new();
    let state = AppState::new(services, ApiSettings::default(), metrics, drain);
    let router = router(state);

    let commands = |command: &str| {
        let commands: Vec<_> = (0..COMMANDS)
            .map(|number| format!(r#"{{"decider":"account","id":"acc-{number}",{command}}}"#))
            .collect();
        format!(r#"{{"commands":[{}]}}"#, commands.join(","))
    };
    let open = commands(r#""command":"Open","data":{"owner":"ann"}"#);
    let deposit = commands(r#""command":"Deposit","data":{"amount":1}"#);
    send(&router, &open).await?;
    for _ in 0..rounds {
        send(&router, &deposit).await?;
    }
    Ok(())
}

/// Activates the account that is compiled in.
async fn activate_natively(store: &dyn Store, modules: &Modules) -> Result<()> {
    let any_account = stream_of("default", "account", "any");
    let manifest = NativeAccount.describe();
    let refused = |reasons: Vec<String>| anyhow!(reasons.join(", "));
    let parsed = Manifest::parse(manifest.as_str()).map_err(refused)?;
    let decider = Arc::new(Decider::new(native(), parsed).map_err(refused)?);
    let stored = NewModule {
        manifest,
        contract: CONTRACT.to_owned(),
        ..module("account", NATIVE)
    };
    store.put_module(stored).await?;
    let activation = NewActivation {
        events: decider.manifest().event_types(),
        ..activation(&any_account, ActivationNumber::NONE, NATIVE)
    };
    let hold = store.hold(&[key(&any_account)].into()).await?;
    let moment = store.moment(any_account.namespace()).await?;
    let (set, ready) = (
        ActivationSet::new(vec![activation])?,
        [Ready::Decider(decider)],
    );
    modules.activate(hold, set, &moment, &ready).await?;
    Ok(())
}

/// Sends a batch, and reads its answer.
async fn send(router: &Router, batch: &str) -> Result<()> {
    let request = Request::post("/v1/commands")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(Body::from(batch.to_owned()))?;
    let answer = router.clone().oneshot(request).await?;
    let status = answer.status();
    let body = body::to_bytes(answer.into_body(), ANSWER_BYTES).await?;
    let has_problem = body.windows(8).any(|text| text == b"\"status\"");
    let text = || String::from_utf8_lossy(&body);
    ensure!(status.is_success() && !has_problem, "{status}: {}", text());
    Ok(())
}

/// A sandbox that may take as long as a program under callgrind does.
fn sandbox(cache_dir: Option<PathBuf>) -> Result<Runtime> {
    let limits = Limits {
        deadline: Duration::from_secs(600),
        compile_time: Duration::from_secs(600),
        ..Limits::default()
    };
    let options = RuntimeOptions {
        cache_dir,
        program: std::env::current_exe()?,
        threads: NonZeroUsize::MIN,
        ..RuntimeOptions::default()
    };
    Runtime::new(limits, options).context("cannot start the sandbox")
}
