//! The filter and the form of the log.

use tracing_subscriber::EnvFilter;

use super::area::area;
use super::setting::Setting;

area! {
    /// The log that the host writes to standard error.
    pub struct Log in "log" {
        /// The lines to write: a level such as `info`, or levels by module as in
        /// `info,gavel_postgres=debug`.
        filter: LogFilter = LogFilter("info".to_owned());
        /// `text` for people, `json` for programs; `auto` is text on a terminal, else JSON.
        format: LogFormat = LogFormat::Auto;
    }
}

/// A filter of log lines that is known to parse.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub struct LogFilter(String);

impl LogFilter {
    /// The filter in the form that the subscriber takes.
    ///
    /// # Panics
    ///
    /// Never: the text was parsed before.
    #[must_use]
    pub fn to_env_filter(&self) -> EnvFilter {
        EnvFilter::try_new(&self.0).expect("the filter was checked when it was read")
    }
}

impl Setting for LogFilter {
    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        let text = value.as_str().unwrap_or_default();
        match EnvFilter::try_new(text) {
            Ok(_) if !text.is_empty() => Ok(Self(text.to_owned())),
            _ => Err("a log filter such as `info` or `info,gavel_postgres=debug`".to_owned()),
        }
    }

    fn to_json(&self) -> serde_json::Value {
        self.0.as_str().into()
    }
}

/// The form of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub enum LogFormat {
    /// Text on a terminal, otherwise JSON.
    Auto,
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Setting for LogFormat {
    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        match value.as_str() {
            Some("auto") => Ok(Self::Auto),
            Some("text") => Ok(Self::Text),
            Some("json") => Ok(Self::Json),
            _ => Err("`auto`, `text` or `json`".to_owned()),
        }
    }

    fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Auto => "auto",
            Self::Text => "text",
            Self::Json => "json",
        }
        .into()
    }
}
