//! A PostgreSQL server of a test's own, for what one must not do to a server that others use: stop
//! it, copy its files, change its settings.

use std::env;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{LIMIT, eventually};

/// Runs the program that its arguments name until its standard input ends, for whatever reason;
/// then stops the program, at once.
///
/// A shell gives its background jobs an empty standard input, hence the detour by descriptor 3.
const KEEPER: &str = r#"
exec 3<&0
"$@" 3<&- & server=$!
read -r _ <&3
kill -s QUIT "$server"
wait "$server"
"#;

/// A server with a folder of its own, which is stopped and removed when this is dropped.
///
/// Keep it longer than the stores on it: declare it before them.
#[derive(Debug)]
pub struct Cluster {
    binaries: PathBuf,
    home: TempDir,
    port: u16,
    password: String,
    server: Option<Child>,
}

impl Cluster {
    /// Starts a server with the binaries of the folder that `GAVEL_TEST_POSTGRES` names.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub async fn start() -> Self {
        let binaries = env::var_os("GAVEL_TEST_POSTGRES").expect(
            "GAVEL_TEST_POSTGRES must name the folder of PostgreSQL's binaries; `cargo xtask campaign` finds them and sets it",
        );
        let home = tempfile::tempdir().expect("a temporary folder can be made");
        let password = Uuid::new_v4().simple().to_string();
        let secret = home.path().join("password");
        fs::write(&secret, &password).expect("the folder can be written");
        let mut cluster = Self {
            binaries: binaries.into(),
            home,
            port: free_port(),
            password,
            server: None,
        };
        if is_root() {
            run(Command::new("chown")
                .args(["-R", "postgres"])
                .arg(cluster.home.path()));
        }
        let mut initdb = cluster.command("initdb");
        initdb
            .arg("--pgdata")
            .arg(cluster.data())
            .arg("--pwfile")
            .arg(secret)
            .args(["--username=postgres", "--auth=scram-sha-256"])
            .args(["--encoding=UTF8", "--no-locale"])
            .args(["--no-sync", "--no-instructions"]);
        run(&mut initdb);
        cluster.go_on().await;
        cluster
    }

    /// Starts the server again, after a [stop](Self::stop).
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub async fn go_on(&mut self) {
        let mut keeper = self.command("sh");
        keeper
            .args(["-c", KEEPER, "keeper"])
            .arg(self.binaries.join("postgres"))
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.to_string()])
            .args(["-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "unix_socket_directories="])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.server = Some(keeper.spawn().expect("a shell can be started"));
        let url = self.url();
        let connect = async || PgConnection::connect(&url).await.ok();
        let connection = eventually("PostgreSQL takes connections", LIMIT, connect).await;
        connection.close().await.expect("it can be closed again");
    }

    /// Stops the server as a crash would, and waits until it has ended.
    ///
    /// # Panics
    ///
    /// When its keeper cannot be waited for.
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            drop(server.stdin.take());
            server.wait().expect("a child can be waited for");
        }
    }

    /// Copies the files of a server that is [stopped](Self::stop), as a backup of its folder in the
    /// place of an older one.
    ///
    /// # Panics
    ///
    /// When the server runs, or they cannot be copied.
    pub fn back_up(&self) {
        assert!(self.server.is_none(), "the server is stopped first");
        if self.backup().exists() {
            fs::remove_dir_all(self.backup()).expect("the files can be removed");
        }
        copy(&self.data(), &self.backup());
    }

    /// Puts the files of the [backup](Self::back_up) in the place of those that are there.
    ///
    /// # Panics
    ///
    /// When the server runs, or there is no backup.
    pub fn restore(&self) {
        assert!(self.server.is_none(), "the server is stopped first");
        fs::remove_dir_all(self.data()).expect("the files can be removed");
        copy(&self.backup(), &self.data());
    }

    /// Runs a statement as superuser, outside of a transaction.
    ///
    /// # Panics
    ///
    /// When the statement fails.
    pub async fn administer(&self, statement: &str) {
        let mut connection = PgConnection::connect(&self.url()).await.expect("it runs");
        let statement = AssertSqlSafe(statement.to_owned());
        connection
            .execute(statement)
            .await
            .expect("the statement succeeds");
        connection.close().await.expect("it can be closed again");
    }

    /// Gives a setting of the server another value, and waits until new sessions have it. Without a
    /// value it has its default again.
    ///
    /// # Panics
    ///
    /// When there is no such setting, or it needs a restart.
    pub async fn set(&self, name: &str, value: &str) {
        self.administer(&format!("ALTER SYSTEM SET {name} = '{value}'"))
            .await;
        self.administer("SELECT pg_reload_conf()").await;
        eventually("the setting is in force", LIMIT, async || {
            let mut connection = PgConnection::connect(&self.url()).await.ok()?;
            let shown: String = sqlx::query_scalar("SELECT current_setting($1)")
                .bind(name)
                .fetch_one(&mut connection)
                .await
                .ok()?;
            connection.close().await.ok()?;
            (shown == value).then_some(())
        })
        .await;
    }

    /// The superuser's URL.
    #[must_use]
    pub fn url(&self) -> String {
        let Self { password, port, .. } = self;
        format!("postgres://postgres:{password}@127.0.0.1:{port}/postgres")
    }

    fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    fn backup(&self) -> PathBuf {
        self.home.path().join("backup")
    }

    /// A program of the server's, or of the system; never as root, which PostgreSQL refuses to run
    /// as.
    fn command(&self, program: &str) -> Command {
        let path = self.binaries.join(program);
        let program = if path.exists() { path } else { program.into() };
        let mut command = Command::new(if is_root() {
            Path::new("runuser")
        } else {
            &program
        });
        if is_root() {
            command.args(["-u", "postgres", "--"]).arg(program);
        }
        command.current_dir(self.home.path());
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}

fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").args(["-a", "--"]).arg(from).arg(to));
}

fn run(command: &mut Command) {
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
    listener.local_addr().expect("it is bound").port()
}
