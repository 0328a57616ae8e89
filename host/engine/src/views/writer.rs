//! The writing of a runner: batches of changes, of which one at a time is being committed, and the
//! rows that are known.

use std::future::pending;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gavel_model::{Position, RowKey};
use gavel_store::views::{RowsChange, StoredRow};
use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::batch::{Batch, RowCache};
use super::handle::{Halt, TableHandle};
use super::progress::Activity;

/// The size of a commit of a table that is being built, in bytes, about.
const BUILD_BATCH_BYTES: usize = 8 << 20;
/// The same while live calls are made: the store has a few milliseconds of work with it.
const SMALL_BUILD_BATCH_BYTES: usize = 128 << 10;
/// The longest time for which what was folded of a table that is being built is not committed.
const BUILD_BATCH_TIME: Duration = Duration::from_secs(1);
/// The size of the rows that are kept in memory of a table that is being built, in bytes, about.
const BUILD_CACHE_BYTES: usize = 32 << 20;
/// The same of a table that people read.
const LIVE_CACHE_BYTES: usize = 2 << 20;

/// The size of the rows that all tables of a host have in memory, in bytes, about, from which on
/// none keeps more than it needs.
const ALL_ROWS_BYTES: usize = 256 << 20;

/// The size of the rows that the writers of a host have in memory, in bytes, about. Clones count
/// together.
#[derive(Debug, Clone, Default)]
pub(super) struct RowMemory(Arc<AtomicUsize>);

/// The part of it that is one writer's.
#[derive(Debug)]
struct RowShare {
    all: RowMemory,
    bytes: usize,
}

impl RowShare {
    fn set(&mut self, bytes: usize) {
        self.all.0.fetch_add(bytes, Ordering::Relaxed);
        self.all.0.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }

    fn is_scarce(&self) -> bool {
        self.all.0.load(Ordering::Relaxed) > ALL_ROWS_BYTES
    }
}

impl Drop for RowShare {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Collects what was folded of a table, and commits it.
#[derive(Debug)]
pub(super) struct TableWriter {
    handle: TableHandle,
    /// The place where the table stands.
    position: Position,
    /// Changes behind that which are not being committed yet.
    batch: Batch,
    /// The commit that is under way, and where the table stands after it.
    committing: Option<(Position, AbortOnDropHandle<Result<(), Halt>>)>,
    cache: RowCache,
    share: RowShare,
    /// Tells whether people read the table, so that it is to show at once what was folded.
    is_live: bool,
}

impl TableWriter {
    /// Begins where the table stands.
    pub(super) fn new(handle: TableHandle, position: Position, is_live: bool) -> Self {
        Self {
            batch: Batch::new(handle.id, position),
            share: RowShare {
                all: handle.inner.row_memory.clone(),
                bytes: 0,
            },
            handle,
            position,
            committing: None,
            cache: RowCache::new(position == Position::BEGINNING),
            is_live,
        }
    }

    /// Commits every change at once from now on.
    pub(super) fn go_live(&mut self) {
        self.is_live = true;
    }

    /// The place where the table stands.
    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// The position through which everything was added.
    pub(super) fn to(&self) -> Position {
        self.batch.to()
    }

    /// The time at which what was added is to be committed; none if there is nothing.
    pub(super) fn due(&self) -> Option<Instant> {
        self.batch.began().map(|began| began + BUILD_BATCH_TIME)
    }

    /// Tells whether a commit is under way.
    pub(super) fn is_committing(&self) -> bool {
        self.committing.is_some()
    }

    /// Tells whether the table holds all that was folded.
    pub(super) fn is_settled(&self) -> bool {
        self.batch.began().is_none() && self.committing.is_none()
    }

    /// The rows as they are once all that was folded before is committed.
    pub(super) async fn rows(&mut self, keys: &[RowKey]) -> Result<Vec<StoredRow>, Halt> {
        let unknown = |key: &&RowKey| self.cache.find(&self.batch, key).is_none();
        let unknown: Vec<RowKey> = keys.iter().filter(unknown).cloned().collect();
        let mut read = Vec::new();
        if !unknown.is_empty() {
            read = self.handle.rows(&unknown).await?;
        }
        let mut read = unknown.iter().zip(read).peekable();
        let rows = keys
            .iter()
            .map(|key| match read.next_if(|(unknown, _)| *unknown == key) {
                Some((_, row)) => row,
                None => {
                    let known = self.cache.find(&self.batch, key).flatten();
                    StoredRow {
                        value: known.cloned(),
                        is_parked: false,
                    }
                }
            });
        let rows: Vec<StoredRow> = rows.collect();
        for (key, row) in keys.iter().zip(&rows) {
            if unknown.binary_search(key).is_ok() {
                self.cache.note(key, row);
            }
        }
        Ok(rows)
    }

    /// Adds a change to what is to be committed, and commits when it is time to. A live table is
    /// to show at once what was folded, and what is parked is read from the table.
    pub(super) async fn add(&mut self, events: u64, change: RowsChange) -> Result<(), Halt> {
        self.batch.add(events, change);
        self.share.set(self.batch.bytes() + self.cache.bytes());
        if self.is_live || self.batch.parks() {
            self.commit().await?;
            return self.settle().await;
        }
        let is_old = |began: Instant| began.elapsed() >= BUILD_BATCH_TIME;
        let runtime = self.handle.inner.modules.runtime();
        let is_frugal = runtime.throttle().live_calls_running() || self.share.is_scarce();
        let bytes = match is_frugal {
            true => SMALL_BUILD_BATCH_BYTES,
            false => BUILD_BATCH_BYTES,
        };
        if self.batch.bytes() >= bytes || self.batch.began().is_some_and(is_old) {
            self.commit().await?;
        }
        Ok(())
    }

    /// Commits what was added, and whether or not there is anything moves the table on to `to`.
    pub(super) async fn pass(&mut self, to: Position) -> Result<(), Halt> {
        self.batch.pass(to);
        self.commit().await
    }

    /// Commits all that was added, to its end.
    pub(super) async fn finish(&mut self) -> Result<(), Halt> {
        if self.batch.began().is_some() {
            self.commit().await?;
        }
        self.settle().await
    }

    /// Begins to commit what was added, once what was begun before is committed.
    async fn commit(&mut self) -> Result<(), Halt> {
        self.settle().await?;
        let events = self.batch.events();
        let change = self.batch.take();
        let limit = match self.is_live {
            _ if self.share.is_scarce() => 0,
            true => LIVE_CACHE_BYTES,
            false => BUILD_CACHE_BYTES,
        };
        self.cache.note_change(&change, limit);
        self.share.set(self.cache.bytes());
        let (to, handle) = (change.to, self.handle.clone());
        let committing = async move { handle.commit(change, events).await };
        self.committing = Some((to, AbortOnDropHandle::new(tokio::spawn(committing))));
        Ok(())
    }

    /// Waits until nothing is being committed.
    async fn settle(&mut self) -> Result<(), Halt> {
        if !self.is_committing() {
            return Ok(());
        }
        self.handle.now(Activity::Writing);
        self.committed().await
    }

    /// Waits for the end of the commit that is under way; for ever if there is none. Dropped
    /// midway, it goes on.
    pub(super) async fn committed(&mut self) -> Result<(), Halt> {
        let Some((to, committing)) = &mut self.committing else {
            return pending().await;
        };
        let (to, committed) = (*to, committing.await);
        self.committing = None;
        match committed.map_err(JoinError::try_into_panic) {
            Ok(Ok(())) => self.position = to,
            Ok(Err(halt)) => return Err(halt),
            Err(Ok(panic)) => resume_unwind(panic),
            // The runtime is shutting down.
            Err(Err(_)) => pending().await,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_all_writers_count_until_these_are_gone() {
        let all = RowMemory::default();
        let share = || RowShare {
            all: all.clone(),
            bytes: 0,
        };
        let (mut one, mut other) = (share(), share());
        one.set(ALL_ROWS_BYTES);
        assert!(!other.is_scarce());
        other.set(1);
        assert!(one.is_scarce() && other.is_scarce());
        one.set(ALL_ROWS_BYTES - 1);
        assert!(!other.is_scarce());
        other.set(ALL_ROWS_BYTES);
        drop(other);
        assert!(!one.is_scarce());
    }
}
