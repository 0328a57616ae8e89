//! Merges the layers of settings.

use std::io;
use std::path::{Path, PathBuf};

use super::environment;
use super::reader::LayerReader;
use super::{
    Auth, Commands, Consumers, Data, Entry, Error, Flag, Gate, Log, Problem, Push, Sandbox, Server,
    Store, Views,
};

/// The file that is read if none is named and this one exists.
const DEFAULT_FILE: &str = "gavel.toml";

/// All settings of a host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// The listener, and the limits of requests.
    pub server: Server,
    /// The directory of the host's own files.
    pub data: Data,
    /// The store of events, commands and modules.
    pub store: Store,
    /// The limits of running commands.
    pub commands: Commands,
    /// The limits of a module.
    pub sandbox: Sandbox,
    /// The conditions for activating a module.
    pub gate: Gate,
    /// The limits for consumers.
    pub consumers: Consumers,
    /// The settings of views.
    pub views: Views,
    /// The limits of pushing events.
    pub push: Push,
    /// The bearer tokens.
    pub auth: Auth,
    /// The log.
    pub log: Log,
}

/// The settings, and the source of each.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Every setting, in the order of the areas.
    pub entries: Vec<Entry>,
}

impl Config {
    /// Reads `file`, the environment and `flags`. Without `file`, `gavel.toml` in the working
    /// directory is read if it exists.
    ///
    /// # Errors
    ///
    /// [`Error`] with everything that is wrong in any layer. Show it and stop.
    pub fn load(file: Option<&Path>, flags: Vec<Flag>) -> Result<Loaded, Error> {
        let mut reader = LayerReader::default();
        let (variables, problems) = environment::settings(std::env::vars_os());
        reader.add_problems(problems);
        reader.add_variables(variables);
        reader.add_flags(flags);
        match read_file(file) {
            Ok(Some((path, text))) => match toml::from_str(&text) {
                Ok(table) => reader.add_file(path, table),
                Err(error) => reader.add_problems([Problem::Syntax {
                    path,
                    line: line_of(&text, &error),
                    message: error.message().to_owned(),
                }]),
            },
            Ok(None) => {}
            Err(problem) => reader.add_problems([problem]),
        }
        Self::read(reader)
    }

    fn read(mut reader: LayerReader) -> Result<Loaded, Error> {
        let server = Server::default().read(&mut reader);
        let data = Data::default().read(&mut reader);
        let store = Store::in_directory(&data.dir).read(&mut reader);
        let config = Self {
            server,
            data,
            store,
            commands: Commands::default().read(&mut reader),
            sandbox: Sandbox::default().read(&mut reader),
            gate: Gate::default().read(&mut reader),
            consumers: Consumers::default().read(&mut reader),
            views: Views::default().read(&mut reader),
            push: Push::default().read(&mut reader),
            auth: Auth::default().read(&mut reader),
            log: Log::default().read(&mut reader),
        };
        let (entries, problems) = reader.finish();
        if problems.is_empty() {
            Ok(Loaded { config, entries })
        } else {
            Err(Error::new(problems))
        }
    }
}

/// The path and text of the file; none if no file is named and the default one does not exist.
fn read_file(named: Option<&Path>) -> Result<Option<(PathBuf, String)>, Problem> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE)).to_owned();
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some((path, text))),
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Problem::UnreadableFile {
            path,
            reason: error.to_string(),
        }),
    }
}

/// The line of a syntax error, from 1. The contents of the line are not shown: they may hold a
/// password.
fn line_of(text: &str, error: &toml::de::Error) -> usize {
    let before = error.span().and_then(|span| text.get(..span.start));
    before.map_or(1, |before| before.matches('\n').count().saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::super::{LogFormat, Source, StoreUrl};
    use super::*;

    fn load(
        toml: &str,
        variables: &[(&str, &str)],
        flags: &[(&'static str, &str)],
    ) -> Result<Loaded, Error> {
        let mut reader = LayerReader::default();
        reader.add_file("gavel.toml".into(), toml::from_str(toml).unwrap());
        reader.add_variables(
            variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        );
        reader.add_flags(
            flags
                .iter()
                .map(|(key, value)| Flag {
                    key,
                    flag: "--flag",
                    value: (*value).to_owned(),
                })
                .collect(),
        );
        Config::read(reader)
    }

    #[track_caller]
    fn source_of(loaded: &Loaded, key: &str) -> Source {
        loaded
            .entries
            .iter()
            .find(|entry| entry.key == key)
            .unwrap()
            .source
            .clone()
    }

    #[test]
    fn without_any_layer_every_setting_has_its_default() {
        let loaded = load("", &[], &[]).unwrap();
        assert_eq!(loaded.config, Config::default());
        assert!(
            loaded
                .entries
                .iter()
                .all(|entry| entry.source == Source::Default)
        );
        assert!(
            loaded
                .entries
                .iter()
                .all(|entry| !entry.description.is_empty())
        );
    }

    #[test]
    fn each_layer_covers_those_below_it() {
        let toml = "[log]\nformat = 'text'\n[server]\nmax_connections = 1\n[sandbox]\nqueue = 1";
        let variables = [
            ("GAVEL_SERVER_MAX_CONNECTIONS", "2"),
            ("GAVEL_SANDBOX_QUEUE", "2"),
        ];
        let loaded = load(toml, &variables, &[("sandbox.queue", "3")]).unwrap();
        assert_eq!(loaded.config.log.format, LogFormat::Text);
        assert_eq!(loaded.config.server.max_connections, 2);
        assert_eq!(loaded.config.sandbox.queue, 3);
        assert_eq!(
            source_of(&loaded, "log.format"),
            Source::File("gavel.toml".into())
        );
        assert_eq!(
            source_of(&loaded, "server.max_connections"),
            Source::Variable("GAVEL_SERVER_MAX_CONNECTIONS".to_owned())
        );
        assert_eq!(source_of(&loaded, "sandbox.queue"), Source::Flag("--flag"));
        assert_eq!(source_of(&loaded, "store.url"), Source::Default);
    }

    #[test]
    fn the_database_follows_the_data_directory_unless_it_is_named() {
        let followed = load("[data]\ndir = '/var/lib/gavel'", &[], &[]).unwrap();
        assert_eq!(
            followed.config.store.url,
            StoreUrl::Sqlite("/var/lib/gavel/gavel.db".into())
        );
        let named = load(
            "[data]\ndir = '/var/lib/gavel'\n[store]\nurl = 'memory:'",
            &[],
            &[],
        )
        .unwrap();
        assert_eq!(named.config.store.url, StoreUrl::Memory);
    }

    #[test]
    fn an_unknown_name_is_refused_in_every_layer_with_the_one_that_was_meant() {
        let error = load(
            "listen = 'x'\n[server]\nlissten = 'x'\n[colour]\nred = 1",
            &[("GAVEL_STORE_URI", "memory:")],
            &[("store.nothing", "1")],
        )
        .unwrap_err();
        let text = error.to_string();
        for line in [
            "`server.lissten` from gavel.toml: there is no such setting; did you mean `server.listen`?",
            "`GAVEL_STORE_URI` in the environment: there is no such setting; did you mean `GAVEL_STORE_URL`?",
            "`listen` from gavel.toml: there is no such setting",
            "`colour.red` from gavel.toml: there is no such setting",
            "`store.nothing` from --flag: there is no such setting",
        ] {
            assert!(text.contains(line), "{line:?} is not in {text:?}");
        }
    }

    #[test]
    fn every_bad_value_is_reported_at_once_even_below_a_good_one() {
        let error = load(
            "[server]\nlisten = 4000\nmax_connections = 0\n[store]\nmigrate = 'yes'",
            &[
                ("GAVEL_SANDBOX_QUEUE", "many"),
                ("GAVEL_SERVER_MAX_CONNECTIONS", "5"),
            ],
            &[],
        )
        .unwrap_err();
        assert_eq!(
            error
                .problems()
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
            [
                "`server.listen` from gavel.toml: expected an IP address and port such as 127.0.0.1:4000, found 4000",
                "`server.max_connections` from gavel.toml: expected 1 to 1000000, found 0",
                "`store.migrate` from gavel.toml: expected `true` or `false`, found \"yes\"",
                "`sandbox.queue` from GAVEL_SANDBOX_QUEUE: expected a whole number from 1 to 1000000, found \"many\"",
            ]
        );
    }

    #[test]
    fn a_bad_store_url_is_not_repeated_as_it_may_hold_a_password() {
        let error = load("", &[("GAVEL_STORE_URL", "postgre://ann:s3cret@db")], &[]).unwrap_err();
        assert!(!error.to_string().contains("s3cret"));
    }

    #[test]
    fn bounds_are_inclusive() {
        assert!(load("[sandbox]\nguest_threads = 1", &[], &[]).is_ok());
        assert!(load("[sandbox]\nguest_threads = 1024", &[], &[]).is_ok());
        assert!(load("[sandbox]\nguest_threads = 1025", &[], &[]).is_err());
    }

    #[test]
    fn a_share_is_any_number_within_its_bounds() {
        let share = |text: &str| {
            let variables = [("GAVEL_GATE_MAX_CHANGED_DECISIONS", text)];
            load("", &variables, &[]).map(|loaded| loaded.config.gate.max_changed_decisions)
        };
        assert_eq!(share("0.25"), Ok(0.25));
        assert_eq!(share("1"), Ok(1.0));
        for refused in ["1.01", "-0.1", "nan", "half"] {
            assert!(share(refused).is_err(), "{refused}");
        }
        let loaded = load("[gate]\nmax_fuel_increase = 3", &[], &[]).unwrap();
        assert_eq!(
            loaded.config.gate.max_fuel_increase.to_bits(),
            3_f64.to_bits()
        );
        let error = load("[gate]\nmax_changed_decisions = 2", &[], &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`gate.max_changed_decisions` from gavel.toml: expected 0.0 to 1.0, found 2"
        );
    }

    #[test]
    fn a_named_file_must_exist_and_the_default_one_need_not() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("nothing.toml");
        assert!(matches!(
            read_file(Some(&missing)),
            Err(Problem::UnreadableFile { .. })
        ));
        std::fs::write(&missing, "[log]").unwrap();
        assert!(matches!(read_file(Some(&missing)), Ok(Some(_))));
    }

    #[test]
    fn a_file_that_is_not_toml_says_where_and_does_not_repeat_the_line() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("gavel.toml");
        std::fs::write(
            &file,
            "[store]
url = 'postgres://ann:s3cret@db
",
        )
        .unwrap();
        let text = Config::load(Some(&file), Vec::new())
            .unwrap_err()
            .to_string();
        assert!(text.contains("gavel.toml, line 2: "), "{text}");
        assert!(!text.contains("s3cret"), "{text}");
    }
}
