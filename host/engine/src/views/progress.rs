//! The progress of tables, as the runners of this host know it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use gavel_model::Position;
use gavel_store::views::TableId;
use tokio::sync::watch;
use tokio::time::Instant;

/// The time without progress after which a runner that has work names its reason.
pub(super) const STALLED_AFTER: Duration = Duration::from_secs(10);

/// The work of a runner right now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Activity {
    /// The runner waits for events.
    Waiting,
    /// The runner reads rows.
    Reading,
    /// The runner calls the module.
    Folding,
    /// The runner commits.
    Writing,
    /// The runner has the tags of events indexed.
    Indexing,
    /// The runner waits for transactions to end that may store events which are not indexed.
    AwaitingWriters,
    /// The runner makes the indexes of the table.
    Finishing,
    /// Another host moves the table.
    OtherHost,
    /// The runner tries again what has failed, for this reason.
    Failing(String),
}

impl Activity {
    /// The kind of work, as a label of metrics.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Reading => "reading",
            Self::Folding => "folding",
            Self::Writing => "writing",
            Self::Indexing => "indexing",
            Self::AwaitingWriters => "awaiting-writers",
            Self::Finishing => "finishing",
            Self::OtherHost => "other-host",
            Self::Failing(_) => "failing",
        }
    }

    /// The work in words that say why a table does not move.
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Waiting => "it waits for events of the log".to_owned(),
            Self::Reading => "it reads rows".to_owned(),
            Self::Folding => "the module folds a page".to_owned(),
            Self::Writing => "it waits for its changes to be committed".to_owned(),
            Self::Indexing => "the events that the view finds by tags are being indexed".to_owned(),
            Self::AwaitingWriters => {
                "transactions have to end that began to write events before their tags were indexed"
                    .to_owned()
            }
            Self::Finishing => "the indexes of the table are being made".to_owned(),
            Self::OtherHost => "another host moves the table".to_owned(),
            Self::Failing(reason) => reason.clone(),
        }
    }
}

/// The progress of one table.
#[derive(Debug, Clone)]
pub(super) struct TableProgress {
    /// The position through which all that the view reads is in the table; it may be ahead of the
    /// one that is stored.
    pub(super) position: Position,
    pub(super) is_caught_up: bool,
    pub(super) is_finished: bool,
    pub(super) activity: Activity,
    /// The number of events that this runner has folded or parked.
    pub(super) events: u64,
    /// The number of rows that this runner has written or ended.
    pub(super) rows: u64,
}

/// The progress of all tables that this host moves, and the tables that stand still.
#[derive(Debug, Default)]
pub(super) struct Progresses {
    moving: Mutex<HashMap<TableId, watch::Receiver<TableProgress>>>,
    /// The places of tables that have work, each with the time at which it was seen there first.
    still: Mutex<HashMap<TableId, (Position, Instant)>>,
}

impl Progresses {
    /// Keeps the progress of a table, for as long as its runner runs.
    pub(super) fn keep(&self, table: TableId, progress: watch::Receiver<TableProgress>) {
        let mut all = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, progress| progress.has_changed().is_ok());
        all.insert(table, progress);
    }

    /// Gives the progress of a table; none if this host does not move it.
    pub(super) fn of(&self, table: TableId) -> Option<watch::Receiver<TableProgress>> {
        let all = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        let progress = all.get(&table)?;
        progress.has_changed().is_ok().then(|| progress.clone())
    }

    /// Takes note of the place of a table, whoever moves it. Gives for how long it has been seen
    /// there with work to do.
    pub(super) fn note(&self, table: TableId, position: Position, has_work: bool) -> Duration {
        let mut still = self.still.lock().unwrap_or_else(PoisonError::into_inner);
        if !has_work {
            still.remove(&table);
            return Duration::ZERO;
        }
        let now = Instant::now();
        let (known, since) = still.entry(table).or_insert((position, now));
        if *known != position {
            (*known, *since) = (position, now);
        }
        now - *since
    }

    /// Forgets the places of all tables but some.
    pub(super) fn keep_places(&self, is_kept: impl Fn(TableId) -> bool) {
        let mut still = self.still.lock().unwrap_or_else(PoisonError::into_inner);
        still.retain(|table, _| is_kept(*table));
    }
}

/// Makes the progress of a table that stands at a position.
pub(super) fn channel(
    position: Position,
    is_finished: bool,
) -> (watch::Sender<TableProgress>, watch::Receiver<TableProgress>) {
    watch::channel(TableProgress {
        position,
        is_caught_up: false,
        is_finished,
        activity: Activity::Waiting,
        events: 0,
        rows: 0,
    })
}
