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
    pub stalled: Option<String>,
}

impl Views {
    /// Lists the views of a namespace that have tables, by name.
    ///
    /// # Errors
    ///
    /// [`Error`] when the store cannot be read.
    pub async fn list(&self, namespace: &Namespace) -> Result<Vec<ViewStatus>, Error> {
        let mut views: Vec<ViewStatus> = Vec::new();
        let tables = self.0.store.tables().await?;
        let mut tables: Vec<ViewTable> = tables
            .into_iter()
            .filter(|table| table.view.namespace() == namespace)
            .collect();
        tables.sort_by(|one, other| (&one.view, one.id).cmp(&(&other.view, other.id)));
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
        Ok(views)
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
        let position = known
            .as_ref()
            .map_or(table.position, |known| known.position);
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
        let has_work = !page.events.is_empty() || page.is_withheld;
        let stalled = match (&view, &known) {
            (Err(error), _) => Some(format!("its module cannot be made ready: {error}")),
            (Ok(_), Some(known)) if has_work && known.moved_at.elapsed() > STALLED_AFTER => {
                let reason = match known.activity {
                    Activity::Waiting if page.is_withheld => self.withheld().await,
                    _ => None,
                };
                Some(reason.unwrap_or_else(|| known.activity.in_words()))
            }
            (Ok(_), _) => None,
        };
        Ok(Lag {
            position,
            events: page.events.len() as u64,
            age,
            stalled,
        })
    }

    /// The transaction that keeps events from all readers, in words.
    async fn withheld(&self) -> Option<String> {
        let withholding = self.0.log_store.withholding().await.ok()??;
        let age = withholding
            .age
            .map(|age| format!(", for {} s", age.as_secs()));
        let (holder, age) = (withholding.holder, age.unwrap_or_default());
        Some(format!(
            "an open transaction keeps events from readers: {holder}{age}"
        ))
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
