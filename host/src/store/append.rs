//! What is appended, and what comes of it.

use std::fmt::Debug;

use async_trait::async_trait;

use super::AppendError;
use crate::core::{
    ActivationNumber, CommandRecord, EventId, ExpectedVersion, NewEvent, RecordedEvent, StreamId,
    Version,
};

/// One or more parts that are stored together, or not at all.
#[derive(Debug, Clone, PartialEq)]
pub struct Append {
    /// In order; several may be on the same stream. All MUST be in one namespace.
    pub parts: Vec<StreamAppend>,
}

/// The outcome of one command, or of one import, on one stream.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamAppend {
    /// The stream to append to.
    pub stream: StreamId,
    /// What is expected of it, after the parts before this one.
    pub expected: ExpectedVersion,
    /// What the writer believes is the id of the newest event, as plain SQL writers do; none leaves it unchecked.
    pub expected_previous_id: Option<EventId>,
    /// The events, from none upwards: a rejected or empty command appends nothing but its ledger row.
    pub events: Vec<NewEvent>,
    /// The ledger row; none for an import. Its payload MUST NOT be stored where it says `LedgerMode::Keys`.
    pub command: Option<CommandRecord>,
    /// The activation that decided; none for an import.
    pub fence: Option<Fence>,
}

/// Refuses an append that was decided by a module that is not active any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence(pub ActivationNumber);

/// A stream that no other writer appends to until this is dropped, or has appended; nor for more than a few seconds.
#[async_trait]
pub trait Claim: Debug + Send {
    /// As `EventStore::append`, on the stream that is claimed, which is free afterwards.
    ///
    /// # Errors
    ///
    /// As there; a claim that has lasted too long is [`AppendError::Unavailable`].
    async fn append(self: Box<Self>, append: Append) -> Result<Vec<Appended>, AppendError>;
}

/// What a part of an append has become.
#[derive(Debug, Clone, PartialEq)]
pub struct Appended {
    /// The newest version of the stream after this part.
    pub version: Version,
    /// The events as stored.
    pub events: Vec<RecordedEvent>,
}
