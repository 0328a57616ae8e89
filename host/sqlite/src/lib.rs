//! The embedded store: one SQLite file, the default.
//!
//! One connection writes, a few others read and never wait for it (WAL). An append is answered after its COMMIT has reached the disk
//! (`synchronous=FULL`). Several processes may open one file: each write transaction takes SQLite's write lock before its first look.
//! Each transaction and each read is run as a whole on one thread, for they are of several hundred statements or rows.
//! How values are held is in `migrations/README.md`.
//!
//! Whatever is written is a value (`toolkit::writes`), which `tables.rs` carries out. A function that runs in the caller's transaction ends in `_in_tx`.

mod append;
mod cells;
mod commit;
mod connect;
mod consumers;
mod error;
mod events;
mod facts;
mod files;
mod generations;
mod history;
mod ledger;
mod log;
mod migrations;
mod modules;
mod open;
mod past;
mod readers;
mod rehearsals;
mod rows;
mod snapshots;
mod tables;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use gavel_model::{Activation, ActivationKey, ActivationNumber, Clock, ModuleDigest};
use gavel_store::toolkit::group::Group;
use gavel_store::toolkit::hold::{Held, Holds};
use gavel_store::toolkit::lookup::Lookups;
use gavel_store::{
    ActivateError, ActivationFilter, DeleteModuleError, Error, Hold, ModuleFilter, ModuleStore,
    Moment, NewActivation, NewModule, Page, StoredModule,
};

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
impl ModuleStore for SqliteStore {
    async fn put_module(&self, module: NewModule) -> Result<(StoredModule, bool), Error> {
        modules::put(&self.writer, module).await
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
        modules::activate(&self.writer, activation, None).await
    }

    async fn hold<'s>(&'s self, key: &ActivationKey) -> Result<Box<dyn Hold + 's>, Error> {
        Ok(Box::new(SqliteHold {
            store: self,
            _held: self.holds.hold(key).await?,
        }))
    }

    async fn active(&self, key: &ActivationKey) -> Result<Option<Activation>, Error> {
        modules::active(&self.readers, key).await
    }

    async fn list_active(
        &self,
        filter: &ActivationFilter,
        after: Option<&ActivationKey>,
        limit: u32,
    ) -> Result<Page<Activation>, Error> {
        modules::list_active(&self.readers, filter, after, limit).await
    }

    async fn activations(
        &self,
        key: &ActivationKey,
        before: Option<ActivationNumber>,
        limit: u32,
    ) -> Result<Page<Activation>, Error> {
        modules::activations(&self.readers, key, before, limit).await
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
        let looked_through = Some(looked_through.clone());
        modules::activate(&self.store.writer, activation, looked_through).await
    }
}
