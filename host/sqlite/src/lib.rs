//! The embedded store: one SQLite file, the default.
//!
//! One connection writes, a few others read and never wait for it (WAL). An append is answered after its COMMIT has reached the disk
//! (`synchronous=FULL`). Several processes may open one file: each write transaction takes SQLite's write lock before its first look.
//! Both go through `rusqlite`, each transaction and each read as a whole on one thread, for they are of several hundred statements or rows.
//! `sqlx`, which is linked to the same SQLite, brings the schema up to date.
//! How values are held is in `migrations/README.md`.
//!
//! A function that runs in the caller's transaction ends in `_in_tx`.

mod append;
mod cells;
mod consumers;
mod error;
mod facts;
mod files;
mod generations;
mod log;
mod modules;
mod open;
mod past;
mod read;
mod readers;
mod rehearsals;
mod rows;
mod snapshots;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use gavel_model::{
    Activation, ActivationNumber, Clock, CommandId, CommandRecord, DeciderName, ModuleDigest,
    Namespace, Position, RecordedEvent, StreamId, Version,
};
use gavel_store::group::Group;
use gavel_store::hold::{Held, Holds};
use gavel_store::lookup::Lookups;
use gavel_store::{
    ActivateError, Append, AppendError, Appended, DeleteModuleError, Error, EventStore, History,
    Hold, Loaded, LogFilter, LogPage, LogStore, ModuleFilter, ModuleStore, Moment, NewActivation,
    NewModule, Page, ResumeError, Snapshot, SnapshotPlace, SnapshotStore, StoredModule, StreamHead,
    StreamRange, StreamSummary,
};
use time::OffsetDateTime;
use tokio::sync::watch;

use readers::Readers;
use writer::Writer;

/// Keeps everything in one SQLite file. See [`SqliteStore::open`].
#[derive(Debug)]
pub struct SqliteStore {
    clock: Arc<dyn Clock>,
    writer: Arc<Writer>,
    group: Group,
    readers: Readers,
    lookups: Lookups,
    holds: Holds,
}

#[async_trait]
impl EventStore for SqliteStore {
    async fn append(&self, append: Append) -> Result<Vec<Appended>, AppendError> {
        let _passed = self.holds.pass(append.streams()).await;
        self.group.append(append).await
    }

    async fn head(&self, stream: &StreamId) -> Result<StreamHead, Error> {
        read::head(&self.readers, stream).await
    }

    async fn read_stream(
        &self,
        stream: &StreamId,
        range: StreamRange,
    ) -> Result<Vec<RecordedEvent>, Error> {
        read::stream(&self.readers, stream, range).await
    }

    async fn history(
        &self,
        stream: &StreamId,
        after: Version,
        through: Option<Version>,
        limit: u32,
    ) -> Result<History, Error> {
        read::history(&self.readers, stream, after, through, limit).await
    }

    async fn version_at(&self, stream: &StreamId, at: OffsetDateTime) -> Result<Version, Error> {
        read::version_at(&self.readers, stream, at).await
    }

    async fn list_streams(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<StreamSummary>, Error> {
        read::streams(&self.readers, namespace, decider, after, limit).await
    }

    async fn command(
        &self,
        namespace: &Namespace,
        command_id: CommandId,
    ) -> Result<Option<CommandRecord>, Error> {
        self.lookups.find(namespace, command_id).await
    }

    async fn ping(&self) -> Result<(), Error> {
        read::ping(&self.readers).await?;
        self.writer.probe().await
    }

    /// Leaves the one file: the last connection that closes brings the log into it, and removes the log.
    async fn close(&self) {
        self.group.close().await;
        self.readers.close().await;
        self.writer.close().await;
    }
}

#[async_trait]
impl LogStore for SqliteStore {
    async fn read_log(
        &self,
        namespace: &Namespace,
        after: Position,
        filter: &LogFilter,
        limit: u32,
    ) -> Result<LogPage, Error> {
        log::page(&self.readers, namespace, after, filter, limit).await
    }

    async fn check_position(
        &self,
        namespace: &Namespace,
        position: Position,
    ) -> Result<(), ResumeError> {
        log::check_position(&self.readers, namespace, position).await
    }

    fn wakeups(&self) -> watch::Receiver<()> {
        self.group.commits()
    }
}

#[async_trait]
impl SnapshotStore for SqliteStore {
    async fn load(
        &self,
        stream: &StreamId,
        module: ModuleDigest,
        limit: u32,
    ) -> Result<Loaded, Error> {
        snapshots::load(&self.readers, stream, module, limit).await
    }

    async fn put_snapshots(&self, snapshots: Vec<Snapshot>) -> Result<(), Error> {
        snapshots::put(&self.writer, &*self.clock, snapshots).await
    }

    async fn forget_snapshots(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        kept: &[ModuleDigest],
        after: &SnapshotPlace,
        limit: u32,
    ) -> Result<Option<SnapshotPlace>, Error> {
        let file = (&self.readers, &*self.writer);
        snapshots::forget(file, namespace, decider, kept, after, limit).await
    }
}

#[async_trait]
impl ModuleStore for SqliteStore {
    async fn put_module(&self, module: NewModule) -> Result<(StoredModule, bool), Error> {
        modules::put(&self.writer, &self.clock, module).await
    }

    async fn module(&self, digest: ModuleDigest) -> Result<Option<StoredModule>, Error> {
        modules::find(&self.readers, digest).await
    }

    async fn module_wasm(&self, digest: ModuleDigest) -> Result<Option<Vec<u8>>, Error> {
        modules::wasm(&self.readers, digest).await
    }

    async fn list_modules(
        &self,
        filter: &ModuleFilter,
        after: Option<ModuleDigest>,
        limit: u32,
    ) -> Result<Page<StoredModule>, Error> {
        modules::list(&self.readers, filter, after, limit).await
    }

    async fn record_upload(&self, digest: ModuleDigest, uploaded_by: &str) -> Result<(), Error> {
        modules::record_upload(&self.writer, digest, uploaded_by).await
    }

    async fn delete_module(&self, digest: ModuleDigest) -> Result<(), DeleteModuleError> {
        modules::delete(&self.writer, digest).await
    }

    async fn activate(&self, activation: NewActivation) -> Result<Activation, ActivateError> {
        modules::activate(&self.writer, &self.clock, activation, None).await
    }

    async fn hold<'s>(
        &'s self,
        namespace: &Namespace,
        decider: &DeciderName,
    ) -> Result<Box<dyn Hold + 's>, Error> {
        Ok(Box::new(SqliteHold {
            store: self,
            _held: self.holds.hold(namespace, decider).await?,
        }))
    }

    async fn active(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
    ) -> Result<Option<Activation>, Error> {
        modules::active(&self.readers, namespace, decider).await
    }

    async fn list_active(
        &self,
        namespace: Option<&Namespace>,
        after: Option<(&Namespace, &DeciderName)>,
        limit: u32,
    ) -> Result<Page<Activation>, Error> {
        modules::list_active(&self.readers, namespace, after, limit).await
    }

    async fn activations(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        before: Option<ActivationNumber>,
        limit: u32,
    ) -> Result<Page<Activation>, Error> {
        modules::activations(&self.readers, namespace, decider, before, limit).await
    }
}

/// A decider is held in this process. Another one that has the file open is not kept waiting: what it appends is noticed.
#[derive(Debug)]
struct SqliteHold<'s> {
    store: &'s SqliteStore,
    _held: Held,
}

#[async_trait]
impl Hold for SqliteHold<'_> {
    async fn activate(
        self: Box<Self>,
        activation: NewActivation,
        looked_through: &Moment,
    ) -> Result<Activation, ActivateError> {
        let SqliteStore { writer, clock, .. } = self.store;
        modules::activate(writer, clock, activation, Some(looked_through.clone())).await
    }
}
