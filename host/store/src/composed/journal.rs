//! Journals: the data of a capability as entries in a stream of the backend, and the state that
//! they fold to.
//!
//! Each entry is decided on all entries before it, and is appended where those end: of two writers,
//! be it of two hosts, the second finds out, reads on, and decides again. That is event sourcing,
//! with `decide` and `evolve`, for the store's own data.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use gavel_model::{
    DeciderName, ExpectedVersion, Json, Metadata, Namespace, NewEvent, RecordedEvent, StreamId,
    Version, new_id,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::OwnedMutexGuard;

use super::Core;
use crate::{Append, AppendError, Error, StreamAppend, StreamHead, StreamRange};

/// The type of all events of journals.
const EVENT: &str = "Recorded";

/// The state that the entries of one journal fold to.
pub(super) trait Fold: Debug + Default + Clone + Send + Sync + 'static {
    /// An entry.
    type Entry: Serialize + DeserializeOwned + Send;

    /// The name of the journal in errors.
    const WHAT: &'static str;

    /// Entries at versions that are multiples of this make those before them unnecessary; 0 where
    /// none does.
    const WHOLE_EVERY: u64 = 0;

    /// Takes up an entry.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] when it says what no entry says.
    fn apply(&mut self, entry: Self::Entry, recorded: &RecordedEvent) -> Result<(), Error>;
}

/// A journal as far as it has been read.
#[derive(Debug, Clone)]
pub(super) struct Known<F> {
    /// The journal's stream.
    pub(super) stream: StreamId,
    /// The last entry that was read.
    pub(super) head: StreamHead,
    /// The state that the entries up to the head fold to.
    pub(super) state: Arc<F>,
}

/// A journal in the state in which it was opened; no other writer of this process writes to the
/// journal until this is dropped.
#[derive(Debug)]
pub(super) struct Opened<F>(OwnedMutexGuard<Known<F>>);

impl<F: Fold> Known<F> {
    fn empty(stream: StreamId) -> Self {
        Self {
            stream,
            head: StreamHead::default(),
            state: Arc::default(),
        }
    }

    /// A part of an append that takes place where the journal ends here, with such entries.
    pub(super) fn part(&self, entries: &[F::Entry]) -> Result<StreamAppend, Error> {
        let events = match entries {
            [] => Vec::new(),
            entries => vec![recorded_event(document(&entries)?)],
        };
        Ok(StreamAppend {
            expected: ExpectedVersion::Exact(self.head.version),
            expected_previous_id: self.head.last_event_id,
            ..unconditional(self.stream.clone(), events)
        })
    }

    /// Tells whether an append was refused because the journal does not end here.
    pub(super) fn has_moved(&self, error: &AppendError) -> bool {
        matches!(
            error,
            AppendError::VersionConflict { stream, .. } | AppendError::WrongPreviousId { stream, .. }
                if *stream == self.stream
        )
    }

    /// Reads on to the end. Where the backend was restored to an earlier state, from the beginning.
    async fn refresh(&mut self, core: &impl Core) -> Result<(), Error> {
        loop {
            let head = core.head(&self.stream).await?;
            if head.last_event_id == self.head.last_event_id {
                return Ok(());
            }
            if head.version <= self.head.version {
                *self = Self::empty(self.stream.clone());
            }
            self.read_to(core, head.version).await?;
        }
    }

    /// Reads on, but no further than to an entry that does not follow the last one that is known:
    /// then nothing is known any more.
    async fn read_to(&mut self, core: &impl Core, end: Version) -> Result<(), Error> {
        if self.head.version == Version::EMPTY && F::WHOLE_EVERY > 0 {
            let whole = end.get() - end.get() % F::WHOLE_EVERY;
            self.head.version = Version::new(whole.saturating_sub(1)).unwrap_or_default();
        }
        while self.head.version < end {
            let range = StreamRange {
                through: Some(end),
                ..StreamRange::page_after(self.head.version)
            };
            let page = core.read_stream(&self.stream, range).await?;
            if page.is_empty() {
                let reason = "the backend does not show the end of a stream";
                return Err(Error::Unavailable(reason.into()));
            }
            for recorded in page {
                let known = self.head.last_event_id;
                if known.is_some() && recorded.previous_id != known {
                    *self = Self::empty(self.stream.clone());
                    return Ok(());
                }
                self.take(&recorded)?;
            }
        }
        Ok(())
    }

    /// Takes up what is recorded next.
    fn take(&mut self, recorded: &RecordedEvent) -> Result<(), Error> {
        let state = Arc::make_mut(&mut self.state);
        for entry in entries_of::<F>(recorded)? {
            state.apply(entry, recorded)?;
        }
        self.head = StreamHead {
            version: recorded.version,
            last_event_id: Some(recorded.event.event_id),
            is_final: false,
        };
        Ok(())
    }
}

impl<F: Fold> Opened<F> {
    /// The state that all entries fold to.
    pub(super) fn state(&self) -> &Arc<F> {
        &self.0.state
    }

    /// The version of the next entry.
    pub(super) fn next_version(&self) -> Version {
        self.0.head.version.next()
    }

    /// Appends entries at once, and gives them back as they are recorded; none when another writer
    /// was faster, or there is nothing to append.
    pub(super) async fn commit(
        &mut self,
        core: &impl Core,
        entries: &[F::Entry],
    ) -> Result<Option<RecordedEvent>, AppendError> {
        let part = self.0.part(entries)?;
        let recorded = commit_all(core, std::slice::from_mut(self), vec![part]).await?;
        Ok(recorded.and_then(|recorded| recorded.into_iter().next()))
    }

    /// The journal's stream.
    pub(super) fn stream(&self) -> &StreamId {
        &self.0.stream
    }

    /// The part of an append with entries that follow here.
    pub(super) fn part(&self, entries: &[F::Entry]) -> Result<StreamAppend, Error> {
        self.0.part(entries)
    }

    /// Reads the first entry that is not known yet.
    async fn next(&self, core: &impl Core) -> Result<Option<RecordedEvent>, Error> {
        let range = StreamRange::only(self.next_version());
        let next = core.read_stream(&self.0.stream, range).await?;
        Ok(next.into_iter().next())
    }
}

/// Appends to several journals at once, and gives back what is recorded in them; none when another
/// writer was faster in one of them. The first parts are the journals', one for each, in their
/// order; those behind are appended with them.
pub(super) async fn commit_all<F: Fold>(
    core: &impl Core,
    journals: &mut [Opened<F>],
    parts: Vec<StreamAppend>,
) -> Result<Option<Vec<RecordedEvent>>, AppendError> {
    let ids = parts.iter().take(journals.len());
    let ids = ids.filter_map(|part| part.events.first());
    let ids: Vec<_> = ids.map(|event| event.event_id).collect();
    let recorded: Vec<_> = match core.append(Append { parts }).await {
        Ok(appended) => {
            let appended = appended.into_iter().take(journals.len());
            appended.flat_map(|part| part.events).collect()
        }
        Err(error) if journals.iter().any(|journal| journal.0.has_moved(&error)) => {
            return Ok(None);
        }
        Err(error @ AppendError::OutcomeUnknown(_)) => {
            let mut next = Vec::with_capacity(journals.len());
            for journal in &*journals {
                next.extend(journal.next(core).await?);
            }
            if !next.iter().map(|next| next.event.event_id).eq(ids) {
                return Err(error);
            }
            next
        }
        Err(error) => return Err(error),
    };
    for recorded in &recorded {
        let mut journals = journals.iter_mut();
        if let Some(journal) = journals.find(|journal| journal.0.stream == recorded.stream) {
            journal.0.take(recorded)?;
        }
    }
    Ok(Some(recorded))
}

/// The journals of one kind that have entries, as far as they have been read.
#[derive(Debug)]
pub(super) struct Journals<F>(Arc<Mutex<HashMap<StreamId, Journal<F>>>>);

type Journal<F> = Arc<tokio::sync::Mutex<Known<F>>>;

impl<F> Default for Journals<F> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<F> Clone for Journals<F> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<F: Fold> Journals<F> {
    /// Opens a journal, read to its end.
    pub(super) async fn open(
        &self,
        core: &impl Core,
        stream: &StreamId,
    ) -> Result<Opened<F>, Error> {
        let journal = self.find(stream).unwrap_or_else(|| {
            let empty = Known::empty(stream.clone());
            Arc::new(tokio::sync::Mutex::new(empty))
        });
        let mut known = Arc::clone(&journal).lock_owned().await;
        known.refresh(core).await?;
        // A name that somebody has asked for, and that is none, takes up nothing.
        if known.head.last_event_id.is_some() {
            let mut journals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            journals.entry(stream.clone()).or_insert(journal);
        }
        Ok(Opened(known))
    }

    /// Reads a journal to its end.
    pub(super) async fn read(&self, core: &impl Core, stream: &StreamId) -> Result<Arc<F>, Error> {
        Ok(Arc::clone(self.open(core, stream).await?.state()))
    }

    /// Gives a journal as far as it has been read; the backend is asked only if it never was.
    pub(super) async fn known(
        &self,
        core: &impl Core,
        stream: &StreamId,
    ) -> Result<Known<F>, Error> {
        match self.find(stream) {
            Some(journal) => Ok(journal.lock().await.clone()),
            None => self.newest(core, stream).await,
        }
    }

    /// Gives a journal that is read to its end.
    pub(super) async fn newest(
        &self,
        core: &impl Core,
        stream: &StreamId,
    ) -> Result<Known<F>, Error> {
        Ok(self.open(core, stream).await?.0.clone())
    }

    fn find(&self, stream: &StreamId) -> Option<Journal<F>> {
        let journals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        journals.get(stream).map(Arc::clone)
    }
}

/// A stream of the store's own, with an id that a store can hold.
///
/// # Errors
///
/// [`Error::Refused`] when the id is longer than that.
pub(super) fn internal_stream(
    namespace: Namespace,
    name: &str,
    id: &str,
) -> Result<StreamId, Error> {
    StreamId::new(namespace, DeciderName::internal(name), id)
        .map_err(|error| Error::Refused(error.to_string()))
}

/// An event of the store's own.
pub(super) fn recorded_event(data: Json) -> NewEvent {
    let event_id = new_id();
    NewEvent {
        event_id,
        event: EVENT.to_owned(),
        schema_version: 1,
        data,
        is_final: false,
        tags: Vec::new(),
        metadata: Metadata::default(),
        command_id: event_id,
    }
}

/// A part of an append that expects nothing.
pub(super) fn unconditional(stream: StreamId, events: Vec<NewEvent>) -> StreamAppend {
    StreamAppend {
        stream,
        expected: ExpectedVersion::Any,
        expected_previous_id: None,
        events,
        command: None,
        fence: None,
    }
}

/// Converts an append's failure into that of a write that either is done or is not.
pub(super) fn failed(error: AppendError) -> Error {
    match error {
        AppendError::Unavailable(source) | AppendError::OutcomeUnknown(source) => {
            Error::Unavailable(source)
        }
        AppendError::Overloaded { .. } => Error::Unavailable(error.into()),
        AppendError::Corrupt(error) => error,
        refused => Error::Refused(refused.to_string()),
    }
}

/// The entries of an event of a journal.
pub(super) fn entries_of<F: Fold>(recorded: &RecordedEvent) -> Result<Vec<F::Entry>, Error> {
    serde_json::from_str(recorded.event.data.as_str())
        .map_err(|error| corrupt::<F>(error.to_string()))
}

/// The document that a value is written down as.
///
/// # Errors
///
/// [`Error::Refused`] when it holds what no store can hold.
pub(super) fn document(value: &impl Serialize) -> Result<Json, Error> {
    let refused = |error: &dyn std::error::Error| Error::Refused(error.to_string());
    let text = serde_json::to_string(value).map_err(|error| refused(&error))?;
    Json::parse(&text).map_err(|error| refused(&error))
}

/// The error of a journal that cannot be read.
pub(super) fn corrupt<F: Fold>(reason: String) -> Error {
    let what = F::WHAT;
    Error::Corrupt { what, reason }
}
