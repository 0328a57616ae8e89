//! Holds of rosters within a process.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedRwLockReadGuard, RwLock, oneshot};
use tokio::time::timeout;

use crate::Error;

/// The time that a hold waits for another one, or for changes, to end.
const HOLD_TIMEOUT: Duration = Duration::from_secs(5);

/// The changes of a store's rosters, which go on at the same time, or are all kept away by a hold.
#[derive(Debug, Default)]
pub struct RosterHolds(Arc<RwLock<()>>);

/// A hold: nothing is changed until it is dropped, or its time is up.
#[derive(Debug)]
pub struct HeldRosters(oneshot::Sender<()>);

impl RosterHolds {
    /// The guard of a change, which is under way for as long as it is kept; none while rosters are
    /// held, or somebody waits to hold them.
    #[must_use]
    pub fn pass(&self) -> Option<OwnedRwLockReadGuard<()>> {
        Arc::clone(&self.0).try_read_owned().ok()
    }

    /// Keeps changes away once those under way have ended.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when they have not ended in time, or another hold has not.
    pub async fn hold(&self, longest: Duration) -> Result<HeldRosters, Error> {
        let alone = timeout(HOLD_TIMEOUT, Arc::clone(&self.0).write_owned()).await;
        let alone = alone.map_err(|elapsed| Error::Unavailable(elapsed.into()))?;
        let (holder, dropped) = oneshot::channel();
        tokio::spawn(async move {
            let _alone = alone;
            // Dropped, or over: either way it has ended.
            let _ = timeout(longest, dropped).await;
        });
        Ok(HeldRosters(holder))
    }
}

impl HeldRosters {
    /// Tells that nothing was changed until now.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when the time of the hold is up.
    pub fn check(&self) -> Result<(), Error> {
        if self.0.is_closed() {
            return Err(Error::Unavailable("the hold has ended".into()));
        }
        Ok(())
    }
}
