//! A table as its feeds follow it: what changes is read once for all at the end of the log.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use gavel_model::Position;
use gavel_store::Error;
use gavel_store::views::{TableId, ViewTable};
use tokio::sync::Mutex as AsyncMutex;

use super::step::{FeedStep, FollowedTable, StepError};
use crate::catalog::View;
use crate::views::Views;

/// The pause between two looks at a table that no runner of this host moves.
pub(super) const LOOK: Duration = Duration::from_millis(250);
/// The most steps that are kept for feeds that are a little behind.
const STEPS: usize = 64;
/// The most bytes that the kept steps take up, about.
const STEPS_BYTES: usize = 4 << 20;

/// The tables that have feeds.
#[derive(Debug, Default)]
pub(in crate::views) struct FeedTables(Mutex<HashMap<TableId, Weak<FeedTable>>>);

/// One table, for as long as it has a feed.
#[derive(Debug)]
pub(super) struct FeedTable {
    pub(super) of: FollowedTable,
    /// The newest steps.
    steps: Mutex<VecDeque<Arc<FeedStep>>>,
    /// The right to make the next step.
    next: AsyncMutex<()>,
    /// The position of the table when the store was last asked for it.
    looked: AsyncMutex<Option<(Instant, Position)>>,
}

impl FeedTables {
    /// Gives the table that feeds share.
    pub(super) fn join(&self, table: &ViewTable, module: Arc<View>) -> Arc<FeedTable> {
        let mut tables = lock(&self.0);
        if let Some(known) = tables.get(&table.id).and_then(Weak::upgrade) {
            return known;
        }
        let joined = Arc::new(FeedTable {
            of: FollowedTable {
                id: table.id,
                view: table.view.clone(),
                module,
            },
            steps: Mutex::default(),
            next: AsyncMutex::default(),
            looked: AsyncMutex::default(),
        });
        tables.retain(|_, table| table.strong_count() > 0);
        tables.insert(table.id, Arc::downgrade(&joined));
        joined
    }
}

impl FeedTable {
    /// The position that the table has reached, as far as is known.
    pub(super) async fn position(&self, views: &Views) -> Result<Position, Error> {
        if let Some(progress) = views.0.progresses.of(self.of.id) {
            return Ok(progress.borrow().position);
        }
        let mut looked = self.looked.lock().await;
        match *looked {
            Some((at, position)) if at.elapsed() < LOOK => Ok(position),
            _ => {
                let position = self.of.look(views).await?;
                *looked = Some((Instant::now(), position));
                Ok(position)
            }
        }
    }

    /// Gives the step after a position, of a table that has come to `known`. Its rows are no older
    /// than those that were read before `since`.
    pub(super) async fn step(
        &self,
        views: &Views,
        after: Position,
        known: Position,
        since: Instant,
    ) -> Result<Arc<FeedStep>, StepError> {
        if let Some(step) = self.find(after, since) {
            return Ok(step);
        }
        if self.is_behind(after) {
            let step = FeedStep::make(views, &self.of, after, known).await?;
            return Ok(Arc::new(step));
        }
        let _alone = self.next.lock().await;
        if let Some(step) = self.find(after, since) {
            return Ok(step);
        }
        let step = FeedStep::make(views, &self.of, after, known).await?;
        let step = Arc::new(step);
        self.keep(Arc::clone(&step));
        Ok(step)
    }

    fn find(&self, after: Position, since: Instant) -> Option<Arc<FeedStep>> {
        let steps = lock(&self.steps);
        let mut steps = steps.iter();
        let follows = |step: &&Arc<FeedStep>| {
            step.after <= after && after < step.through && step.began >= since
        };
        steps.find(follows).cloned()
    }

    fn is_behind(&self, after: Position) -> bool {
        let steps = lock(&self.steps);
        steps.back().is_some_and(|newest| after < newest.through)
    }

    fn keep(&self, step: Arc<FeedStep>) {
        let mut steps = lock(&self.steps);
        steps.push_back(step);
        let mut bytes: usize = steps.iter().map(|step| step.bytes()).sum();
        while steps.len() > STEPS || steps.len() > 1 && bytes > STEPS_BYTES {
            bytes -= steps.pop_front().map_or(0, |step| step.bytes());
        }
    }
}

fn lock<T>(known: &Mutex<T>) -> MutexGuard<'_, T> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}
