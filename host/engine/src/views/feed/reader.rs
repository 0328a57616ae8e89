//! A feed for one reader, who pulls: nothing is read before the next part is asked for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use gavel_model::{Json, Position, RowKey, ViewId};
use gavel_store::views::{RowPlace, ViewTable};
use gavel_store::{Error, LogFilter};
use tokio::sync::watch;
use tokio::time::sleep;

use super::query::{FeedQuery, PlannedQuery};
use super::step::{FeedStep, ReadRows, RowCount, StepError};
use super::table::{FeedTable, LOOK};
use super::{FeedError, FeedPart, FeedPlace, FeedResume, FeedStage, ResyncReason, change};
use crate::views::Views;
use crate::views::heads::{RowsVersion, VersionsRead};
use crate::views::read::{FindError, ReadError};

/// The most rows of a part.
const PAGE: u32 = 1_000;
/// The most events that are counted at a time.
const COUNTED: u32 = 1_000;
/// The first pause after the store or the module could not be used; it doubles up to
/// [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause before another try.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A feed of rows. See [`Views::feed`].
#[derive(Debug)]
pub struct RowFeed {
    views: Views,
    view: ViewId,
    asked: FeedQuery,
    query: PlannedQuery,
    table: Arc<FeedTable>,
    heads: watch::Receiver<VersionsRead>,
    /// The word of `heads` when the store was last asked what people read.
    checked: Option<Option<RowsVersion>>,
    place: FeedPlace,
    /// The position is that of the page of rows that is read next.
    is_new: bool,
    /// The reason to tell with the next part.
    resync: Option<ResyncReason>,
    is_caught_up: bool,
    /// A step, and the number of its rows that were sent.
    unsent: Option<(Arc<FeedStep>, usize)>,
    /// The position up to which there are not too many events.
    counted: Position,
    /// The position of the table when the place was last compared with the log.
    compared: Position,
    /// The time by which all rows that were sent had been read.
    read_by: Instant,
    count: RowCount,
}

/// The reason for which there is no next part now.
#[derive(Debug)]
enum Interruption {
    /// The view is not there any more, or does not answer the question any more.
    Ended,
    /// Something failed, and may work later.
    Failed,
}

impl From<Error> for Interruption {
    fn from(_: Error) -> Self {
        Self::Failed
    }
}

impl From<StepError> for Interruption {
    fn from(_: StepError) -> Self {
        Self::Failed
    }
}

impl RowFeed {
    pub(super) async fn begin(
        views: &Views,
        view: ViewId,
        asked: FeedQuery,
        table: &ViewTable,
        heads: watch::Receiver<VersionsRead>,
    ) -> Result<Self, FeedError> {
        let query = asked.plan(&table.shape).map_err(FindError::from)?;
        let module = views.0.modules.view(table.digest).await;
        let module = module.map_err(FeedError::Module)?;
        let version = RowsVersion::of(table);
        Ok(Self {
            table: views.0.feeds.join(table, module),
            views: views.clone(),
            view,
            asked,
            query,
            heads,
            checked: None,
            place: beginning(version),
            is_new: true,
            resync: None,
            is_caught_up: false,
            unsent: None,
            counted: Position::BEGINNING,
            compared: Position::BEGINNING,
            read_by: Instant::now(),
            count: RowCount::default(),
        })
    }

    /// Goes on from a place; one that is none of this order begins anew.
    pub(super) fn resume(&mut self, from: FeedResume) {
        let FeedPlace {
            version,
            position,
            seen,
            stage,
        } = from;
        let stage = match stage {
            FeedStage::Changes => Some(FeedStage::Changes),
            FeedStage::Rows(None) => Some(FeedStage::Rows(None)),
            FeedStage::Rows(Some(place)) => {
                let place = self.query.place(place);
                place.map(|place| FeedStage::Rows(Some(place)))
            }
        };
        match stage {
            Some(stage) => {
                self.is_new = false;
                self.place = FeedPlace {
                    version,
                    position,
                    seen,
                    stage,
                };
            }
            None => self.begin_anew(ResyncReason::Rows),
        }
    }

    /// Sends all rows again, after saying why.
    pub(super) fn begin_anew(&mut self, reason: ResyncReason) {
        self.place = beginning(self.place.version);
        self.is_new = true;
        self.resync = Some(reason);
        self.is_caught_up = false;
        self.unsent = None;
    }

    /// Waits for the next part; some have no rows, and say only how far the feed is. None when
    /// there is no such view any more, or none that answers the question. Waits through outages of
    /// the store.
    ///
    /// Dropped midway, the feed may begin anew, and loses nothing.
    pub async fn next(&mut self) -> Option<FeedPart> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.try_next().await {
                Ok(Some(part)) => return Some(part),
                Ok(None) => pause = FIRST_PAUSE,
                Err(Interruption::Ended) => return None,
                Err(Interruption::Failed) => {
                    // It may be that the table is not there any more.
                    self.checked = None;
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn try_next(&mut self) -> Result<Option<FeedPart>, Interruption> {
        let head = self.heads.borrow_and_update().get(&self.view).copied();
        if head != Some(self.place.version) && self.checked != Some(head) {
            self.check_version().await?;
            self.checked = Some(head);
        }
        match self.place.stage.clone() {
            FeedStage::Rows(after) => self.rows(after).await,
            FeedStage::Changes => self.changes().await,
        }
    }

    /// Begins anew if people read other rows than those of this feed.
    async fn check_version(&mut self) -> Result<(), Interruption> {
        let table = match self.views.active_table(&self.view).await {
            Ok(table) => table,
            Err(ReadError::NotFound { .. }) => return Err(Interruption::Ended),
            Err(ReadError::Building { .. } | ReadError::Store(_)) => {
                return Err(Interruption::Failed);
            }
        };
        let version = RowsVersion::of(&table);
        let Some(reason) = change(self.place.version, version) else {
            return Ok(());
        };
        let query = self.asked.plan(&table.shape);
        let query = query.map_err(|_| Interruption::Ended)?;
        let module = self.views.0.modules.view(table.digest).await;
        let module = module.map_err(|_| Interruption::Failed)?;
        self.query = query;
        self.table = self.views.0.feeds.join(&table, module);
        self.place.version = version;
        self.begin_anew(reason);
        Ok(())
    }

    /// A page of the rows as they are.
    async fn rows(&mut self, after: Option<RowPlace>) -> Result<Option<FeedPart>, Interruption> {
        let query = self.query.page(after, PAGE);
        let page = self.views.0.store.query(&self.view, &query).await?;
        let page = page.ok_or(Interruption::Ended)?;
        if page.head.table != self.table.of.id {
            self.check_version().await?;
            return Ok(None);
        }
        if !page.head.is_finished {
            self.wait_for_heads().await;
            self.checked = None;
            return Ok(None);
        }
        if self.is_new {
            self.place.position = page.head.position;
            self.is_new = false;
        }
        let before = self.place.clone();
        self.place.seen = self.place.seen.max(page.head.position);
        self.place.stage = match page.next {
            Some(next) => FeedStage::Rows(Some(next)),
            None => FeedStage::Changes,
        };
        self.read_by = Instant::now();
        let rows = page.rows.into_iter();
        let changes = rows.map(|(key, row)| (key, Some(row))).collect();
        Ok(Some(self.part(before, changes)))
    }

    /// Rows that events have changed.
    async fn changes(&mut self) -> Result<Option<FeedPart>, Interruption> {
        if let Some((step, sent)) = self.unsent.take() {
            return self.send(step, sent).await.map(Some);
        }
        let known = self.table.position(&self.views).await?;
        let position = self.place.position;
        let may_be_restored = known < position || known.generation() != position.generation();
        if may_be_restored && known != self.compared {
            if self.views.is_lost(&self.view, &self.place).await? {
                self.begin_anew(ResyncReason::Lost);
                return Ok(None);
            }
            self.compared = known;
        }
        if known <= position {
            if self.is_caught_up {
                self.wait().await;
                return Ok(None);
            }
            self.is_caught_up = true;
            let before = self.place.clone();
            return Ok(Some(FeedPart {
                is_caught_up: true,
                ..self.part(before, Vec::new())
            }));
        }
        let step = self
            .table
            .step(&self.views, position, known, self.read_by)
            .await?;
        if step.through < known && step.through >= self.counted {
            self.is_caught_up = false;
            if self.are_too_many(&step, known).await? {
                self.begin_anew(ResyncReason::Behind);
                return Ok(None);
            }
            self.counted = known;
        }
        self.send(step, 0).await.map(Some)
    }

    /// Sends a step from one of its rows on, as many as are read at a time.
    async fn send(&mut self, step: Arc<FeedStep>, sent: usize) -> Result<FeedPart, Interruption> {
        let ReadRows {
            values,
            seen,
            ended,
        } = match &step.rows {
            Some(rows) => rows.clone(),
            None => {
                let rest = step.keys.get(sent..).unwrap_or_default();
                self.count.read(&self.views, &self.table.of, rest).await?
            }
        };
        let before = self.place.clone();
        let keys = step.keys.iter().skip(sent).cloned();
        let rows = values
            .into_iter()
            .map(|row| row.filter(|row| self.query.wants(row)));
        let changes: Vec<_> = keys.zip(rows).collect();
        self.place.seen = self.place.seen.max(seen);
        self.read_by = self.read_by.max(ended);
        let sent = sent + changes.len();
        if sent < step.keys.len() {
            self.unsent = Some((step, sent));
        } else {
            self.place.position = step.through;
        }
        Ok(self.part(before, changes))
    }

    fn part(&mut self, before: FeedPlace, changes: Vec<(RowKey, Option<Json>)>) -> FeedPart {
        FeedPart {
            resync: self.resync.take(),
            module: self.table.of.module.digest(),
            is_caught_up: false,
            changes,
            before,
            after: self.place.clone(),
        }
    }

    /// Tells whether there are more events, in a step and after it, than a feed may be behind.
    async fn are_too_many(&self, step: &FeedStep, known: Position) -> Result<bool, Interruption> {
        let filter = LogFilter::from(self.table.of.module.filter());
        let throttle = self.views.0.modules.runtime().throttle();
        let most = self.views.0.settings.feed_events;
        let (mut at, mut left) = (step.through, most.saturating_sub(step.events));
        while at < known {
            let log = &self.views.0.log_store;
            let page = log.read_log(self.view.namespace(), at, &filter, COUNTED);
            let (events, next) = match throttle.read_in_turn(COUNTED, page).await {
                Ok(page) => (page.events.len() as u64, page.next),
                Err(Error::Malformed { position, .. }) => (1, position),
                Err(error) => return Err(error.into()),
            };
            left = match left.checked_sub(events) {
                Some(left) => left,
                None => return Ok(true),
            };
            if next <= at {
                break;
            }
            at = next;
        }
        Ok(false)
    }

    /// Waits until the table may have moved, or people may read other rows.
    async fn wait(&mut self) {
        let position = self.place.position;
        let progress = self.views.0.progresses.of(self.table.of.id);
        match progress.filter(|progress| progress.borrow().position >= position) {
            Some(mut progress) => {
                let moved = progress.wait_for(|progress| progress.position > position);
                let has_ended = moved.map(|moved| moved.is_err());
                tokio::select! {
                    has_ended = has_ended => if has_ended { sleep(LOOK).await },
                    _ = self.heads.changed() => {}
                }
            }
            None => self.wait_for_heads().await,
        }
    }

    async fn wait_for_heads(&mut self) {
        tokio::select! {
            () = sleep(LOOK) => {}
            _ = self.heads.changed() => {}
        }
    }
}

/// The place before the first row. Its positions become known with that row.
fn beginning(version: RowsVersion) -> FeedPlace {
    FeedPlace {
        version,
        position: Position::BEGINNING,
        seen: Position::BEGINNING,
        stage: FeedStage::Rows(None),
    }
}
