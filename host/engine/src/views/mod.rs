//! Views at work: rows that are folded from the log, and the reads of rows.
//!
//! ```text
//! log --pages--> runner, one per table --changes--> ViewStore --rows--> reads
//!                  |  folding.rs, page.rs              |
//!                  v                                   v
//!                the view's module              keeper.rs: which tables there are, and where
//!                                               the pointers stand
//! ```
//!
//! A table has the rows of one module; every table there is, active or not, follows the log. Of the
//! hosts that are alive one has the runners of a view.
//! **Invariant:** a row is a function of the log and of one module: pages, restarts, workers and
//! hosts make no difference.

mod awaited;
mod batch;
mod feed;
mod folding;
mod handle;
mod heads;
mod history;
mod keeper;
mod looks;
mod measures;
pub mod metrics;
mod page;
mod parked;
mod pause;
mod progress;
mod query;
mod read;
mod refold;
mod repeat;
mod runner;
mod sources;
mod spec;
mod status;
mod tag_index;
mod touched;
mod workers;
mod writer;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use gavel_model::{Clock, Position, ViewId};
use gavel_store::views::{NewTable, TableId, ViewStore, ViewTable};
use gavel_store::{Error, HeartbeatStore, Store};
use tokio::sync::{Mutex, watch};

pub use awaited::Lateness;
pub use feed::{FeedError, FeedPart, FeedPlace, FeedResume, FeedStage, ResyncReason, RowFeed};
pub use heads::RowsVersion;
pub use history::{RowMoment, RowStep, RowSteps};
pub use keeper::ViewKeeper;
pub use parked::RetryError;
pub use query::{Filter, FilterKind, Misquery};
pub use read::{AfterError, FindError, ReadError};
pub use refold::HistoryError;
pub use repeat::{Differences, RepeatedFold};
pub use spec::{SpecRows, fold_spec};
pub use status::{Lag, Stall, ViewStatus};
pub use touched::{Touched, TouchedError};

use crate::catalog::{Modules, View};
use crate::hosts::LiveHosts;
use crate::streaming::Log;

/// The limits on what a view may make of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ViewLimits {
    /// The most keys of an event (inclusive).
    pub keys: usize,
    /// The largest row, in bytes (inclusive).
    pub row_bytes: usize,
    /// The most streams and tags that a row follows from (inclusive).
    pub sources: usize,
}

/// The settings of views on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewSettings {
    /// The limits on modules.
    pub limits: ViewLimits,
    /// The threads that fold a table which is being built.
    pub build_workers: NonZeroUsize,
    /// The most events that one answer reads to fold a row anew (inclusive).
    pub history_events: u64,
    /// The longest time that a read waits for events which it is to show.
    pub wait: Duration,
    /// The time for which a table that nobody reads is kept, and follows the log.
    pub keep_previous: Duration,
    /// The number of events that a feed of rows may be behind; beyond, it sends its rows anew.
    pub feed_events: u64,
}

impl Default for ViewLimits {
    fn default() -> Self {
        Self {
            keys: 1_000,
            row_bytes: 256 << 10,
            sources: 100,
        }
    }
}

impl Default for ViewSettings {
    fn default() -> Self {
        Self {
            limits: ViewLimits::default(),
            build_workers: NonZeroUsize::MIN,
            history_events: 100_000,
            wait: Duration::from_secs(5),
            keep_previous: Duration::from_secs(24 * 60 * 60),
            feed_events: 100_000,
        }
    }
}

/// The views of the installation; cheap to clone.
#[derive(Debug, Clone)]
pub struct Views(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<dyn ViewStore>,
    log_store: Arc<dyn Store>,
    log: Log,
    modules: Modules,
    clock: Arc<dyn Clock>,
    settings: ViewSettings,
    hosts: Arc<LiveHosts>,
    progresses: progress::Progresses,
    looks: looks::Looks,
    /// The tables, as the keeper has seen them last.
    seen: watch::Sender<Arc<[ViewTable]>>,
    heads: heads::Heads,
    feeds: feed::FeedTables,
    /// Changes when there may be other tables, or one has another state.
    changes: watch::Sender<()>,
    /// Changes when the log seems to have been restored to an earlier state.
    restored: watch::Sender<()>,
    /// The lock of tries to fold parked rows: two of the same row would count it twice.
    retrying: Mutex<()>,
    row_memory: writer::RowMemory,
}

impl Inner {
    /// Tells whether the runners of a view are on this host. All tables of a view have theirs on
    /// one: then none is far behind the others.
    fn owns(&self, view: &ViewId) -> bool {
        self.hosts
            .owns(&format!("{}/{}", view.namespace(), view.name()))
    }

    async fn table(&self, id: TableId) -> Result<Option<ViewTable>, Error> {
        let tables = self.store.tables().await?;
        Ok(tables.into_iter().find(|table| table.id == id))
    }

    fn tell_changes(&self) {
        self.changes.send_replace(());
    }
}

impl Views {
    /// Makes the views of a host: the rows in `store`, folded from `log` with `modules`, and shared
    /// with the `hosts` that have the same.
    #[must_use]
    pub fn new(
        store: Arc<dyn ViewStore>,
        hosts: Arc<dyn HeartbeatStore>,
        log_store: Arc<dyn Store>,
        log: Log,
        modules: Modules,
        clock: Arc<dyn Clock>,
        settings: ViewSettings,
    ) -> Self {
        Self(Arc::new(Inner {
            hosts: Arc::new(LiveHosts::new(hosts, store.place())),
            store,
            log_store,
            log,
            modules,
            clock,
            settings,
            progresses: progress::Progresses::default(),
            looks: looks::Looks::default(),
            seen: watch::Sender::new(Arc::default()),
            heads: heads::Heads::default(),
            feeds: feed::FeedTables::default(),
            changes: watch::Sender::new(()),
            restored: watch::Sender::new(()),
            retrying: Mutex::default(),
            row_memory: writer::RowMemory::default(),
        }))
    }

    /// Gives the store of the rows.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn ViewStore> {
        &self.0.store
    }

    /// Gives the limits on what a view may make of events.
    #[must_use]
    pub fn limits(&self) -> ViewLimits {
        self.0.settings.limits
    }

    /// Makes a table for the rows of a module, unless there is one. It is built, and follows the
    /// log from then on.
    ///
    /// # Errors
    ///
    /// [`Error`] when it cannot be made.
    pub async fn begin_table(&self, id: &ViewId, view: &View) -> Result<ViewTable, Error> {
        let mut known = self.0.store.tables().await?.into_iter();
        let is_it = |table: &ViewTable| table.view == *id && table.digest == view.digest();
        if let Some(table) = known.find(is_it) {
            return Ok(table);
        }
        let new = NewTable {
            view: id.clone(),
            digest: view.digest(),
            shape: view.shape().clone(),
        };
        let table = self.0.store.create_table(new).await?;
        self.0.tell_changes();
        Ok(table)
    }

    /// Gives the position through which all that the module reads is in a table, as far as this
    /// host knows.
    #[must_use]
    pub fn position_of(&self, table: &ViewTable) -> Position {
        let known = self.0.progresses.of(table.id);
        let known = known.map(|progress| progress.borrow().position);
        known.map_or(table.position, |known| known.max(table.position))
    }

    /// Forgets a table, unless it is the one that people read.
    ///
    /// # Errors
    ///
    /// [`Error`] when it cannot be dropped.
    pub async fn drop_table(&self, table: TableId) -> Result<(), Error> {
        self.0.store.drop_table(table).await?;
        self.0.tell_changes();
        Ok(())
    }

    /// Says that an activation log has a new entry, so that pointers follow.
    pub fn follow_activations(&self) {
        self.0.tell_changes();
    }

    /// Changes when a table may have another state.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.0.changes.subscribe()
    }
}
