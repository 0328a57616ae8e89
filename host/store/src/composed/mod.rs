//! A whole store on a backend that implements only the two traits of the core.
//!
//! A backend appends, reads streams and their ends, keeps the ledger ([`EventStore`]), and shows
//! its log ([`LogStore`]). Everything else that a store keeps is kept here in streams of the
//! store's own, whose names no client can name: journals of modules, names, rehearsals and
//! consumers. The past is read by streams, of which those of commands without events are such
//! streams too; snapshots, the tag index, and instances of processes are kept by the process alone.
//!
//! ```text
//! namespace of a decider    streams of clients   _names/<name>   _swaps/all
//!                           _eventless_<decider>/<id>
//! namespace of the store    _modules/catalog   _modules/<digest>   _rehearsals/all
//!                           _consumers/<namespace>/<name>
//! ```
//!
//! A new backend begins in this way. Journals keep all that they ever held: a capability that is
//! too expensive in them the backend takes over by implementing its trait itself.

mod catalog;
mod consumers;
mod hold;
mod journal;
mod log;
mod modules;
mod names;
mod past;
mod processes;
mod rehearsals;
mod snapshots;
mod tags;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use gavel_model::{
    Clock, CommandId, CommandRecord, DeciderName, Namespace, RecordedEvent, StreamId, Version,
};
use time::OffsetDateTime;

use self::catalog::Catalog;
use self::consumers::Served;
use self::journal::Journals;
use self::names::Name;
use self::processes::KeptRosters;
use self::rehearsals::RehearsalIndex;
use self::snapshots::Snapshots;
use self::tags::TagIndexes;
use crate::{
    Append, AppendError, Appended, Error, EventStore, HeartbeatStore, History, LogStore, Outdated,
    StreamHead, StreamRange, StreamSummary,
};

/// The two traits that a backend starts from.
///
/// Appends come to a backend without fences, and with events of every type: both are checked
/// before. Streams of the store's own are among those of an append.
pub trait Core: EventStore + LogStore + 'static {}

impl<T: EventStore + LogStore + 'static> Core for T {}

/// A store whose backend keeps the streams and the log, and nothing else.
#[derive(Debug)]
pub struct Composed<B: Core> {
    core: Arc<B>,
    clock: Arc<dyn Clock>,
    names: Journals<Name>,
    catalog: Journals<Catalog>,
    rehearsals: Journals<RehearsalIndex>,
    consumers: Journals<Served>,
    snapshots: Mutex<Snapshots>,
    tags: TagIndexes,
    processes: KeptRosters,
    ends: log::Ends,
}

impl<B: Core> Composed<B> {
    /// A store on a backend. Leases are given by `clock`; all other times are those of the backend.
    pub fn on(core: Arc<B>, clock: Arc<dyn Clock>) -> Self {
        Self {
            core,
            clock,
            names: Journals::default(),
            catalog: Journals::default(),
            rehearsals: Journals::default(),
            consumers: Journals::default(),
            snapshots: Mutex::default(),
            tags: TagIndexes::default(),
            processes: KeptRosters::default(),
            ends: log::Ends::default(),
        }
    }
}

/// One process has it for itself.
impl<B: Core> HeartbeatStore for Composed<B> {}

#[async_trait]
impl<B: Core> EventStore for Composed<B> {
    async fn append(&self, append: Append) -> Result<Vec<Appended>, AppendError> {
        self.append_checked(append).await
    }

    async fn close(&self) {
        self.core.close().await;
    }

    async fn head(&self, stream: &StreamId) -> Result<StreamHead, Error> {
        self.core.head(stream).await
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        range: StreamRange,
    ) -> Result<Vec<RecordedEvent>, Error> {
        self.core.read_stream(stream, range).await
    }

    async fn history(
        &self,
        stream: &StreamId,
        after: Version,
        through: Option<Version>,
        limit: u32,
    ) -> Result<History, Error> {
        self.core.history(stream, after, through, limit).await
    }

    async fn version_at(&self, stream: &StreamId, at: OffsetDateTime) -> Result<Version, Error> {
        self.core.version_at(stream, at).await
    }

    async fn list_streams(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<StreamSummary>, Error> {
        let listed = self.core.list_streams(namespace, decider, after, limit);
        listed.await
    }

    async fn command(
        &self,
        namespace: &Namespace,
        command_id: CommandId,
    ) -> Result<Option<CommandRecord>, Error> {
        self.core.command(namespace, command_id).await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.core.ping().await
    }

    async fn outdated(&self) -> Outdated {
        self.core.outdated().await
    }
}
