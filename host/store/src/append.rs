//! The input of an append and its outcome.

use std::fmt::Debug;

use async_trait::async_trait;
use gavel_model::{
    CommandOutcome, CommandRecord, EventId, ExpectedVersion, Metadata, NewEvent, RecordedEvent,
    Rejection, StreamId, Version,
};

use super::{AppendError, Fence};

/// One or more parts that are stored together, or not at all.
#[derive(Debug, Clone, PartialEq)]
pub struct Append {
    /// The parts, in order; several may be on the same stream. All MUST be in one namespace.
    pub parts: Vec<StreamAppend>,
}

/// The outcome of one command, or of one import, on one stream.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamAppend {
    /// The stream to append to.
    pub stream: StreamId,
    /// The version that the stream must have after the earlier parts of the same append.
    pub expected: ExpectedVersion,
    /// The id of the newest event that the writer knows, after the parts before this one; none
    /// leaves it unchecked. A version alone may be that of another event, in a database that was
    /// restored to an earlier state.
    pub expected_previous_id: Option<EventId>,
    /// The events, from none upwards: a rejected or empty command appends nothing but its ledger
    /// row.
    pub events: Vec<NewEvent>,
    /// The ledger row; none for an import. Its payload MUST NOT be stored where it says
    /// `LedgerMode::Keys`.
    pub command: Option<CommandRecord>,
    /// The fence of the module that decided. Any part may require instead that a kind of module has
    /// not begun the name.
    pub fence: Option<Fence>,
}

impl Append {
    /// The stream of each part.
    pub fn streams(&self) -> impl Iterator<Item = &StreamId> {
        self.parts.iter().map(|part| &part.stream)
    }
}

/// The size in bytes above which an append occupies a database for so long that other appends
/// notice, as [`StreamAppend::size_bytes`] counts them.
pub const LARGE_APPEND_BYTES: usize = 256 * 1024;

/// The cost of a row besides its texts, as a number of bytes that take a store as long: about 20
/// µs.
const ROW_BYTES: usize = 1_024;

impl StreamAppend {
    /// The cost of storing the append, in bytes: its texts, and a fixed amount for each row.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let events = self.events.iter().map(|event| {
            let tags: usize = event.tags.iter().map(String::len).sum();
            ROW_BYTES + event.data.as_str().len() + tags + entries_bytes(&event.metadata)
        });
        let command = self.command.as_ref().map_or(0, |command| {
            let answer = match &command.outcome {
                CommandOutcome::Accepted { .. } => 0,
                CommandOutcome::Rejected(rejection) => rejection_bytes(rejection),
            };
            ROW_BYTES + command.data.as_str().len() + entries_bytes(&command.metadata) + answer
        });
        events.sum::<usize>() + command
    }
}

fn entries_bytes(metadata: &Metadata) -> usize {
    let entries = metadata.entries().iter();
    entries.map(|(key, text)| key.len() + text.len()).sum()
}

fn rejection_bytes(rejection: &Rejection) -> usize {
    let data = rejection
        .data
        .as_ref()
        .map_or(0, |data| data.as_str().len());
    rejection.code.len() + rejection.message.len() + data
}

/// A claim of a stream: no other writer appends to the stream until this is dropped or has
/// appended, for a few seconds at most.
#[async_trait]
pub trait Claim: Debug + Send {
    /// Appends to the claimed stream, as `EventStore::append` does, and releases it.
    ///
    /// # Errors
    ///
    /// As `EventStore::append`; for a claim that has lasted too long [`AppendError::Unavailable`].
    async fn append(self: Box<Self>, append: Append) -> Result<Vec<Appended>, AppendError>;
}

/// The outcome of one part of an append.
#[derive(Debug, Clone, PartialEq)]
pub struct Appended {
    /// The newest version of the stream after this part.
    pub version: Version,
    /// The events as stored.
    pub events: Vec<RecordedEvent>,
}
