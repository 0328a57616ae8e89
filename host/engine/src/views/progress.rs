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
    /// The runner makes the indexes of the table.
    Finishing,
    /// Another host moves the table.
    OtherHost,
    /// The runner tries again what has failed, for this reason.
    Failing(String),
}

impl Activity {
    /// The work in words that say why a table does not move.
    pub(super) fn in_words(&self) -> String {
        match self {
            Self::Waiting => "it waits for events of the log".to_owned(),
            Self::Reading => "it reads rows".to_owned(),
            Self::Folding => "the module folds a page".to_owned(),
            Self::Writing => "it waits for its changes to be committed".to_owned(),
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
    /// The time at which the position moved last.
    pub(super) moved_at: Instant,
}

/// The progress of all tables that this host moves.
#[derive(Debug, Default)]
pub(super) struct Progresses(Mutex<HashMap<TableId, watch::Receiver<TableProgress>>>);

impl Progresses {
    /// Keeps the progress of a table, for as long as its runner runs.
    pub(super) fn keep(&self, table: TableId, progress: watch::Receiver<TableProgress>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, progress| progress.has_changed().is_ok());
        all.insert(table, progress);
    }

    /// Gives the progress of a table; none if this host does not move it.
    pub(super) fn of(&self, table: TableId) -> Option<watch::Receiver<TableProgress>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let progress = all.get(&table)?;
        progress.has_changed().is_ok().then(|| progress.clone())
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
        moved_at: Instant::now(),
    })
}
