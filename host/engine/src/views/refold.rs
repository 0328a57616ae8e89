//! A row folded from the events that its sources name, a page at a time.
//!
//! Sources say where to look, and `keys` which of the events are the row's: so the row is that of
//! the table, byte for byte, as long as no source is missing.

use std::sync::Arc;

use gavel_model::{Json, ModuleDigest, Position, RecordedEvent, RowKey, ViewId};
use gavel_sandbox::{Fault, RunError, SMALL_READ_EVENTS};
use gavel_store::views::ParkedRow;
use gavel_store::{Error, Moment, ResumeError};
use time::OffsetDateTime;

use super::Views;
use super::folding::{RowFolder, RowTask};
use super::page::keys_of;
use super::read::ReadError;
use super::sources::{SourcePage, Sources};
use crate::catalog::{self, View};

/// The number of events that are read at once, after the first few.
const PAGE: u32 = 1_000;

/// The reason for which a row was not folded anew.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The rows cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The module cannot be made ready.
    #[error("the view's module cannot be used")]
    Module(#[source] catalog::Error),
    /// The module could not be called now.
    #[error("the module could not be called")]
    NotRun(#[from] RunError),
    /// The module does not say which events a row follows from.
    #[error("the module {module} does not say which events a row follows from")]
    SourcesMissing {
        /// The module.
        module: ModuleDigest,
    },
    /// The module failed when it was asked which events a row follows from.
    #[error("the module {module} cannot say which events row {key} follows from")]
    Sources {
        /// The module.
        module: ModuleDigest,
        /// The row.
        key: RowKey,
        /// The fault of the module.
        #[source]
        fault: Fault,
    },
    /// The row follows from more events than one answer reads.
    #[error("row {key} follows from more than {limit} events")]
    TooLong {
        /// The row.
        key: RowKey,
        /// The most events that one answer reads.
        limit: u64,
    },
}

impl From<Error> for HistoryError {
    fn from(error: Error) -> Self {
        Self::Read(ReadError::Store(error))
    }
}

/// A row on its way through the log.
#[derive(Debug)]
pub(super) struct Refold<'v> {
    views: &'v Views,
    view: Arc<View>,
    key: RowKey,
    sources: Sources,
    /// The moment before which all that is read was stored.
    moment: Moment,
    /// The last position that is read (inclusive), and the last time; none for no bound.
    bounds: (Option<Position>, Option<OffsetDateTime>),
    /// The position after which is read; none at the end.
    after: Option<Position>,
    /// The number of events that were looked at.
    looked_at: u64,
    folder: Option<RowFolder>,
    /// The row so far; none if there is none.
    pub(super) value: Option<Json>,
    /// The fault of the row, at which it stays as it is.
    pub(super) parked: Option<ParkedRow>,
    /// Tells whether there were events whose rows cannot be told.
    pub(super) is_incomplete: bool,
}

impl<'v> Refold<'v> {
    /// Begins after a position, with the row as it was there.
    pub(super) async fn begin(
        views: &'v Views,
        (id, key): (&ViewId, &RowKey),
        module: ModuleDigest,
        (after, value): (Position, Option<Json>),
    ) -> Result<Self, HistoryError> {
        let inner = &views.0;
        let view = inner.modules.view(module).await;
        let view = view.map_err(HistoryError::Module)?;
        let namespace = id.namespace();
        match inner.log_store.check_position(namespace, after).await {
            Ok(()) => {}
            // The log was restored to an earlier state, and the rows are going to follow.
            Err(ResumeError::Lost { .. }) => {
                return Err(ReadError::Building { view: id.clone() }.into());
            }
            Err(ResumeError::Store(error)) => return Err(error.into()),
        }
        let limits = inner.settings.limits;
        let (of, wanted, home) = (Arc::clone(&view), key.clone(), namespace.clone());
        let named = move || {
            let mut folder = RowFolder::new(Arc::clone(&of), limits);
            let sources = folder.sources(&wanted)?.map(|named| {
                let sources = Sources::of(&home, &of, named?, limits.sources);
                sources.map_err(|reason| Fault::BrokeContract { reason })
            });
            Ok::<_, RunError>((folder, sources))
        };
        let runtime = inner.modules.runtime();
        let (folder, sources) = runtime.run_for_reader(view.module(), named).await??;
        let sources = sources.ok_or(HistoryError::SourcesMissing { module })?;
        let sources = sources.map_err(|fault| HistoryError::Sources {
            module,
            key: key.clone(),
            fault,
        })?;
        Ok(Self {
            moment: inner.log_store.moment(namespace).await?,
            after: Some(after).filter(|_| !sources.is_empty()),
            views,
            view,
            key: key.clone(),
            sources,
            bounds: (None, None),
            looked_at: 0,
            folder: Some(folder),
            value,
            parked: None,
            is_incomplete: false,
        })
    }

    /// Reads no further than through a position and a time (both inclusive).
    pub(super) fn through(mut self, position: Position, time: Option<OffsetDateTime>) -> Self {
        self.bounds = (Some(position), time);
        self
    }

    /// Reads the next events of the row; none at the end, or once the row cannot be folded further.
    pub(super) async fn next(&mut self) -> Result<Option<Arc<Vec<RecordedEvent>>>, HistoryError> {
        while let Some(after) = self.after.filter(|_| self.parked.is_none()) {
            let limit = self.views.0.settings.history_events;
            let left = limit - self.looked_at.min(limit);
            if left == 0 {
                return Err(HistoryError::TooLong {
                    key: self.key.clone(),
                    limit,
                });
            }
            let size = if self.looked_at == 0 {
                SMALL_READ_EVENTS
            } else {
                PAGE
            };
            let size = size.min(u32::try_from(left).unwrap_or(u32::MAX));
            let page = self.read(after, size).await?;
            self.looked_at += page.looked_at;
            self.after = page.next;
            let events = self.within(page.events);
            let events = self.of_row(events).await?;
            if !events.is_empty() {
                return Ok(Some(Arc::new(events)));
            }
        }
        Ok(None)
    }

    async fn read(&mut self, after: Position, limit: u32) -> Result<SourcePage, HistoryError> {
        let store = &*self.views.0.log_store;
        let throttle = self.views.0.modules.runtime().throttle();
        let read = self.sources.page(store, after, &self.moment, limit);
        match throttle.read_in_turn(limit, read).await {
            // The table has it among the events whose rows cannot be told.
            Err(Error::Malformed { position, .. }) => {
                self.is_incomplete = true;
                Ok(SourcePage {
                    events: Vec::new(),
                    next: Some(position),
                    looked_at: 1,
                })
            }
            read => Ok(read?),
        }
    }

    /// Takes what is within the bounds, and ends where nothing more can be.
    fn within(&mut self, mut events: Vec<RecordedEvent>) -> Vec<RecordedEvent> {
        let (position, time) = self.bounds;
        if let Some(through) = position {
            events.retain(|event| event.position <= through);
            self.after = self.after.filter(|after| *after < through);
        }
        if let Some(through) = time {
            // Within a stream times ascend; among streams they need not.
            let (kept, later): (Vec<_>, Vec<_>) = events
                .into_iter()
                .partition(|event| event.created_at <= through);
            for event in later {
                self.sources.leave_out(&event.stream);
            }
            self.after = self.after.filter(|_| !self.sources.is_empty());
            events = kept;
        }
        events
    }

    /// Takes the events of which the module says that they change the row.
    async fn of_row(
        &mut self,
        mut events: Vec<RecordedEvent>,
    ) -> Result<Vec<RecordedEvent>, HistoryError> {
        events.retain(|event| self.view.reads(event));
        if events.is_empty() {
            return Ok(events);
        }
        let (view, key) = (Arc::clone(&self.view), self.key.clone());
        let (events, is_incomplete) = self
            .call(move |folder| {
                let read: Vec<&RecordedEvent> = events.iter().collect();
                let keys = keys_of(folder, &read, &view)?;
                let is_incomplete = keys.iter().any(Result::is_err);
                let of_row = events.into_iter().zip(keys).filter_map(|(event, keys)| {
                    keys.is_ok_and(|keys| keys.contains(&key)).then_some(event)
                });
                Ok((of_row.collect(), is_incomplete))
            })
            .await?;
        self.is_incomplete |= is_incomplete;
        Ok(events)
    }

    /// Folds some successive events of a page.
    pub(super) async fn fold(
        &mut self,
        page: &Arc<Vec<RecordedEvent>>,
        places: std::ops::Range<usize>,
    ) -> Result<(), HistoryError> {
        let start = places.start;
        let places = places.map(|place| u32::try_from(place).unwrap_or(u32::MAX));
        let task = RowTask {
            key: self.key.clone(),
            value: self.value.take(),
            events: places.collect(),
        };
        if task.events.is_empty() {
            self.value = task.value;
            return Ok(());
        }
        let events = Arc::clone(page);
        let folded = self
            .call(move |folder| {
                let events: Vec<&RecordedEvent> = events.iter().collect();
                folder.fold(&events, &[task])
            })
            .await?;
        for row in folded {
            self.value = row.value;
            let place = start + row.folded;
            if let (Some(reason), Some(event)) = (row.fault, page.get(place)) {
                self.parked = Some(ParkedRow {
                    key: self.key.clone(),
                    position: event.position,
                    event_id: event.event.event_id,
                    reason,
                    since: self.views.0.clock.now(),
                });
            }
        }
        Ok(())
    }

    /// Folds all that is left.
    pub(super) async fn fold_all(&mut self) -> Result<(), HistoryError> {
        while let Some(events) = self.next().await? {
            self.fold(&events, 0..events.len()).await?;
        }
        Ok(())
    }

    async fn call<T: Send + 'static>(
        &mut self,
        call: impl FnOnce(&mut RowFolder) -> Result<T, RunError> + Send + 'static,
    ) -> Result<T, HistoryError> {
        let inner = &self.views.0;
        let (folder, view) = (self.folder.take(), Arc::clone(&self.view));
        let limits = inner.settings.limits;
        let job = move || {
            let mut folder = folder.unwrap_or_else(|| RowFolder::new(view, limits));
            let done = call(&mut folder)?;
            // The runner has told it, when it was the first to fold this.
            drop(folder.take_output());
            Ok::<_, RunError>((folder, done))
        };
        let runtime = inner.modules.runtime();
        let (folder, done) = runtime.run_for_reader(self.view.module(), job).await??;
        self.folder = Some(folder);
        Ok(done)
    }
}
