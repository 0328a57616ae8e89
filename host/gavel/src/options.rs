//! The options that commands have in common.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use gavel_client::Client;
use gavel_config::Flag;
use reqwest::Url;

/// The form of the answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text for people.
    Text,
    /// JSON for programs.
    Json,
}

/// The connection of a client command to a host.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Client")]
pub struct Connection {
    /// The host to talk to.
    #[arg(long, global = true, env = "GAVEL_SERVER", value_name = "URL", default_value = "http://127.0.0.1:4000", value_parser = server_url)]
    pub server: Url,
    /// The namespace to work in.
    #[arg(
        long,
        global = true,
        env = "GAVEL_NAMESPACE",
        value_name = "NAME",
        default_value = "default"
    )]
    pub namespace: String,
    /// The bearer token; better given by the variable than on the command line.
    #[arg(long, global = true, env = "GAVEL_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
}

impl Connection {
    /// Prepares the connection; nothing is sent yet.
    pub(super) fn client(&self) -> Result<Client, gavel_client::Error> {
        Client::new(self.server.clone(), &self.namespace, self.token.as_deref())
    }
}

/// The sources of the settings, for commands that do a host's work.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Settings")]
pub(super) struct SettingsArguments {
    /// The file to read settings from [default: gavel.toml, if it exists].
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The form of the log on standard error [default: text on a terminal, else json].
    #[arg(long, global = true, value_parser = ["auto", "text", "json"], value_name = "FORMAT")]
    log_format: Option<String>,
}

impl SettingsArguments {
    /// The flags that set a setting.
    pub(super) fn flags(&self) -> Vec<Flag> {
        flag("log.format", "--log-format", self.log_format.as_ref())
            .into_iter()
            .collect()
    }
}

/// A flag that sets a setting, if it was given.
pub(super) fn flag(
    key: &'static str,
    flag: &'static str,
    value: Option<&impl ToString>,
) -> Option<Flag> {
    value.map(|value| Flag {
        key,
        flag,
        value: value.to_string(),
    })
}

fn server_url(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        _ => Err("expected a URL such as http://127.0.0.1:4000".to_owned()),
    }
}
