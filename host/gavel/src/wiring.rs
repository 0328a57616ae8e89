//! The parts of a host, made as the settings say.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use gavel_config::{Config, GateMode, StoreUrl};
use gavel_engine::command::{CommandSettings, SnapshotPolicy};
use gavel_engine::streaming::{PushRules, PushSettings};
use gavel_engine::views::{ViewLimits, ViewSettings};
use gavel_gate::{GateSettings, Mode, Policy};
use gavel_http::{ApiSettings, BodyLimit, ServerSettings, Tokens};
use gavel_model::{PerDecider, SystemClock};
use gavel_postgres::{PostgresOptions, PostgresStore, PostgresViews};
use gavel_sandbox::{Limits, Runtime, RuntimeOptions};
use gavel_sqlite::{SqliteStore, SqliteViews};
use gavel_store::views::ViewStore;
use gavel_store::{MemoryStore, MemoryViews, OpenError, Store};

/// The folder of compiled code, below the data directory.
const CODE_CACHE: &str = "compiled";

/// A sandbox within the configured limits, with the cache of compiled code below the data
/// directory.
pub(super) fn caching_runtime(config: &Config) -> anyhow::Result<Runtime> {
    let cache_dir = config.data.dir.join(CODE_CACHE);
    runtime(config, limits(config), Some(cache_dir))
}

/// A sandbox within the configured limits, for one look at a module: it leaves no file behind.
pub(super) fn passing_runtime(config: &Config) -> anyhow::Result<Runtime> {
    runtime(config, limits(config), None)
}

/// A sandbox for inspecting a module that no host may run: imports other than the stand-ins exist,
/// and trap.
pub(super) fn inspecting_runtime(config: &Config) -> anyhow::Result<Runtime> {
    let limits = Limits {
        any_import: true,
        ..limits(config)
    };
    runtime(config, limits, None)
}

fn runtime(config: &Config, limits: Limits, cache_dir: Option<PathBuf>) -> anyhow::Result<Runtime> {
    let threads = size(config.sandbox.guest_threads);
    let options = RuntimeOptions {
        cache_dir,
        threads: NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN),
        queue: size(config.sandbox.queue),
        ..RuntimeOptions::default()
    };
    Runtime::new(limits, options).context("cannot start the sandbox")
}

fn limits(config: &Config) -> Limits {
    let sandbox = &config.sandbox;
    Limits {
        fuel: sandbox.fuel,
        deadline: Duration::from_millis(sandbox.deadline_ms),
        memory_bytes: size(sandbox.memory_bytes),
        table_elements: size(sandbox.table_elements),
        instances: size(sandbox.instances),
        handles: size(sandbox.handles),
        stack_bytes: size(sandbox.stack_bytes),
        hostcall_bytes: size(sandbox.hostcall_bytes),
        events: size(sandbox.events),
        output_bytes: size(sandbox.output_bytes),
        manifest_bytes: size(sandbox.manifest_bytes),
        log_bytes: size(sandbox.log_bytes),
        module_bytes: size(config.server.module_body_bytes),
        compile_time: Duration::from_secs(sandbox.compile_seconds),
        compile_time_per_mib: Duration::from_secs(sandbox.compile_seconds_per_mib),
        compile_memory_bytes: sandbox.compile_memory_bytes,
        ..Limits::default()
    }
}

/// The limits of commands.
pub(super) fn commands(config: &Config) -> CommandSettings {
    let commands = &config.commands;
    let ledger = config.gate.ledger;
    let policies = config.gate.filled_policies();
    CommandSettings {
        ledger: policies.fold(PerDecider::new(ledger), |policies, own| {
            policies.with(own.namespace, own.decider, own.ledger.unwrap_or(ledger))
        }),
        conflict_retries: commands.conflict_retries,
        hot_streams: size(commands.hot_streams),
        hot_bytes: size(commands.hot_bytes),
        queue: size(commands.queue),
        batch_bytes: size(commands.batch_bytes),
        snapshots: SnapshotPolicy {
            events: commands.snapshot_events,
            replay: Duration::from_millis(commands.snapshot_replay_ms),
        },
    }
}

/// The conditions for activating a module.
pub(super) fn gate(config: &Config) -> GateSettings {
    let gate = &config.gate;
    let default = Policy {
        mode: mode(gate.mode),
        max_changed_decisions: gate.max_changed_decisions,
        max_changed_rows: gate.max_changed_rows,
        max_fuel_increase: gate.max_fuel_increase,
    };
    let policies = gate.filled_policies();
    let policies = policies.fold(PerDecider::new(default), |policies, own| {
        let policy = Policy {
            mode: own.mode.map_or(default.mode, mode),
            max_changed_decisions: own
                .max_changed_decisions
                .unwrap_or(default.max_changed_decisions),
            max_changed_rows: own.max_changed_rows.unwrap_or(default.max_changed_rows),
            max_fuel_increase: own.max_fuel_increase.unwrap_or(default.max_fuel_increase),
        };
        policies.with(own.namespace, own.decider, policy)
    });
    GateSettings {
        policies,
        rehearsals: size(gate.rehearsals),
        all_rehearsals: size(gate.all_rehearsals),
        specs: Duration::from_millis(gate.specs_deadline_ms),
        snapshot_events: config.commands.snapshot_events,
    }
}

fn mode(mode: GateMode) -> Mode {
    match mode {
        GateMode::Enforce => Mode::Enforce,
        GateMode::Warn => Mode::Warn,
    }
}

/// The settings of the API: limits of requests, and tokens.
pub(super) fn api(config: &Config) -> ApiSettings {
    let server = &config.server;
    let body = |bytes, deadline_ms| BodyLimit {
        bytes: size(bytes),
        timeout: Duration::from_millis(deadline_ms),
    };
    ApiSettings {
        command_body: body(server.command_body_bytes, server.command_body_deadline_ms),
        bodies_bytes: size(server.bodies_bytes),
        module_body: body(server.module_body_bytes, server.module_body_deadline_ms),
        max_requests_in_flight: size(server.max_requests_in_flight),
        max_subscriptions: size(server.max_subscriptions),
        consumers_per_namespace: config.consumers.per_namespace,
        tokens: Tokens::new(config.auth.tokens.clone()),
        listen: server.listen.ip(),
        allowed_hosts: server.allowed_hosts.clone(),
        public_url: server.public_url.clone(),
        cors_origins: server.cors_origins.clone(),
        ..ApiSettings::default()
    }
}

/// The settings of connections.
pub(super) fn server(config: &Config) -> ServerSettings {
    let server = &config.server;
    ServerSettings {
        header_timeout: Duration::from_millis(server.header_deadline_ms),
        write_timeout: Duration::from_millis(server.write_deadline_ms),
        header_limit_bytes: size(server.header_bytes),
        max_connections: size(server.max_connections),
        drain_timeout: Duration::from_millis(server.drain_deadline_ms),
        ..ServerSettings::default()
    }
}

/// The settings for pushing, of a host that listens on `bound`.
pub(super) fn push(config: &Config, bound: SocketAddr) -> PushSettings {
    PushSettings {
        timeout: Duration::from_millis(config.push.deadline_ms),
        rules: PushRules::new(config.push.allow.clone(), bound),
    }
}

/// A setting as a size in memory. On a machine with smaller addresses, what is larger than all of
/// them is no limit.
pub(super) fn size(setting: u64) -> usize {
    usize::try_from(setting).unwrap_or(usize::MAX)
}

/// The store that the settings name, opened and, unless forbidden, with its schema brought up to
/// date.
pub(super) async fn store(config: &Config) -> Result<Arc<dyn Store>, OpenError> {
    let settings = &config.store;
    let clock = Arc::new(SystemClock);
    Ok(match &settings.url {
        StoreUrl::Memory => Arc::new(MemoryStore::new(clock)),
        StoreUrl::Sqlite(path) => Arc::new(SqliteStore::open(path, settings.migrate, clock).await?),
        StoreUrl::Postgres(url) => {
            let options = PostgresOptions {
                url: url.clone(),
                max_connections: settings.pool_size,
                migrate: settings.migrate,
                allow_unsafe_durability: settings.allow_unsafe_durability,
            };
            Arc::new(PostgresStore::open(options).await?)
        }
    })
}

/// The store of the rows of views: the one that the settings name, or else one beside the events.
pub(super) async fn rows(config: &Config) -> anyhow::Result<Arc<dyn ViewStore>> {
    let settings = &config.store;
    let clock = Arc::new(SystemClock);
    let url = match &config.views.store {
        Some(url @ StoreUrl::Postgres(_)) => url,
        Some(_) => bail!("`views.store` is a PostgreSQL database, or left out"),
        None => &settings.url,
    };
    Ok(match url {
        StoreUrl::Memory => Arc::new(MemoryViews::new(clock)),
        StoreUrl::Sqlite(path) => Arc::new(SqliteViews::open(rows_beside(path), clock).await?),
        StoreUrl::Postgres(url) => {
            let options = PostgresOptions {
                url: url.clone(),
                max_connections: settings.pool_size / 2,
                migrate: settings.migrate,
                allow_unsafe_durability: settings.allow_unsafe_durability,
            };
            Arc::new(PostgresViews::open(options).await?)
        }
    })
}

/// The file for the rows of views beside that of a log: `views.db` beside `gavel.db`, and
/// `NAME.views.db` beside `NAME.db`, so that two logs in one folder share nothing.
fn rows_beside(log: &Path) -> PathBuf {
    let name = log.file_stem().and_then(|name| name.to_str());
    match name.filter(|name| *name != "gavel") {
        Some(name) => log.with_file_name(format!("{name}.views.db")),
        None => log.with_file_name("views.db"),
    }
}

/// The settings of views.
pub(super) fn views(config: &Config) -> ViewSettings {
    let views = &config.views;
    let threads = size(config.sandbox.guest_threads);
    ViewSettings {
        limits: ViewLimits {
            keys: size(views.keys_per_event),
            row_bytes: size(views.row_bytes),
            sources: size(views.sources_per_row),
        },
        build_workers: NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN),
        history_events: views.history_events,
        wait: Duration::from_millis(views.wait_ms),
        keep_previous: Duration::from_secs(views.keep_previous_seconds),
        feed_events: views.feed_events,
    }
}

#[cfg(test)]
mod tests {
    use gavel_config::DeciderPolicy;
    use gavel_model::{DeciderName, LedgerMode, Namespace};

    use super::*;

    #[test]
    fn a_decider_with_a_policy_is_asked_the_same_as_all_others_but_for_what_it_says() {
        let (namespace, account) = (Namespace::default(), DeciderName::new("account").unwrap());
        let mut config = Config::default();
        config.gate.max_fuel_increase = 0.5;
        config.gate.policies.push(DeciderPolicy {
            namespace: namespace.clone(),
            decider: Some(account.clone()),
            mode: Some(GateMode::Warn),
            max_changed_decisions: Some(0.0),
            max_changed_rows: None,
            max_fuel_increase: None,
            ledger: Some(LedgerMode::Keys),
        });
        let (gate, commands) = (gate(&config), commands(&config));

        let other = DeciderName::new("order").unwrap();
        for (decider, mode, max_changed_decisions, ledger) in [
            (other, Mode::Enforce, 1.0, LedgerMode::Full),
            (account, Mode::Warn, 0.0, LedgerMode::Keys),
        ] {
            let policy = Policy {
                mode,
                max_changed_decisions,
                max_changed_rows: 0,
                max_fuel_increase: 0.5,
            };
            assert_eq!(*gate.policies.of(&namespace, &decider), policy);
            assert_eq!(*commands.ledger.of(&namespace, &decider), ledger);
        }
    }

    #[test]
    fn the_defaults_of_the_settings_are_those_of_the_gate() {
        assert_eq!(gate(&Config::default()), GateSettings::default());
    }
}
