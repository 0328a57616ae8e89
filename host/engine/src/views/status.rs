//! What is known of views: how far each has come, and why one does not move.

use std::time::Duration;

use gavel_model::{Namespace, Position, RowKey, ViewId};
use gavel_store::views::{ParkedEvent, ParkedRow, ViewTable};
use gavel_store::{Error, LogFilter, Page};

use super::Views;
use super::progress::{Activity, STALLED_AFTER};

/// The number of events behind a view that are looked at: the lag is no larger than this.
const LOOK: u32 = 1_000;
/// The number of faults that are shown.
const SHOWN: u32 = 100;

/// The tables of a view.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewStatus {
    /// The view.
    pub view: ViewId,
    /// The table that people read.
    pub active: Option<ViewTable>,
    /// The tables of other modules, oldest first: former ones, and candidates.
    pub others: Vec<ViewTable>,
}

impl ViewStatus {
    /// All tables of the view.
    pub fn tables(&self) -> impl Iterator<Item = &ViewTable> {
        self.active.iter().chain(&self.others)
    }

    /// Gives the newest table, unless it is the one that people read or older.
    #[must_use]
    pub fn candidate(&self) -> Option<&ViewTable> {
        let newest = self.others.last()?;
        let active = self.active.as_ref();
        (active.is_none_or(|active| active.id < newest.id)).then_some(newest)
    }
}

/// The events that a table does not have yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Lag {
    /// The position that the table has reached.
    pub position: Position,
    /// The number of events that it reads and does not have yet, of at most 1,000 that are looked
    /// at.
    pub events: u64,
    /// The age of the oldest of these events; zero without any.
    pub age: Duration,
    /// The reason for which the table has not moved for 10 seconds although it has work.
    pub stalled: Option<Stall>,
}

/// The reason for which a table does not move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stall {
    /// The kind of reason, one of a few.
    pub cause: &'static str,
    /// The reason, one sentence.
    pub reason: String,
}

impl Views {
    /// Lists the views of a namespace that have tables, by name.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    pub async fn list(&self, namespace: &Namespace) -> Result<Vec<ViewStatus>, Error> {
        let mut tables = self.0.store.tables().await?;
        tables.retain(|table| table.view.namespace() == namespace);
        Ok(statuses(tables))
    }

    /// Gives the tables of a view; none if it has none.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    pub async fn status(&self, view: &ViewId) -> Result<Option<ViewStatus>, Error> {
        let views = self.list(view.namespace()).await?;
        Ok(views.into_iter().find(|status| status.view == *view))
    }

    /// Finds out how far a table is behind the log.
    ///
    /// # Errors
    ///
    /// [`Error`] when the log cannot be read.
    pub async fn lag(&self, table: &ViewTable) -> Result<Lag, Error> {
        let known = self.0.progresses.of(table.id);
        let known = known.map(|progress| progress.borrow().clone());
        let (position, activity) = match known {
            Some(known) => (known.position, known.activity),
            None => (table.position, Activity::OtherHost),
        };
        let view = self.0.modules.view(table.digest).await;
        let filter = match &view {
            Ok(view) => LogFilter::from(view.filter()),
            Err(_) => LogFilter::default(),
        };
        let namespace = table.view.namespace();
        let page = self
            .0
            .log_store
            .read_log(namespace, position, &filter, LOOK)
            .await;
        let page = match page {
            Ok(page) => page,
            // It is parked as soon as it is met.
            Err(Error::Malformed { .. }) => {
                return Ok(Lag {
                    position,
                    events: 1,
                    age: Duration::ZERO,
                    stalled: None,
                });
            }
            Err(error) => return Err(error),
        };
        let age = page
            .events
            .first()
            .map(|first| self.0.clock.now() - first.created_at);
        let age = age
            .and_then(|age| Duration::try_from(age).ok())
            .unwrap_or_default();
        let has_work = !page.events.is_empty() || page.is_withheld || !table.is_finished;
        let still = self.0.progresses.note(table.id, position, has_work);
        let stalled = match &view {
            Err(error) => Some(Stall {
                cause: "module",
                reason: format!("its module cannot be made ready: {error}"),
            }),
            Ok(_) if still > STALLED_AFTER => {
                let waits = match activity {
                    Activity::Waiting => page.is_withheld,
                    Activity::OtherHost => page.is_withheld && page.events.is_empty(),
                    _ => false,
                };
                let withheld = if waits { self.withheld().await } else { None };
                Some(withheld.unwrap_or_else(|| Stall {
                    cause: activity.label(),
                    reason: activity.in_words(),
                }))
            }
            Ok(_) => None,
        };
        Ok(Lag {
            position,
            events: page.events.len() as u64,
            age,
            stalled,
        })
    }

    /// The transaction that keeps events from all readers.
    async fn withheld(&self) -> Option<Stall> {
        let withholding = self.0.log_store.withholding().await.ok()??;
        let age = withholding
            .age
            .map(|age| format!(", for {} s", age.as_secs()));
        let query = withholding.query.map(|query| format!(", `{query}`"));
        let (holder, age) = (withholding.holder, age.unwrap_or_default());
        let query = query.unwrap_or_default();
        Some(Stall {
            cause: "open-transaction",
            reason: format!("an open transaction keeps events from readers: {holder}{age}{query}"),
        })
    }

    /// Lists the first events whose keys cannot be told.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    pub async fn parked_events(&self, table: &ViewTable) -> Result<Vec<ParkedEvent>, Error> {
        self.0.store.parked_events(table.id, SHOWN).await
    }

    /// Lists the rows of a table that are parked, by key after one of them.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    pub async fn parked_rows(
        &self,
        table: &ViewTable,
        after: Option<&RowKey>,
    ) -> Result<Page<ParkedRow>, Error> {
        self.0.store.parked(table.id, after, SHOWN).await
    }
}

/// Sorts tables by view, in the order of the views' names.
pub(super) fn statuses(mut tables: Vec<ViewTable>) -> Vec<ViewStatus> {
    tables.sort_by(|one, other| (&one.view, one.id).cmp(&(&other.view, other.id)));
    let mut views: Vec<ViewStatus> = Vec::new();
    for table in tables {
        let is_known = views.last().is_some_and(|last| last.view == table.view);
        if !is_known {
            views.push(ViewStatus {
                view: table.view.clone(),
                active: None,
                others: Vec::new(),
            });
        }
        let Some(status) = views.last_mut() else {
            continue;
        };
        match table.active {
            Some(_) => status.active = Some(table),
            None => status.others.push(table),
        }
    }
    views
}
