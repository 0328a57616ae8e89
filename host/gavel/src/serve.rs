//! `gavel serve`: run the host.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use gavel_config::{Config, Flag};
use gavel_engine::catalog;
use gavel_http::{self as http, ApiSettings, AppState, Services, Tokens};
use gavel_model::{Activation, SystemClock};
use gavel_store::{OpenError, Outdated, Store};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::banner::Banner;
use super::exit::{Failure, Result};
use super::logging::{load, load_settings};
use super::options::{SettingsArguments, flag};
use super::{shutdown, wiring};

/// The time that a host may need to end, in addition to twice the time to drain: once for requests,
/// then once for pushes and rehearsals.
const LAST_STEPS: Duration = Duration::from_secs(5);

/// The time that the store may take to close, within the last steps.
const CLOSE_DEADLINE: Duration = Duration::from_secs(4);

#[derive(Debug, Default, Args)]
#[command(
    after_help = "Example:\n  gavel serve\n  gavel serve --store postgres://gavel@db/gavel --listen 127.0.0.1:8080\n\n`gavel config` shows all settings; these flags are the most common ones."
)]
pub(super) struct Arguments {
    /// Address and port to listen on [default: 127.0.0.1:4000].
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// sqlite://PATH, postgres://… or memory: [default: sqlite://.gavel/gavel.db].
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// The directory for files of the host [default: .gavel].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Refuse to start on an older schema instead of bringing it up to date.
    #[arg(long)]
    no_migrate: bool,
    /// Serve an address that others can reach although no token is configured.
    #[arg(long)]
    insecure_no_auth: bool,
}

impl Arguments {
    fn flags(&self) -> impl Iterator<Item = Flag> {
        let no_migrate = self.no_migrate.then_some(false);
        let insecure_no_auth = self.insecure_no_auth.then_some(true);
        [
            flag("server.listen", "--listen", self.listen.as_ref()),
            flag("store.url", "--store", self.store.as_ref()),
            flag("data.dir", "--data-dir", self.data_dir.as_ref()),
            flag("store.migrate", "--no-migrate", no_migrate.as_ref()),
            flag(
                "auth.insecure_no_auth",
                "--insecure-no-auth",
                insecure_no_auth.as_ref(),
            ),
        ]
        .into_iter()
        .flatten()
    }
}

pub(super) async fn run(arguments: &Arguments, settings: &SettingsArguments) -> Result {
    let flags: Vec<_> = arguments.flags().collect();
    let config = load_settings(settings, flags.clone())?;
    refuse_open_address(&config)?;
    let address = config.server.listen;
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))?;
    let bound = listener.local_addr().context("cannot tell the address")?;
    let banner = Banner::new(&config, bound);
    let api = wiring::api(&config);
    let (tokens, settings) = (api.tokens.clone(), settings.clone());
    let reload = move || reload(&tokens, &settings, flags.clone());
    let longest = wiring::server(&config).drain_timeout * 2 + LAST_STEPS;
    let stop = shutdown::on_signal(longest, reload)?;
    host(config, api, listener, || banner.show(), stop).await?;
    tracing::info!("stopped");
    Ok(())
}

/// Refuses an address that others can reach if no token is configured: everything is allowed then,
/// which is acceptable only for users of this machine.
fn refuse_open_address(config: &Config) -> Result {
    let address = config.server.listen;
    let is_protected = address.ip().to_canonical().is_loopback() || !config.auth.tokens.is_empty();
    if is_protected || config.auth.insecure_no_auth {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "{address} can be reached by others, and no token is configured\n  \
         add [[auth.tokens]] to gavel.toml, listen on 127.0.0.1, or say --insecure-no-auth"
    )))
}

/// Reads the tokens again, where they were read at the start. When anything is wrong there, they
/// stay as they are.
fn reload(tokens: &Tokens, settings: &SettingsArguments, flags: Vec<Flag>) {
    let replaced = load(settings, flags)
        .context("the settings are wrong")
        .and_then(|loaded| Ok(tokens.replace(loaded.config.auth.tokens)?));
    match replaced {
        Ok(()) => {
            tracing::info!("the tokens were read again; other settings are at the next start")
        }
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the tokens stay as they were");
        }
    }
}

/// Opens the store, calls `ready` when requests can be answered, and serves until `stop` is
/// cancelled and the last request is answered, at most `server.drain_deadline_ms` later.
async fn host(
    config: Config,
    api: ApiSettings,
    listener: TcpListener,
    ready: impl FnOnce(),
    stop: CancellationToken,
) -> Result {
    let recorder = http::recorder().context("cannot set up the metrics")?;
    let metrics = recorder.handle();
    metrics::set_global_recorder(recorder).context("cannot set up the metrics")?;
    let bound = listener.local_addr().context("cannot tell the address")?;
    let services = services(&config, bound).await?;
    let modules = services.modules.clone();
    let consumers = services.consumers.clone();
    let rehearsals = services.rehearsals.clone();
    let (views, gate) = (services.views.clone(), services.gate.clone());
    let store = services.store.clone();
    let state = AppState::new(services, api, metrics, stop.clone());
    let unloaded = modules.warm_up().await;
    for (activation, error) in unloaded.context("the active modules cannot be looked at")? {
        tell_of_unloaded(&activation, &error);
    }
    let keeper = consumers
        .keeper(http::delivery, Arc::new(SystemClock))
        .context("cannot push events")?;
    let keeping = tokio::spawn(keeper.run(stop.clone()));
    let rehearsing = tokio::spawn(rehearsals.keep(stop.clone()));
    let folding = tokio::spawn(views.keeper().run(stop.clone()));
    let comparing = tokio::spawn(gate.keep_comparisons(stop.clone()));
    let watching = tokio::spawn(end_when_outdated(store.clone(), stop.clone()));
    state.mark_ready();
    ready();
    let server = wiring::server(&config);
    let drain = server.drain_timeout;
    http::serve(listener, http::router(state), server, stop).await;
    // What is being pushed or rehearsed has the same time as what is being answered.
    let at_rest = async { tokio::try_join!(keeping, rehearsing, folding, comparing) };
    match tokio::time::timeout(drain, at_rest).await {
        Ok(rested) => drop(rested.context("what runs in the background has panicked")?),
        Err(_) => tracing::warn!(
            "some events were still being pushed, or modules rehearsed; another host begins with them again"
        ),
    }
    if tokio::time::timeout(CLOSE_DEADLINE, store.close())
        .await
        .is_err()
    {
        tracing::warn!("the store was still in use and is left as after a crash; nothing is lost");
    }
    match watching
        .await
        .context("what watches the schema has panicked")?
    {
        Some(outdated) => Err(Failure::Outdated(outdated)),
        None => Ok(()),
    }
}

/// Stops the host, as a signal does, when another host has raised the schema's floor above the
/// version of this one.
async fn end_when_outdated(store: Arc<dyn Store>, stop: CancellationToken) -> Option<Outdated> {
    tokio::select! {
        outdated = store.outdated() => {
            tracing::error!(schema.floor = outdated.floor, schema.known = outdated.known, "{outdated}");
            stop.cancel();
            Some(outdated)
        }
        () = stop.cancelled() => None,
    }
}

/// The others are served all the same; this one answers with what is wrong.
fn tell_of_unloaded(activation: &Activation, error: &catalog::Error) {
    let key = &activation.key;
    let digest = activation.digest.map(|digest| digest.to_string());
    let message = match error {
        catalog::Error::Outdated { .. } => {
            "an active module must be built with the present SDK and deployed again"
        }
        _ => "an active module cannot be loaded",
    };
    tracing::error!(
        kind = %key.kind(),
        name = %key.name(),
        namespace = %key.namespace(),
        module.digest = digest,
        error = error as &dyn std::error::Error,
        "{message}"
    );
}

async fn services(config: &Config, bound: SocketAddr) -> Result<Services> {
    let store = wiring::store(config).await.map_err(|error| match error {
        OpenError::Outdated(outdated) => Failure::Outdated(outdated),
        error => Failure::Error(error.into()),
    })?;
    let rows = wiring::rows(config).await;
    let rows = rows.context("the store of the rows of views cannot be opened")?;
    Ok(Services::new(
        store,
        rows,
        wiring::caching_runtime(config)?,
        wiring::commands(config),
        wiring::gate(config),
        wiring::push(config, bound),
        wiring::views(config),
    ))
}

#[cfg(test)]
mod tests {
    use gavel_config::{Source, StoreUrl, Token};

    use super::super::{Arguments as Cli, Command, test_server};
    use super::*;

    #[test]
    fn every_flag_reaches_its_setting() {
        let Cli {
            command, settings, ..
        } = test_server::parse(&[
            "serve",
            "--listen",
            "[::1]:8080",
            "--store",
            "memory:",
            "--data-dir",
            "/data",
            "--no-migrate",
            "--insecure-no-auth",
        ])
        .unwrap();
        let Command::Serve(arguments) = command else {
            panic!("serve")
        };
        let loaded = load(&settings, arguments.flags()).unwrap();
        let config = &loaded.config;
        assert_eq!(config.server.listen, "[::1]:8080".parse().unwrap());
        assert_eq!(config.store.url, StoreUrl::Memory);
        assert_eq!(config.data.dir, std::path::Path::new("/data"));
        assert!(!config.store.migrate && config.auth.insecure_no_auth);
        let from_flags = loaded
            .entries
            .iter()
            .filter(|entry| matches!(entry.source, Source::Flag(_)));
        assert_eq!(from_flags.count(), 5);
    }

    #[test]
    fn without_flags_no_setting_comes_from_the_command_line() {
        assert_eq!(Arguments::default().flags().count(), 0);
    }

    #[test]
    fn an_address_that_others_reach_needs_a_token_or_a_clear_word() {
        let on = |listen: &str| {
            let mut config = Config::default();
            config.server.listen = listen.parse().unwrap();
            config
        };
        for local in [
            "127.0.0.1:4000",
            "127.9.9.9:4000",
            "[::1]:4000",
            "[::ffff:127.0.0.1]:4000",
        ] {
            assert!(refuse_open_address(&on(local)).is_ok(), "{local}");
        }
        for open in ["0.0.0.0:4000", "[::]:4000", "10.0.0.1:4000"] {
            assert!(
                matches!(refuse_open_address(&on(open)), Err(Failure::Usage(_))),
                "{open}"
            );
            let mut insecure = on(open);
            insecure.auth.insecure_no_auth = true;
            assert!(refuse_open_address(&insecure).is_ok(), "{open}");
            let mut protected = on(open);
            protected.auth.tokens.push(Token::new("ci", [0; 32], []));
            assert!(refuse_open_address(&protected).is_ok(), "{open}");
        }
    }
}
