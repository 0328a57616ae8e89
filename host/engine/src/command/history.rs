//! The reader of a stream's history, for all who fold one: a snapshot if there is one, and pages of
//! events.

use std::sync::Arc;

use gavel_model::{Json, ModuleDigest, StreamId, Version};
use gavel_store::{Claim, Error, History, Store};
use tokio_util::task::AbortOnDropHandle;

/// The number of events that are read and folded at a time.
pub(super) const PAGE_EVENTS: u32 = 1_000;

/// The point from which a stream's history is to be read.
#[derive(Debug)]
pub(super) enum HistoryStart {
    /// The newest snapshot, or the first event without one.
    Newest,
    /// The first event.
    First,
    /// The end of the last page.
    Ahead(PageAhead),
    /// The event after a version, with the stream claimed before that event is read: other hosts
    /// are kept away until the decisions that follow are stored.
    Claimed(Version),
}

/// A part of a stream's history.
#[derive(Debug)]
pub(super) struct HistoryPage {
    /// The state after the version `after`; none where the state is known already, or is that of a
    /// new stream.
    pub(super) snapshot: Option<Json>,
    pub(super) after: Version,
    pub(super) history: History,
    /// The page after it, if there is one and it is read ahead.
    pub(super) next: Option<PageAhead>,
    /// The claim on the stream, if it was asked for and could be had.
    pub(super) claim: Option<Box<dyn Claim>>,
}

/// A page that is being read while the one before it is folded. Dropped, it is not read to its end.
#[derive(Debug)]
pub(super) struct PageAhead(AbortOnDropHandle<Result<HistoryPage, Error>>);

/// Reads the history of one stream, to be folded by one module.
#[derive(Debug, Clone)]
pub(super) struct HistoryReader {
    pub(super) store: Arc<dyn Store>,
    pub(super) module: ModuleDigest,
    pub(super) stream: StreamId,
}

impl HistoryReader {
    /// Reads the page that begins at `start`. Unless that page is the last, begins to read the next
    /// one.
    pub(super) async fn read(&self, start: HistoryStart) -> Result<HistoryPage, Error> {
        let mut page = match start {
            HistoryStart::Newest => self.newest(PAGE_EVENTS).await?,
            HistoryStart::First => self.after(Version::EMPTY, None, PAGE_EVENTS).await?,
            // It has panicked, or the runtime is shutting down.
            HistoryStart::Ahead(PageAhead(page)) => page
                .await
                .unwrap_or_else(|error| Err(Error::Unavailable(error.into())))?,
            HistoryStart::Claimed(version) => {
                let claim = self.store.claim(&self.stream).await?;
                let page = self.after(version, None, PAGE_EVENTS).await?;
                HistoryPage { claim, ..page }
            }
        };
        if page.history.has_more {
            page.next = page.history.head.map(|head| self.ahead(head.version));
        }
        Ok(page)
    }

    /// Reads the newest snapshot, and up to `limit` events after it; without one, the first events.
    ///
    /// A snapshot does not hold the id of its last event, nor whether the stream ended with it:
    /// when no event follows the snapshot, that last event is read as well.
    pub(super) async fn newest(&self, limit: u32) -> Result<HistoryPage, Error> {
        let loaded = self.store.load(&self.stream, self.module, limit).await?;
        let mut history = loaded.history;
        if let (Some(snapshot), None) = (&loaded.snapshot, history.head) {
            let (version, before) = (snapshot.version, snapshot.version.previous());
            let last = self.store.history(&self.stream, before, Some(version), 1);
            history.head = last.await?.head;
        }
        let after = loaded.snapshot.as_ref().map(|snapshot| snapshot.version);
        Ok(HistoryPage {
            snapshot: loaded.snapshot.map(|snapshot| snapshot.state),
            after: after.unwrap_or_default(),
            history,
            next: None,
            claim: None,
        })
    }

    /// Reads up to `limit` events after `after` (exclusive), to `through` (inclusive) if there is a
    /// bound.
    pub(super) async fn after(
        &self,
        after: Version,
        through: Option<Version>,
        limit: u32,
    ) -> Result<HistoryPage, Error> {
        let history = self.store.history(&self.stream, after, through, limit);
        Ok(HistoryPage {
            snapshot: None,
            after,
            history: history.await?,
            next: None,
            claim: None,
        })
    }

    fn ahead(&self, version: Version) -> PageAhead {
        let reader = self.clone();
        let reading = tokio::spawn(async move { reader.after(version, None, PAGE_EVENTS).await });
        PageAhead(AbortOnDropHandle::new(reading))
    }
}
