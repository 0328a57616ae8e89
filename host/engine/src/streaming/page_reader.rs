//! The reader of the store, page by page, for all who follow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gavel_model::{Namespace, Position, RecordedEvent};
use gavel_sandbox::BackgroundThrottle;
use gavel_store::{Error, LogFilter, LogStore, PAGE_BYTES};
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;

use super::tail_page::{Malformed, TailPage};

/// Most events on a page.
pub(super) const PAGE_EVENTS: u32 = 1_000;
/// Most events on the first page, before it is known how large they are.
pub(super) const FIRST_PAGE_EVENTS: u32 = 100;
/// The number of pages that are read at the same time. Others who need the store are not to wait
/// behind a thousand subscribers that catch up.
const TURNS: usize = 2;
/// The first pause after the store could not be read; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause before the store is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Reads the log of any namespace. Cheap to clone; clones share their turns.
#[derive(Debug, Clone)]
pub(super) struct PageReader {
    store: Arc<dyn LogStore>,
    turns: Arc<Semaphore>,
    throttle: BackgroundThrottle,
    /// Tells whether the store could not be read when it was last tried.
    is_away: Arc<AtomicBool>,
}

impl PageReader {
    pub(super) fn new(store: Arc<dyn LogStore>, throttle: BackgroundThrottle) -> Self {
        Self {
            store,
            turns: Arc::new(Semaphore::new(TURNS)),
            throttle,
            is_away: Arc::default(),
        }
    }

    /// Makes another reader with turns of its own: for tails, which are not to wait behind
    /// subscriptions that catch up.
    pub(super) fn apart(&self) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(TURNS)),
            // One that knows of no live calls.
            throttle: BackgroundThrottle::default(),
            ..self.clone()
        }
    }

    /// Changes when there may be something new.
    pub(super) fn wakeups(&self) -> watch::Receiver<()> {
        self.store.wakeups()
    }

    /// Reads the first events after `after` that pass the filter, as [`LogStore::read_log`] gives
    /// them.
    ///
    /// Waits as long as the store cannot be read, and tries again. Dropped midway, nothing has
    /// happened.
    pub(super) async fn read(
        &self,
        namespace: &Namespace,
        after: Position,
        filter: &LogFilter,
        limit: u32,
    ) -> TailPage {
        let mut pause = FIRST_PAUSE;
        loop {
            // The semaphore is never closed.
            let turn = self.turns.acquire().await;
            let read = self.store.read_log(namespace, after, filter, limit);
            let error = match self.throttle.read_in_turn(limit, read).await {
                Ok(page) => {
                    self.store_is_back();
                    return TailPage {
                        after,
                        next: page.next,
                        caught_up: page.caught_up,
                        is_withheld: page.is_withheld,
                        bytes: page.events.iter().map(RecordedEvent::size_bytes).sum(),
                        events: page.events,
                        malformed: None,
                    };
                }
                Err(Error::Malformed {
                    stream,
                    position,
                    reason,
                    raw,
                }) => {
                    self.store_is_back();
                    let malformed = Malformed {
                        stream,
                        position,
                        reason,
                        raw,
                    };
                    return TailPage {
                        after,
                        next: position,
                        malformed: Some(malformed),
                        ..TailPage::default()
                    };
                }
                Err(
                    error @ (Error::Unavailable(_) | Error::Refused(_) | Error::Corrupt { .. }),
                ) => error,
            };
            drop(turn);
            self.store_is_away(&error);
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Logs the first of several failures, once for all readers.
    fn store_is_away(&self, error: &Error) {
        if !self.is_away.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "the log cannot be read; its followers wait"
            );
        }
    }

    fn store_is_back(&self) {
        if self.is_away.load(Ordering::Relaxed) && self.is_away.swap(false, Ordering::Relaxed) {
            tracing::info!("the log can be read again");
        }
    }
}

/// Estimates how many events to ask for, when events are as large as those on `page`, for which
/// `limit` was asked.
pub(super) fn limit_after(page: &TailPage, limit: u32) -> u32 {
    if page.events.is_empty() {
        return limit;
    }
    let event_bytes = page.bytes / page.events.len();
    let fitting = u32::try_from(PAGE_BYTES / event_bytes.max(1)).unwrap_or(PAGE_EVENTS);
    // One page of small events says little about the next.
    fitting.clamp(1, limit.saturating_mul(4).min(PAGE_EVENTS))
}
