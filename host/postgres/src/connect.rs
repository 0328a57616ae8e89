//! Connections to the server: their settings, and the checks of the server.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{AssertSqlSafe, Executor as _, Row as _, raw_sql};

/// The time to wait for a connection, be it a new one or one of the pool.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that was idle for longer is tried before it is used; for a busy one that would
/// double the round trips.
pub(super) const TRUSTED_IDLE: Duration = Duration::from_secs(1);

/// The settings of every connection, so that a host that crashed or hangs does not block others for
/// long.
pub(super) const SESSION_SETTINGS: [(&str, &str); 13] = [
    ("statement_timeout", "30s"),
    ("lock_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "10s"),
    // A connection that was used a moment ago is taken for alive.
    ("idle_session_timeout", "0"),
    ("client_connection_check_interval", "5s"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "25s"),
    // Compiling a plan costs more than any statement of ours takes.
    ("jit", "off"),
    // Each statement of ours has its index, which gives rows in their order. What the planner takes
    // for cheaper while a table is small, or not counted yet, reads all of the rest of a log for
    // each of its pages when it has grown.
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("default_transaction_isolation", "read committed"),
];

/// The settings of the connection that sets the store up: no timeout at all, which a migration may
/// well exceed.
pub(super) const SETUP_SETTINGS: [(&str, &str); 3] = [
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_session_timeout", "0"),
];

/// Finds a setting that a session asks for at its start and is not given. The settings of TCP do
/// not count: over a Unix socket they have no effect.
pub(super) async fn ignored_setting(
    connect: PgConnectOptions,
) -> Result<Option<String>, sqlx::Error> {
    let probe = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(CONNECT_TIMEOUT)
        .connect_with(connect)
        .await;
    let probe = match probe {
        Err(sqlx::Error::Database(error)) => match refused_setting(error.message()) {
            Some(setting) => return Ok(Some(setting.to_owned())),
            None => return Err(sqlx::Error::Database(error)),
        },
        probe => probe?,
    };
    let asked: Vec<_> = SESSION_SETTINGS
        .iter()
        .filter(|(name, _)| !name.starts_with("tcp_"))
        .map(|(name, value)| format!("('{name}', '{value}')"))
        .collect();
    let query = format!(
        "SELECT name FROM (VALUES {}) AS asked (name, value) \
         WHERE current_setting(name) <> value LIMIT 1",
        asked.join(", ")
    );
    let ignored = probe
        .fetch_optional(raw_sql(AssertSqlSafe(query)))
        .await?
        .map(|row| row.try_get(0))
        .transpose()?;
    probe.close().await;
    Ok(ignored)
}

/// The setting that a pooler refuses, from the words of PgBouncer and of poolers that imitate it.
fn refused_setting(message: &str) -> Option<&str> {
    let refused = message.strip_prefix("unsupported startup parameter")?;
    let refused = refused.strip_prefix(" in options").unwrap_or(refused);
    let setting = refused.strip_prefix(": ")?;
    setting.split(['.', ' ']).next()
}

/// Refuses a connection as [`require_writable`] does; and begins a generation when the server is
/// not the same as before: no connection writes before this check.
pub(super) async fn require_primary(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    require_writable(connection).await?;
    sqlx::query("SELECT gavel_generation()")
        .fetch_all(connection)
        .await?;
    Ok(())
}

/// Refuses a connection that leads to a standby, where reads are old, that may only read, or that
/// skips the triggers which number events.
pub(super) async fn require_writable(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let server = sqlx::query(
        "SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::BOOLEAN, \
                current_setting('session_replication_role') = 'replica'",
    )
    .fetch_one(&mut *connection)
    .await?;
    if server.try_get(0)? {
        return Err(sqlx::Error::Configuration("the server is a standby".into()));
    }
    if server.try_get(1)? {
        let reason = "the session may only read: `default_transaction_read_only` is on";
        return Err(sqlx::Error::Configuration(reason.into()));
    }
    if server.try_get(2)? {
        let reason = "the session skips triggers: `session_replication_role` is `replica`";
        return Err(sqlx::Error::Configuration(reason.into()));
    }
    Ok(())
}
