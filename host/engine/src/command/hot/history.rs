//! The reader of a stream's history for its shard, one page ahead of folding.

use std::sync::Arc;

use gavel_model::{Json, ModuleDigest, StreamId, Version};
use gavel_store::{Claim, Error, History, Store};
use tokio_util::task::AbortOnDropHandle;

use crate::command::session::{PAGE_EVENTS, load};

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
    /// The page after it, if there is one.
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
            HistoryStart::Newest => self.newest().await?,
            HistoryStart::First => self.after(Version::EMPTY).await?,
            // It has panicked, or the runtime is shutting down.
            HistoryStart::Ahead(PageAhead(page)) => page
                .await
                .unwrap_or_else(|error| Err(Error::Unavailable(error.into())))?,
            HistoryStart::Claimed(version) => {
                let claim = self.store.claim(&self.stream).await?;
                let page = self.after(version).await?;
                HistoryPage { claim, ..page }
            }
        };
        if page.history.has_more {
            page.next = page.history.head.map(|head| self.ahead(head.version));
        }
        Ok(page)
    }

    async fn newest(&self) -> Result<HistoryPage, Error> {
        let loaded = load(&*self.store, &self.stream, self.module, PAGE_EVENTS).await?;
        let after = loaded.snapshot.as_ref().map(|snapshot| snapshot.version);
        Ok(HistoryPage {
            snapshot: loaded.snapshot.map(|snapshot| snapshot.state),
            after: after.unwrap_or_default(),
            history: loaded.history,
            next: None,
            claim: None,
        })
    }

    async fn after(&self, after: Version) -> Result<HistoryPage, Error> {
        let history = self
            .store
            .history(&self.stream, after, None, PAGE_EVENTS)
            .await?;
        Ok(HistoryPage {
            snapshot: None,
            after,
            history,
            next: None,
            claim: None,
        })
    }

    fn ahead(&self, version: Version) -> PageAhead {
        let reader = self.clone();
        let reading = tokio::spawn(async move { reader.after(version).await });
        PageAhead(AbortOnDropHandle::new(reading))
    }
}
