//! One writer per stream within this host, so that its own commands do not lose races against each other.
//!
//! The locks spare retries; they are not what keeps a stream consistent: that is the version check of the append.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::core::StreamId;

/// The streams that are being worked on.
#[derive(Debug, Default)]
pub(super) struct StreamLocks(Mutex<HashMap<StreamId, Arc<AsyncMutex<()>>>>);

/// Holds streams until it is dropped.
#[derive(Debug)]
pub(super) struct StreamGuards<'a> {
    locks: &'a StreamLocks,
    held: Vec<(StreamId, Option<OwnedMutexGuard<()>>)>,
}

impl StreamLocks {
    /// Waits for all of `streams`, in the order of their ids, whatever their order here and however often each is named.
    pub(super) async fn lock<'a>(
        &'a self,
        streams: impl IntoIterator<Item = &StreamId>,
    ) -> StreamGuards<'a> {
        let mut sorted: Vec<StreamId> = streams.into_iter().cloned().collect();
        sorted.sort_unstable();
        sorted.dedup();
        let mut guards = StreamGuards {
            locks: self,
            held: Vec::with_capacity(sorted.len()),
        };
        for stream in sorted {
            let lock = {
                let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                locks.entry(stream.clone()).or_default().clone()
            };
            // Noted before waiting, so that an entry is cleaned up even when the waiting is given up.
            guards.held.push((stream, None));
            let guard = lock.lock_owned().await;
            if let Some((_, held)) = guards.held.last_mut() {
                *held = Some(guard);
            }
        }
        guards
    }
}

impl Drop for StreamGuards<'_> {
    fn drop(&mut self) {
        let mut locks = self.locks.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (stream, guard) in self.held.drain(..) {
            drop(guard);
            // Only the map holds it: nobody works on the stream or waits for it.
            if locks
                .get(&stream)
                .is_some_and(|lock| Arc::strong_count(lock) == 1)
            {
                locks.remove(&stream);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{DeciderName, Namespace};

    fn stream(id: &str) -> StreamId {
        StreamId::new(
            Namespace::default(),
            DeciderName::new("counter").unwrap(),
            id,
        )
        .unwrap()
    }

    #[tokio::test]
    async fn opposite_orders_and_repetitions_do_not_deadlock() {
        let locks = Arc::new(StreamLocks::default());
        let mut tasks = tokio::task::JoinSet::new();
        for turn in 0..100 {
            let locks = locks.clone();
            tasks.spawn(async move {
                let mut ids = [stream("a"), stream("b"), stream("a")];
                if turn % 2 == 0 {
                    ids.reverse();
                }
                let _guards = locks.lock(&ids).await;
                tokio::task::yield_now().await;
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
        assert!(locks.0.lock().unwrap().is_empty(), "no lock is left behind");
    }

    #[tokio::test]
    async fn a_wait_that_is_given_up_leaves_no_lock_behind() {
        let locks = StreamLocks::default();
        let held = locks.lock([&stream("a")]).await;
        let a = stream("a");
        let waiting = locks.lock([&a]);
        assert!(futures::FutureExt::now_or_never(waiting).is_none());
        drop(held);
        assert!(locks.0.lock().unwrap().is_empty());
    }
}
