//! A reader of a namespace's log, first from the store, then from the tail.

use std::fmt;
use std::future::pending;
use std::panic::resume_unwind;
use std::sync::Arc;

use gavel_model::{Namespace, Position};
use gavel_store::LogFilter;
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

use super::page_reader::{FIRST_PAGE_EVENTS, limit_after};
use super::tail_page::{Events, Malformed, TailPage};
use super::tail_registry::{Follower, TailRegistry};

/// A reader that follows the log of one namespace. See [`Log::subscribe`](super::Log::subscribe).
pub struct Subscription {
    tails: Arc<TailRegistry>,
    namespace: Namespace,
    filter: Arc<LogFilter>,
    position: Position,
    limit: u32,
    place: ReaderState,
    /// The position after which the tail, itself further on, no longer had the next page.
    missed: Option<Position>,
    /// Tells whether an event was withheld at the end of the log, so that reaching the end has not
    /// been reported yet.
    is_withheld: bool,
}

/// An item that a subscription hands over.
#[derive(Debug)]
pub enum Delivery {
    /// Events.
    Events(Events),
    /// A stored event that cannot be read, whether or not it would pass the filter.
    Malformed(Malformed),
    /// The end of the log: nothing more can be read for now, though more may be committed. Reported
    /// once at first, and again whenever the reader had fallen so far behind that it had to read
    /// the store.
    CaughtUp,
}

enum ReaderState {
    /// A place behind the tail's pages, perhaps with a page on its way.
    Behind(Option<AbortOnDropHandle<TailPage>>),
    /// The end of the log, not reported yet.
    AtEnd,
    /// The end of the log, or a place within the tail's pages.
    Following(Follower),
}

impl Subscription {
    pub(super) fn new(
        tails: Arc<TailRegistry>,
        namespace: Namespace,
        filter: LogFilter,
        after: Position,
    ) -> Self {
        Self {
            tails,
            namespace,
            filter: Arc::new(filter),
            position: after,
            limit: FIRST_PAGE_EVENTS,
            place: ReaderState::Behind(None),
            missed: None,
            is_withheld: false,
        }
    }

    /// Gives the position from which another subscription would continue this one: past everything
    /// that has been handed over or did not pass the filter. The position advances also while
    /// [`next`](Self::next) waits.
    #[must_use]
    pub fn position(&self) -> Position {
        self.position
    }

    /// Waits for the next item. Waits through outages of the store.
    ///
    /// Dropped midway, nothing is lost: the next call continues the same reading.
    pub async fn next(&mut self) -> Delivery {
        loop {
            if let Some(delivery) = self.next_or_moved().await {
                return delivery;
            }
        }
    }

    /// Waits as [`next`](Self::next) does, and comes back with none as well when the position has
    /// moved past events that did not pass the filter.
    pub async fn next_or_moved(&mut self) -> Option<Delivery> {
        loop {
            let page = match &mut self.place {
                ReaderState::Behind(reading) => {
                    let page = reading
                        .get_or_insert_with(|| {
                            read(
                                &self.tails,
                                &self.namespace,
                                self.position,
                                &self.filter,
                                self.limit,
                            )
                        })
                        .await;
                    let page = match page.map_err(JoinError::try_into_panic) {
                        Ok(page) => page,
                        Err(Ok(panic)) => resume_unwind(panic),
                        // The runtime is shutting down.
                        Err(Err(_)) => pending().await,
                    };
                    self.limit = limit_after(&page, self.limit);
                    self.is_withheld = page.is_withheld;
                    self.place = if page.caught_up {
                        ReaderState::AtEnd
                    } else {
                        ReaderState::Behind(None)
                    };
                    if page.caught_up && self.missed.take() == Some(page.next) {
                        // There was nothing to miss: the tail is where no event has ever been.
                        self.tails.rewind(&self.namespace, page.next);
                    }
                    Arc::new(page)
                }
                ReaderState::AtEnd => {
                    let follower = self.tails.follow(&self.namespace, self.position);
                    self.place = ReaderState::Following(follower);
                    if self.is_withheld {
                        continue;
                    }
                    return Some(Delivery::CaughtUp);
                }
                ReaderState::Following(follower) => {
                    let Some(page) = follower.after(self.position).await else {
                        self.missed = Some(self.position);
                        self.place = ReaderState::Behind(None);
                        continue;
                    };
                    if self.is_withheld && page.caught_up && !page.is_withheld {
                        self.is_withheld = false;
                        self.place = ReaderState::AtEnd;
                    }
                    page
                }
            };
            let before = self.position;
            let delivery = self.take(page);
            if delivery.is_some() || self.position > before {
                return delivery;
            }
        }
    }

    /// Moves to the end of the page, and gives what is on it.
    fn take(&mut self, page: Arc<TailPage>) -> Option<Delivery> {
        let after = self.position;
        self.position = after.max(page.next);
        if let Some(malformed) = &page.malformed {
            return Some(Delivery::Malformed(malformed.clone()));
        }
        Events::of(page, after, Arc::clone(&self.filter)).map(Delivery::Events)
    }
}

/// Reads in a task that outlives a caller who stops waiting for it: the task may have a turn, or a
/// connection, that others wait for.
fn read(
    tails: &TailRegistry,
    namespace: &Namespace,
    after: Position,
    filter: &Arc<LogFilter>,
    limit: u32,
) -> AbortOnDropHandle<TailPage> {
    let (reader, namespace, filter) = (
        tails.reader().clone(),
        namespace.clone(),
        Arc::clone(filter),
    );
    let reading = async move { reader.read(&namespace, after, &filter, limit).await };
    AbortOnDropHandle::new(tokio::spawn(reading))
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("namespace", &self.namespace)
            .field("filter", &self.filter)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}
