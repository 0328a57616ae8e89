//! Sets up the log on standard error.

use std::io::IsTerminal as _;

use gavel_config::{self as config, Config, Flag, Loaded, Log, LogFormat};
use tracing_subscriber::fmt;

use super::exit;
use super::options::SettingsArguments;

/// Reads the settings and sets up the log as they say.
pub(super) fn load_settings(
    arguments: &SettingsArguments,
    flags: impl IntoIterator<Item = Flag>,
) -> exit::Result<Config> {
    let Loaded { config, .. } = load(arguments, flags)?;
    start(&config.log);
    Ok(config)
}

/// Reads the settings.
pub(super) fn load(
    arguments: &SettingsArguments,
    flags: impl IntoIterator<Item = Flag>,
) -> Result<Loaded, config::Error> {
    let flags = arguments.flags().into_iter().chain(flags).collect();
    Config::load(arguments.config.as_deref(), flags)
}

fn start(log: &Log) {
    let terminal = std::io::stderr().is_terminal();
    let lines = fmt::Subscriber::builder()
        .with_env_filter(log.filter.to_env_filter())
        .with_writer(std::io::stderr);
    // On a terminal the library decides on colour, as it knows `NO_COLOR`.
    let lines = if terminal {
        lines
    } else {
        lines.with_ansi(false)
    };
    let json = match log.format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    // A second command in one process, as in tests, keeps the first one's log.
    let _ = if json {
        tracing::subscriber::set_global_default(lines.json().finish())
    } else {
        tracing::subscriber::set_global_default(lines.finish())
    };
}
