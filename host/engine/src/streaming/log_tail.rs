//! The task that reads the end of a namespace's log, once for all who follow it.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use gavel_model::{Clock, Namespace};
use gavel_store::LogFilter;
use metrics::histogram;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::metrics::TAIL_LAG_SECONDS;
use super::page_reader::{FIRST_PAGE_EVENTS, PageReader, limit_after};
use super::ring::Ring;
use super::tail_budget::TailBudget;
use super::tail_page::TailPage;

/// The pause after a look, so that those who follow are woken once for what came meanwhile. Doubles
/// while the store is busy.
const FIRST_GAP: Duration = Duration::from_millis(2);
/// The longest pause after a look that has found something: what is added to the delay of events
/// under load.
const BUSY_GAP: Duration = Duration::from_millis(10);
/// The longest pause after a look for nothing, unless there are very many tails: while one
/// namespace is busy, many quiet ones are looked at no more often than this.
const QUIET_GAP: Duration = Duration::from_millis(40);
/// The first pause before looking again without being woken, since committed events may be held
/// back for a moment. Doubles up to [`IDLE_POLL`].
const FIRST_POLL: Duration = Duration::from_millis(5);
/// The longest pause before looking without being woken: events that other programs write are seen
/// after so long, unless there are very many tails.
const IDLE_POLL: Duration = Duration::from_millis(250);

/// Reads the end of one log for as long as it is polled.
#[derive(Debug)]
pub(super) struct LogTail {
    pub(super) namespace: Namespace,
    pub(super) reader: PageReader,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) budget: TailBudget,
    /// The pages that have been read; reading continues at the ring's end.
    pub(super) ring: watch::Sender<Ring>,
}

impl LogTail {
    /// Reads on until it is dropped.
    pub(super) async fn run(self) {
        loop {
            // It ends only by a bug of ours, which the panic hook has logged. Followers must not
            // wait forever.
            let _ = AssertUnwindSafe(self.watch()).catch_unwind().await;
            sleep(IDLE_POLL).await;
        }
    }

    /// Looks for new events whenever the store says so, and now and then of its own accord.
    async fn watch(&self) {
        let mut wakeups = self.reader.wakeups();
        let mut limit = FIRST_PAGE_EVENTS;
        let (mut gap, mut poll) = (FIRST_GAP, FIRST_POLL);
        loop {
            let has_found = self.look(&mut limit).await;
            sleep(gap).await;
            // A store that commits all the time is looked at in larger steps.
            let longest = if has_found {
                BUSY_GAP
            } else {
                QUIET_GAP.max(self.budget.quiet_gap())
            };
            gap = match wakeups.has_changed() {
                Ok(true) => (gap * 2).min(longest),
                Ok(false) | Err(_) => FIRST_GAP,
            };
            if has_found {
                poll = FIRST_POLL;
            }
            let idle_poll = IDLE_POLL.max(self.budget.idle_poll());
            poll = match timeout(poll, wakeups.changed()).await {
                Ok(Ok(())) => FIRST_POLL,
                Ok(Err(_)) | Err(_) => (poll * 2).min(idle_poll),
            };
            if poll >= IDLE_POLL {
                // A follower that has not fetched the pages by now is slow, and reads the store.
                self.ring.send_if_modified(|ring| {
                    ring.clear();
                    false
                });
            }
        }
    }

    /// Reads on to the end. Whether there was anything.
    async fn look(&self, limit: &mut u32) -> bool {
        let filter = LogFilter::default();
        let mut has_found = false;
        loop {
            let end = self.ring.borrow().end();
            let page = self
                .reader
                .read(&self.namespace, end, &filter, *limit)
                .await;
            *limit = limit_after(&page, *limit);
            let (is_news, is_last) = (page.next > end, page.caught_up);
            if is_news {
                has_found = true;
                self.publish(page);
            }
            if is_last || !is_news {
                return has_found;
            }
        }
    }

    fn publish(&self, page: TailPage) {
        if let Some(oldest) = page.events.first() {
            let lag = self.clock.now() - oldest.created_at;
            // The database's clock may be ahead of ours.
            histogram!(TAIL_LAG_SECONDS).record(lag.as_seconds_f64().max(0.0));
        }
        let budget = self.budget.bytes();
        self.ring.send_if_modified(|ring| ring.push(page, budget));
    }
}
