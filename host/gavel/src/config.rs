//! `gavel config`: show each setting and where it came from.

use clap::Args;
use gavel_config::Entry;
use serde_json::Value;

use super::exit::Result;
use super::logging::load;
use super::options::SettingsArguments;
use super::output::{Output, table};

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  gavel config\n  GAVEL_STORE_URL=memory: gavel config\n\nSecrets are left out. With -o json each setting comes with its variable, default and description."
)]
pub(super) struct Arguments {}

pub(super) fn run(settings: &SettingsArguments, output: &mut Output<'_>) -> Result {
    let entries = load(settings, [])?.entries;
    if output.is_json() {
        return output.json(&entries);
    }
    output.text(&in_words(&entries))
}

fn in_words(entries: &[Entry]) -> String {
    let rows = entries.iter().map(|entry| {
        let value = match &entry.value {
            Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        [entry.key.clone(), value, entry.source.to_string()]
    });
    table(["SETTING", "VALUE", "FROM"], rows)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{Exit, test_server};

    #[test]
    fn each_setting_is_shown_with_its_source_and_without_secrets() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gavel.toml");
        std::fs::write(&file, "[store]\nurl = 'postgres://ann:s3cret@db/gavel'\n").unwrap();
        let file = file.to_str().unwrap();

        let ran = test_server::run(&["config", "--config", file, "--log-format", "text"]);
        assert_eq!(ran.exit, Exit::Done);
        assert!(!ran.data.contains("s3cret"));
        let line = |key: &str| ran.data.lines().find(|line| line.contains(key)).unwrap();
        assert!(line("store.url").contains("postgres://ann:***@db/gavel"));
        assert!(line("store.url").ends_with(file));
        assert!(line("log.format").ends_with("--log-format"));
        assert!(line("server.listen").contains("127.0.0.1:4000"));

        let ran = test_server::run(&["config", "--config", file, "-o", "json"]);
        let entries: Value = serde_json::from_str(&ran.data).unwrap();
        let listen = entries
            .as_array()
            .unwrap()
            .iter()
            .find(|entry| entry["key"] == "server.listen")
            .unwrap();
        assert_eq!(listen["variable"], "GAVEL_SERVER_LISTEN");
        assert_eq!(listen["default"], json!("127.0.0.1:4000"));
    }

    #[test]
    fn bad_settings_are_a_usage_error_that_names_them() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gavel.toml");
        std::fs::write(&file, "[store]\npool_size = 0\nuri = 'x'\n").unwrap();
        let ran = test_server::run(&["config", "--config", file.to_str().unwrap()]);
        assert_eq!((ran.exit, ran.data.as_str()), (Exit::Usage, ""));
        assert!(
            ran.notes
                .starts_with("error: 2 settings are wrong:\n  `store.pool_size` from "),
            "{}",
            ran.notes
        );
    }
}
