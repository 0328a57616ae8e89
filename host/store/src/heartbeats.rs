//! Hosts that are alive, as each of them sees it.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use gavel_model::HostId;

use super::Error;

/// The time after its last heartbeat for which a host is alive.
pub const HOST_ALIVE_FOR: Duration = Duration::from_secs(3);

/// Keeps the heartbeats of hosts.
///
/// All times are those of the store, so that hosts whose clocks differ see the same. What follows
/// from it is never more than a hint: a host that was silent for too long may still be at work.
///
/// A store that one process has for itself keeps nothing: the provided methods know no other host.
#[async_trait]
pub trait HeartbeatStore: Debug + Send + Sync {
    /// Keeps a heartbeat of a host, which has its rows of views in the store `rows`. Gives the
    /// hosts with the same `rows` that are alive, each once and this one among them. Those that
    /// have been silent for a minute are forgotten.
    ///
    /// # Errors
    ///
    /// [`Error`] when the heartbeat cannot be kept. It says nothing of other hosts.
    async fn beat(&self, host: HostId, rows: &str) -> Result<Vec<HostId>, Error> {
        let _ = rows;
        Ok(vec![host])
    }

    /// Forgets a host, which ends now.
    ///
    /// # Errors
    ///
    /// [`Error`] when it cannot be written.
    async fn leave(&self, host: HostId) -> Result<(), Error> {
        let _ = host;
        Ok(())
    }
}
