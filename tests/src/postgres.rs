//! A PostgreSQL database per test, spoken to through `psql` alone.

use std::fmt;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use uuid::Uuid;

/// The time limit for an expected event.
const DEADLINE: Duration = Duration::from_secs(30);
/// Ends the output of one call of [`Session::run`].
const END: &str = "--end of answer--";

/// A database of its own, with the schema of `migrations/postgres`, on the server that
/// `DATABASE_URL` names. Dropped at the end.
#[derive(Debug)]
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    /// Creates the database.
    ///
    /// # Panics
    ///
    /// When `DATABASE_URL` is missing or names no superuser's connection, or `psql` is not
    /// installed.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "it costs too much to be a default"
    )]
    pub fn new() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "tests are told here where the server is"
        )]
        let server = std::env::var("DATABASE_URL")
            .expect("DATABASE_URL names a connection of a PostgreSQL superuser");
        let name = format!("gavel_test_{}", Uuid::new_v4().simple());
        connect(&server, None).rows(&format!("CREATE DATABASE {name}"));
        let database = Self { server, name };
        let mut files: Vec<_> = std::fs::read_dir(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../migrations/postgres"
        ))
        .expect("the migrations are in the tree")
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
        files.sort();
        let mut session = database.session();
        for file in files {
            session.rows(&std::fs::read_to_string(file).expect("a migration is text"));
        }
        database
    }

    /// Begins another session: a process of `psql`.
    #[must_use]
    pub fn session(&self) -> Session {
        connect(&self.server, Some(&self.name))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
        // A test that panics drops it as well, and must not panic once more.
        if let Err(refusal) = connect(&self.server, None).run(&drop) {
            eprintln!("{refusal}");
        }
    }
}

pub(crate) fn connect(server: &str, database: Option<&str>) -> Session {
    // psql writes answers to one stream and errors to another; read as one they keep their order.
    let mut psql = Command::new("sh")
        .args([
            "-c",
            "exec psql --no-psqlrc --quiet --no-align --tuples-only \"$0\" 2>&1",
        ])
        .arg(server)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sh and psql are installed");
    let input = psql.stdin.take().expect("it was piped");
    let output = psql.stdout.take().expect("it was piped");
    let mut session = Session {
        psql,
        input,
        output: BufReader::new(output).lines(),
    };
    session.send("\\set VERBOSITY verbose\n");
    if let Some(name) = database {
        session.send(&format!("\\connect {name}\n"));
    }
    session
}

/// One session of `psql`. Ends when dropped; a transaction that is open then is rolled back.
#[derive(Debug)]
pub struct Session {
    psql: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

/// The server refused a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The code.
    pub sqlstate: String,
    /// The constraint that was broken, if any.
    pub constraint: Option<String>,
    /// The DETAIL of the error, if there is any.
    pub detail: Option<String>,
    /// All that psql printed.
    pub report: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.report)
    }
}

impl Session {
    /// Runs one statement, and gives back its rows, columns separated by `|`.
    ///
    /// # Errors
    ///
    /// [`Refusal`] when the server refuses it.
    ///
    /// # Panics
    ///
    /// When psql ends, or cannot connect.
    pub fn run(&mut self, statement: &str) -> Result<Vec<String>, Refusal> {
        self.begin(statement);
        self.finish()
    }

    /// Runs a statement that must not be refused, as [`Session::run`] does.
    ///
    /// # Panics
    ///
    /// When the statement is refused.
    #[track_caller]
    pub fn rows(&mut self, statement: &str) -> Vec<String> {
        match self.run(statement) {
            Ok(rows) => rows,
            Err(refusal) => panic!("{statement}\n{refusal}"),
        }
    }

    /// Runs a statement that gives one row, as [`Session::rows`] does.
    ///
    /// # Panics
    ///
    /// When the statement is refused. or gives another number of rows.
    #[track_caller]
    pub fn row(&mut self, statement: &str) -> String {
        let mut rows = self.rows(statement);
        assert_eq!(rows.len(), 1, "{statement}\n{rows:?}");
        rows.remove(0)
    }

    /// Runs a statement that must be refused, as [`Session::run`] does.
    ///
    /// # Panics
    ///
    /// When it is not.
    #[track_caller]
    pub fn refusal(&mut self, statement: &str) -> Refusal {
        match self.run(statement) {
            Ok(rows) => panic!("{statement}\n{rows:?}"),
            Err(refusal) => refusal,
        }
    }

    /// Sends a statement without waiting for its end. [`Session::finish`] does.
    ///
    /// # Panics
    ///
    /// When psql has ended.
    pub fn begin(&mut self, statement: &str) {
        self.send(&format!("{statement};\n\\warn {END} :SQLSTATE\n"));
    }

    /// Waits for the outcome of the statement that was sent.
    ///
    /// # Errors
    ///
    /// [`Refusal`] when the server refused it.
    ///
    /// # Panics
    ///
    /// When psql ends, or cannot connect.
    pub fn finish(&mut self) -> Result<Vec<String>, Refusal> {
        let mut lines = Vec::new();
        loop {
            let line = self
                .output
                .next()
                .unwrap_or_else(|| panic!("psql ended: {lines:?}"));
            let line = line.expect("psql prints text");
            let Some(sqlstate) = line.strip_prefix(END) else {
                lines.push(line);
                continue;
            };
            let refused = lines.iter().any(|line| line.starts_with("ERROR:"));
            return if refused {
                Err(refusal(sqlstate.trim(), &lines))
            } else {
                Ok(lines)
            };
        }
    }

    /// Waits until `count` sessions of the database wait for a lock.
    ///
    /// # Panics
    ///
    /// When they do not within 30 seconds.
    pub fn until_blocked(&mut self, count: usize) {
        let since = Instant::now();
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while self.row(waiting) != count.to_string() {
            assert!(
                since.elapsed() < DEADLINE,
                "{count} sessions should be waiting"
            );
        }
    }

    fn send(&mut self, text: &str) {
        self.input
            .write_all(text.as_bytes())
            .expect("psql is there");
    }
}

fn refusal(sqlstate: &str, lines: &[String]) -> Refusal {
    let field = |name: &str| {
        let found = lines.iter().find_map(|line| line.strip_prefix(name));
        found.map(|text| text.trim().to_owned())
    };
    Refusal {
        sqlstate: sqlstate.to_owned(),
        constraint: field("CONSTRAINT NAME:"),
        detail: field("DETAIL:"),
        report: lines.join("\n"),
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It may already have ended, and nothing is lost with it: the server rolls back.
        self.psql.kill().ok();
        self.psql.wait().ok();
    }
}
