//! Holds within a process: the appends of deciders wait, while an activation looks at the last of
//! their events and moves the pointers.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gavel_model::{ActivationKey, DeciderName, Namespace, StreamId};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};
use tokio::time::{Instant, timeout, timeout_at};

use crate::Error;

/// The longest time that a hold keeps an append waiting, whatever has become of the holder. An
/// append that continues after that overtakes the activation.
pub const HOLD: Duration = Duration::from_secs(2);

/// The deciders of this process: each has one hold at most, or any number of appends under way.
#[derive(Debug, Default)]
pub struct Holds(Mutex<HashMap<Namespace, Deciders>>);

type Deciders = HashMap<DeciderName, Arc<RwLock<()>>>;

/// A hold within this process: appends of the deciders wait until this is dropped.
pub type Held = Vec<OwnedRwLockWriteGuard<()>>;

/// The guards of an append, which is under way for as long as they are kept.
pub type Passed = Vec<OwnedRwLockReadGuard<()>>;

impl Holds {
    /// Makes new appends to the streams of the names wait, once those under way have ended.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when they have not ended after [`HOLD`].
    pub async fn hold(&self, keys: &BTreeSet<ActivationKey>) -> Result<Held, Error> {
        let names = keys
            .iter()
            .map(|key| (key.namespace(), key.name().to_decider()));
        // In one order for everyone.
        let deciders: BTreeSet<_> = names.collect();
        let holding = async {
            let mut held = Vec::with_capacity(deciders.len());
            for (namespace, decider) in &deciders {
                held.push(self.of(namespace, decider).write_owned().await);
            }
            held
        };
        let held = timeout(HOLD, holding).await;
        held.map_err(|elapsed| Error::Unavailable(elapsed.into()))
    }

    /// Waits until the deciders of streams that are to be appended to are not held, or have been
    /// for too long.
    pub async fn pass(&self, streams: impl Iterator<Item = &StreamId>) -> Passed {
        // In one order for everyone.
        let deciders: BTreeSet<_> = streams
            .map(|stream| (stream.namespace(), stream.decider()))
            .collect();
        let mut passed = Vec::with_capacity(deciders.len());
        let end = Instant::now() + HOLD;
        for (namespace, decider) in deciders {
            let passing = self.of(namespace, decider).read_owned();
            passed.extend(timeout_at(end, passing).await);
        }
        passed
    }

    fn of(&self, namespace: &Namespace, decider: &DeciderName) -> Arc<RwLock<()>> {
        let mut deciders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = deciders
            .get(namespace)
            .and_then(|deciders| deciders.get(decider))
        {
            return Arc::clone(known);
        }
        let deciders = deciders.entry(namespace.clone()).or_default();
        Arc::clone(deciders.entry(decider.clone()).or_default())
    }
}
