//! Waking the readers of the log, on this host and on the others.
//!
//! ```text
//! commits of this host --- relay ---> wakeups of this host
//!                     \--- tell ----> NOTIFY --- listen ---> wakeups of the other hosts
//! ```
//!
//! A notice only says that something was committed. It may be lost, with a connection or because a
//! pooler between us and the server does not pass it on: a reader that waits polls as well.
//!
//! **Invariant:** no notice is sent by the transaction of an append. Those that send one stand in a
//! single line, and appends with them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPool, PgPoolOptions};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

use super::connect::CONNECT_TIMEOUT;
use super::query::run;

/// The channel of all hosts on a database; the payload is the schema and the host.
const CHANNEL: &str = "gavel_events";
/// Sends a notice. It has nothing that must last, so that it waits for no disk. While it did, its
/// transaction would hold back what others commit: readers stay below the oldest one that is under
/// way.
const TELL: &str = "SELECT set_config('synchronous_commit', 'off', true), \
                    pg_notify('gavel_events', current_schema() || ' ' || $1)";
/// The shortest time between two notices of a host.
const INTERVAL: Duration = Duration::from_millis(10);
/// The pause before listening again; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause before listening again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The tasks that announce commits. They end when this is closed or dropped.
#[derive(Debug)]
pub(super) struct Notices {
    wakeups: watch::Sender<()>,
    tasks: Mutex<JoinSet<()>>,
}

impl Notices {
    /// Starts to listen, on a connection of its own, and to announce the changes of `commits`.
    pub(super) fn start(
        connect: PgConnectOptions,
        pool: PgPool,
        commits: watch::Receiver<()>,
    ) -> Self {
        let wakeups = watch::Sender::new(());
        let host = Uuid::new_v4().to_string();
        let mut tasks = JoinSet::new();
        tasks.spawn(relay(commits.clone(), wakeups.clone()));
        tasks.spawn(tell(commits, pool, host.clone()));
        tasks.spawn(listen(connect, host, wakeups.clone()));
        Self {
            wakeups,
            tasks: Mutex::new(tasks),
        }
    }

    /// Changes after commits of this host, and after another host's notice of its own.
    pub(super) fn wakeups(&self) -> watch::Receiver<()> {
        self.wakeups.subscribe()
    }

    /// Ends the tasks. A notice of the last commits may be lost.
    pub(super) async fn close(&self) {
        let mut tasks = {
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *tasks)
        };
        tasks.shutdown().await;
    }
}

async fn relay(mut commits: watch::Receiver<()>, wakeups: watch::Sender<()>) {
    while commits.changed().await.is_ok() {
        wakeups.send_replace(());
    }
}

/// Sends a notice at once when there was none for a while, else one for all commits since the last.
async fn tell(mut commits: watch::Receiver<()>, pool: PgPool, host: String) {
    while commits.changed().await.is_ok() {
        if let Err(failure) = run(&pool, sqlx::query(TELL).bind(&host)).await {
            // The others find out by polling.
            tracing::debug!(?failure, "other hosts could not be notified of a commit");
        }
        sleep(INTERVAL).await;
    }
}

/// Listens until it is dropped.
async fn listen(connect: PgConnectOptions, host: String, wakeups: watch::Sender<()>) {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .max_lifetime(None)
        .idle_timeout(None)
        .acquire_timeout(CONNECT_TIMEOUT)
        .connect_lazy_with(connect);
    let mut pause = FIRST_PAUSE;
    loop {
        match begin(&pool).await {
            Ok((listener, schema)) => {
                pause = FIRST_PAUSE;
                // For what was committed while nobody listened.
                wakeups.send_replace(());
                let own = format!("{schema} {host}");
                let error = pass_on(listener, &schema, &own, &wakeups).await;
                tracing::debug!(?error, "the connection that listens to other hosts is lost");
            }
            Err(error) => tracing::debug!(%error, "other hosts cannot be listened to"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// A connection that listens, and the schema that it works in.
async fn begin(pool: &PgPool) -> Result<(PgListener, String), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    let schema = sqlx::query_scalar("SELECT current_schema()::TEXT")
        .fetch_one(&mut listener)
        .await?;
    listener.listen(CHANNEL).await?;
    Ok((listener, schema))
}

/// Wakes for every notice that is about this schema and not our own, until the connection is lost.
async fn pass_on(
    mut listener: PgListener,
    schema: &str,
    own: &str,
    wakeups: &watch::Sender<()>,
) -> Result<(), sqlx::Error> {
    while let Some(notice) = listener.try_recv().await? {
        let payload = notice.payload();
        let about = payload.rsplit_once(' ').map(|(schema, _)| schema);
        if about == Some(schema) && payload != own {
            wakeups.send_replace(());
        }
    }
    Ok(())
}
