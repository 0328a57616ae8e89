//! How much state the shards keep, together.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use metrics::gauge;

use super::shard::{Message, Shard};
use crate::command::metrics::{HOT_BYTES, HOT_STREAMS};
use crate::core::{ModuleDigest, Namespace};

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Holdings {
    /// Streams.
    pub(super) streams: usize,
    /// Linear memory of the instances, in bytes.
    pub(super) bytes: usize,
}

/// Names a shard: a namespace, a module, and which of that module's shards.
pub(super) type ShardKey = (Namespace, ModuleDigest, usize);

/// All shards, and the bound on what they keep.
#[derive(Debug)]
pub(super) struct Budget {
    limit: Holdings,
    streams: AtomicUsize,
    bytes: AtomicUsize,
    /// Whether a shard has been asked to let go and has not done so yet.
    is_evicting: AtomicBool,
    shards: Mutex<HashMap<ShardKey, Arc<Shard>>>,
}

impl Budget {
    pub(super) fn new(limit: Holdings) -> Self {
        Self {
            limit,
            streams: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            is_evicting: AtomicBool::new(false),
            shards: Mutex::default(),
        }
    }

    /// The shard named `key`, made by `make` if there is none.
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

    /// A shard that kept `before` keeps `now`.
    pub(super) fn change(&self, before: Holdings, now: Holdings) {
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
        let mut shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        shards.retain(|_, shard| !shard.close_if_empty());
        let oldest = shards
            .values()
            .min_by_key(|shard| shard.oldest_ms())
            .cloned();
        drop(shards);
        let is_asked = oldest.is_some_and(|shard| shard.send(Message::Evict(excess)).is_ok());
        if !is_asked {
            self.evicted();
        }
    }

    /// A shard has let go of what it was asked to.
    pub(super) fn evicted(&self) {
        self.is_evicting.store(false, Ordering::Relaxed);
    }
}

/// How much is kept beyond `limit`, and a little more, so that not every command evicts.
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
