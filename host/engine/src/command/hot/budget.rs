//! The bound on the state that all shards keep together.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gavel_model::{ModuleDigest, Namespace};
use metrics::gauge;

use super::shard::{Message, Shard};
use crate::command::metrics::{HOT_BYTES, HOT_STREAMS};

/// An amount of hot state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Holdings {
    /// Streams.
    pub(super) streams: usize,
    /// Linear memory of the instances, in bytes.
    pub(super) bytes: usize,
}

/// Names a shard: a namespace, a module, and which of that module's shards.
pub(super) type ShardKey = (Namespace, ModuleDigest, usize);

/// A request to a shard to let go of the state that it used least recently. There is one request at
/// a time: the next is made once this one is dropped, be it carried out, or lost with a shard that
/// has ended.
#[derive(Debug)]
pub(super) struct Eviction {
    /// The amount to let go of.
    pub(super) excess: Holdings,
    is_under_way: Arc<AtomicBool>,
}

impl Drop for Eviction {
    fn drop(&mut self) {
        self.is_under_way.store(false, Ordering::Relaxed);
    }
}

/// All shards, and the bound on what they keep.
#[derive(Debug)]
pub(super) struct HotBudget {
    limit: Holdings,
    streams: AtomicUsize,
    bytes: AtomicUsize,
    /// Tells whether a shard has been asked to let go and has not done so yet.
    is_evicting: Arc<AtomicBool>,
    shards: Mutex<HashMap<ShardKey, Arc<Shard>>>,
}

impl HotBudget {
    pub(super) fn new(limit: Holdings) -> Self {
        Self {
            limit,
            streams: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            is_evicting: Arc::default(),
            shards: Mutex::default(),
        }
    }

    /// Gives the shard named `key`, made by `make` if there is none.
    pub(super) fn shard(&self, key: ShardKey, make: impl FnOnce() -> Shard) -> Arc<Shard> {
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        shards
            .entry(key)
            .or_insert_with(|| Arc::new(make()))
            .clone()
    }

    /// Forgets a shard that has ended; the next one of its name is another one.
    pub(super) fn forget(&self, ended: &Arc<Shard>) {
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        shards.retain(|_, shard| !Arc::ptr_eq(shard, ended));
    }

    /// Forgets all shards, which hold on to what holds on to them.
    pub(super) fn end(&self) {
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        shards.clear();
    }

    /// Counts that a shard that kept `before` keeps `now`.
    pub(super) fn change(&self, before: Holdings, now: Holdings) {
        if before == now {
            return;
        }
        change(&self.streams, before.streams, now.streams);
        change(&self.bytes, before.bytes, now.bytes);
        gauge!(HOT_STREAMS).set(self.streams.load(Ordering::Relaxed) as f64);
        gauge!(HOT_BYTES).set(self.bytes.load(Ordering::Relaxed) as f64);
    }

    /// Asks the shard with the stream that was used least recently to let go, if too much is kept.
    pub(super) fn enforce(&self) {
        let excess = Holdings {
            streams: excess(&self.streams, self.limit.streams),
            bytes: excess(&self.bytes, self.limit.bytes),
        };
        if excess == Holdings::default() || self.is_evicting.swap(true, Ordering::Relaxed) {
            return;
        }
        let eviction = Eviction {
            excess,
            is_under_way: Arc::clone(&self.is_evicting),
        };
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        shards.retain(|_, shard| !shard.close_if_empty());
        let oldest = shards
            .values()
            .min_by_key(|shard| shard.oldest_ms())
            .cloned();
        drop(shards);
        if let Some(oldest) = oldest {
            // A shard that has ended in the meantime drops it.
            let _ = oldest.send(Message::Evict(eviction));
        }
    }
}

/// Computes the amount that is kept beyond `limit`, and a little more, so that not every command
/// evicts.
fn excess(kept: &AtomicUsize, limit: usize) -> usize {
    match kept.load(Ordering::Relaxed).saturating_sub(limit) {
        0 => 0,
        excess => excess + limit / 64,
    }
}

fn change(counter: &AtomicUsize, before: usize, now: usize) {
    if now >= before {
        counter.fetch_add(now - before, Ordering::Relaxed);
    } else {
        counter.fetch_sub(before - now, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_eviction_that_nobody_carries_out_is_over() {
        let budget = HotBudget::new(Holdings::default());
        let kept = Holdings {
            streams: 1,
            bytes: 1,
        };
        budget.change(Holdings::default(), kept);
        // There is no shard to ask, as if the one that was asked had ended.
        budget.enforce();
        assert!(!budget.is_evicting.load(Ordering::Relaxed));

        budget.is_evicting.store(true, Ordering::Relaxed);
        let eviction = Eviction {
            excess: kept,
            is_under_way: Arc::clone(&budget.is_evicting),
        };
        drop(Message::Evict(eviction));
        assert!(!budget.is_evicting.load(Ordering::Relaxed));
    }
}
