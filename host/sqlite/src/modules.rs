//! Modules and the log of activations.

use std::collections::BTreeSet;
use std::convert::identity;

use async_trait::async_trait;
use gavel_model::{
    Activation, ActivationKey, ActivationNumber, ModuleDigest, ModuleKind, Namespace,
};
use gavel_store::toolkit::writes::{Activate, CarryOut, DeleteModule, PutModule, RecordUpload};
use gavel_store::{
    ActivateError, ActivationFilter, ActivationSet, DeleteModuleError, Error, Hold, ModuleFilter,
    ModuleStore, NewActivation, NewModule, PAGE_BYTES, Page, Room, StoredModule, SwapCount,
};
use rusqlite::{Connection, Params, Row, params};
use time::OffsetDateTime;

use super::error::{SqliteError, is_referred_to};
use super::hold::{SqliteHold, activate};
use super::rows::{self, activation_columns, module_columns};
use super::tables::Tables;
use super::{SqliteStore, past};

const INSERT: &str = "
INSERT INTO modules (digest, size_bytes, kind, contract, name, manifest, imports, uploaded_at, wasm)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
ON CONFLICT (digest) DO NOTHING";

const FIND: &str = concat!(
    "SELECT ",
    module_columns!(),
    " FROM modules WHERE digest = ?1"
);

const LIST: &str = concat!(
    "SELECT ",
    module_columns!(),
    " FROM modules AS module
    WHERE name = coalesce(?1, name) AND kind = coalesce(?2, kind) AND digest = coalesce(?3, digest) AND (
        ?4 IS NULL
        OR EXISTS (SELECT 1 FROM module_uploads WHERE digest = module.digest AND uploaded_by = ?4)
        OR EXISTS (
            SELECT 1 FROM activations
            WHERE digest = module.digest AND namespace IN (SELECT value FROM json_each(?5))
        )
    ) AND (?6 IS NULL OR (uploaded_at, rowid) < (SELECT uploaded_at, rowid FROM modules WHERE digest = ?6))
    ORDER BY uploaded_at DESC, rowid DESC LIMIT ?7 + 1"
);

const RECORD_UPLOAD: &str = "
INSERT INTO module_uploads (digest, uploaded_by) SELECT digest, ?2 FROM modules WHERE digest = ?1
ON CONFLICT (digest, uploaded_by) DO NOTHING";

const DELETE: &str = "DELETE FROM modules WHERE digest = ?1";

const WASM: &str = "SELECT wasm FROM modules WHERE digest = ?1";

const ACTIVATE: &str = concat!(
    "INSERT INTO activations (",
    activation_columns!(),
    ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
);

/// Registers an event type; one that is registered keeps the description that it was first given.
const REGISTER: &str = "
INSERT INTO deciders (decider, event, event_version, description) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (decider, event, event_version) DO NOTHING";

pub(super) const NEWEST: &str = "
SELECT number, digest FROM activations
WHERE namespace = ?1 AND kind = ?2 AND name = ?3 ORDER BY number DESC LIMIT 1";

/// Finds another kind that owns the name, which has no activation of this kind. Events of a name
/// without any activation are a decider's.
const TAKEN: &str = "
SELECT kind FROM activations WHERE namespace = ?1 AND kind <> ?2 AND name = ?3
UNION ALL
SELECT 'decider' WHERE ?2 <> 'decider' AND EXISTS (SELECT 1 FROM events WHERE namespace = ?1 AND decider = ?3)
LIMIT 1";

const SWAPS: &str = "SELECT count(*) FROM activations WHERE namespace = ?1";

const ACTIVATIONS: &str = concat!(
    "SELECT ",
    activation_columns!(),
    " FROM activations WHERE namespace = ?1 AND kind = ?2 AND name = ?3 AND number < ?4 ORDER BY number DESC LIMIT ?5 + 1"
);

const LIST_ACTIVE: &str = concat!(
    "SELECT ",
    activation_columns!(),
    " FROM activations AS activation WHERE namespace = coalesce(?1, namespace) AND kind = coalesce(?2, kind) AND number = (
        SELECT max(number) FROM activations
        WHERE namespace = activation.namespace AND kind = activation.kind AND name = activation.name
    ) AND (?3 IS NULL OR (namespace, kind, name) > (?3, ?4, ?5))
    ORDER BY namespace, kind, name LIMIT ?6 + 1"
);

#[async_trait]
impl ModuleStore for SqliteStore {
    async fn put_module(&self, module: NewModule) -> Result<(StoredModule, bool), Error> {
        let written = self.writer.carry_out(PutModule { module });
        written.await.map_err(|error| error.into_error(identity))
    }

    async fn module(&self, digest: ModuleDigest) -> Result<Option<StoredModule>, Error> {
        let digest = digest.to_string();
        self.readers
            .read(move |database| rows::one(database, FIND, [digest], rows::module))
            .await
    }

    async fn module_wasm(&self, digest: ModuleDigest) -> Result<Option<Vec<u8>>, Error> {
        let digest = digest.to_string();
        self.readers
            .read(move |database| rows::one(database, WASM, [digest], |row| Ok(row.get(0)?)))
            .await
    }

    async fn list_modules(
        &self,
        filter: &ModuleFilter,
        after: Option<ModuleDigest>,
        limit: u32,
    ) -> Result<Page<StoredModule>, Error> {
        let viewer = filter.viewer.as_ref();
        let namespaces = viewer.map(|viewer| viewer.namespaces.iter().map(Namespace::as_str));
        let namespaces =
            namespaces.map(|namespaces| rows::json_text(&namespaces.collect::<Vec<_>>()));
        let viewer = viewer.map(|viewer| viewer.name.clone());
        let filter = filter.clone();
        let found = self.readers.read(move |database| {
            let [digest, after] =
                [filter.digest, after].map(|it| it.map(|digest| digest.to_string()));
            let values = params![
                filter.name,
                filter.kind.map(ModuleKind::as_str),
                digest,
                viewer,
                namespaces,
                after,
                limit
            ];
            page(
                database,
                LIST,
                values,
                rows::module,
                limit,
                StoredModule::size_bytes,
            )
        });
        found.await
    }

    async fn record_upload(&self, digest: ModuleDigest, uploaded_by: &str) -> Result<(), Error> {
        let uploaded_by = uploaded_by.to_owned();
        let change = RecordUpload {
            digest,
            uploaded_by,
        };
        let written = self.writer.carry_out(change);
        written.await.map_err(|error| error.into_error(identity))
    }

    async fn delete_module(&self, digest: ModuleDigest) -> Result<(), DeleteModuleError> {
        let written = self.writer.carry_out(DeleteModule { digest });
        written
            .await
            .map_err(|error| error.into_error(DeleteModuleError::Store))
    }

    async fn activate(&self, set: ActivationSet) -> Result<Vec<Activation>, ActivateError> {
        activate(&self.writer, set, None).await
    }

    async fn swaps(&self, namespace: &Namespace) -> Result<SwapCount, Error> {
        let namespace = namespace.clone();
        let counted = self
            .readers
            .read(move |database| swaps(database, &namespace));
        counted.await
    }

    async fn hold<'s>(
        &'s self,
        keys: &BTreeSet<ActivationKey>,
    ) -> Result<Box<dyn Hold + 's>, Error> {
        Ok(Box::new(SqliteHold {
            store: self,
            _held: self.holds.hold(keys).await?,
        }))
    }

    async fn active(&self, key: &ActivationKey) -> Result<Option<Activation>, Error> {
        let newest = self.activations(key, None, 1).await?;
        Ok(newest.items.into_iter().next())
    }

    async fn list_active(
        &self,
        filter: &ActivationFilter,
        after: Option<&ActivationKey>,
        limit: u32,
    ) -> Result<Page<Activation>, Error> {
        let (filter, after) = (filter.clone(), after.cloned());
        let found = self.readers.read(move |database| {
            let namespace = filter.namespace.as_ref().map(Namespace::as_str);
            let kind = filter.kind.map(ModuleKind::as_str);
            let [after, after_kind, after_name] = match &after {
                Some(after) => rows::key(after).map(Some),
                None => [None; 3],
            };
            let values = params![namespace, kind, after, after_kind, after_name, limit];
            activation_page(database, LIST_ACTIVE, values, limit)
        });
        found.await
    }

    async fn activations(
        &self,
        key: &ActivationKey,
        before: Option<ActivationNumber>,
        limit: u32,
    ) -> Result<Page<Activation>, Error> {
        let key = key.clone();
        let before = before.map_or(i64::MAX, ActivationNumber::get);
        let found = self.readers.read(move |database| {
            let [namespace, kind, name] = rows::key(&key);
            let values = params![namespace, kind, name, before, limit];
            activation_page(database, ACTIVATIONS, values, limit)
        });
        found.await
    }
}

impl CarryOut<PutModule> for Tables<'_> {
    fn carry_out(
        &mut self,
        PutModule { module }: PutModule,
        now: OffsetDateTime,
    ) -> Result<(StoredModule, bool), Error> {
        let digest = module.digest.to_string();
        let values = params![
            digest,
            i64::try_from(module.wasm.len()).unwrap_or(i64::MAX),
            module.kind.as_str(),
            module.contract,
            module.name,
            module.manifest.as_str(),
            rows::json_text(&module.imports),
            rows::milliseconds(now),
            module.wasm,
        ];
        let inserted = self.run(INSERT, values)?;
        let stored = rows::one(self.database, FIND, [digest], rows::module)?;
        let stored = stored.ok_or_else(|| Error::Corrupt {
            what: "module",
            reason: "it is not there after it was stored".to_owned(),
        })?;
        Ok((stored, inserted > 0))
    }
}

impl CarryOut<RecordUpload> for Tables<'_> {
    fn carry_out(&mut self, change: RecordUpload, _: OffsetDateTime) -> Result<(), Error> {
        self.run(
            RECORD_UPLOAD,
            [change.digest.to_string(), change.uploaded_by],
        )?;
        Ok(())
    }
}

impl CarryOut<DeleteModule> for Tables<'_> {
    fn carry_out(
        &mut self,
        change: DeleteModule,
        _: OffsetDateTime,
    ) -> Result<(), DeleteModuleError> {
        match self.database.execute(DELETE, [change.digest.to_string()]) {
            Ok(0) => Err(DeleteModuleError::NotFound),
            Ok(_) => Ok(()),
            Err(error) if is_referred_to(&error) => Err(DeleteModuleError::InUse),
            Err(error) => Err(DeleteModuleError::Store(SqliteError::from(error).into())),
        }
    }
}

impl CarryOut<Activate> for Tables<'_> {
    fn carry_out(
        &mut self,
        change: Activate,
        now: OffsetDateTime,
    ) -> Result<Vec<Activation>, ActivateError> {
        let tx = self.database;
        let unread = |error: SqliteError| ActivateError::Store(error.into());
        let (namespace, activations, after) = change.set.into_parts();
        if let Some(moment) = change.looked_through {
            for activation in &activations {
                let decider = activation.key.name().to_decider();
                let moved = past::moved_since(tx, &namespace, &decider, &moment, 1);
                if !moved.map_err(unread)?.is_empty() {
                    let key = activation.key.clone();
                    return Err(ActivateError::Overtaken { key });
                }
            }
        }
        let counted = swaps(tx, &namespace).map_err(unread)?;
        if after.is_some_and(|after| after != counted) {
            return Err(ActivateError::NamespaceMoved);
        }
        let mut activated = Vec::with_capacity(activations.len());
        for activation in activations {
            activated.push(activate_in_tx(tx, now, activation)?);
        }
        Ok(activated)
    }
}

/// Counts the entries of all activation logs of a namespace.
fn swaps(database: &Connection, namespace: &Namespace) -> Result<SwapCount, SqliteError> {
    let mut count = database.prepare_cached(SWAPS)?;
    let counted = count.query_row([namespace.as_str()], |row| row.get(0))?;
    Ok(SwapCount::new(counted))
}

fn activate_in_tx(
    tx: &Connection,
    now: OffsetDateTime,
    activation: NewActivation,
) -> Result<Activation, ActivateError> {
    let store = |error: rusqlite::Error| ActivateError::Store(SqliteError::from(error).into());
    let unread = |error: SqliteError| ActivateError::Store(error.into());
    let columns = rows::key(&activation.key);
    let newest = rows::one(tx, NEWEST, columns, rows::pointer).map_err(unread)?;
    let (current, replaces) = newest.unzip();
    let current = current.unwrap_or(ActivationNumber::NONE);
    let key = || activation.key.clone();
    if current != activation.after {
        let key = key();
        return Err(ActivateError::Moved { key, current });
    }
    if current == ActivationNumber::NONE
        && let Some(kind) = rows::one(tx, TAKEN, columns, rows::kind).map_err(unread)?
    {
        let key = key();
        return Err(ActivateError::NameTaken { key, kind });
    }
    if let Some(digest) = activation.digest {
        let mut known = tx
            .prepare("SELECT 1 FROM modules WHERE digest = ?1")
            .map_err(store)?;
        if !known.exists([digest.to_string()]).map_err(store)? {
            return Err(ActivateError::ModuleNotFound { digest });
        }
    }
    register_in_tx(tx, &activation).map_err(store)?;
    let activation = activation.into_activation(replaces.flatten(), now);
    let [namespace, kind, name] = rows::key(&activation.key);
    tx.execute(
        ACTIVATE,
        params![
            namespace,
            kind,
            name,
            activation.number.get(),
            activation.digest.map(|digest| digest.to_string()),
            activation.replaces.map(|digest| digest.to_string()),
            rows::milliseconds(activation.activated_at),
            activation.activated_by,
            activation.message,
            rows::json_text(&activation.accepted),
            activation.report.as_str(),
        ],
    )
    .map_err(store)?;
    Ok(activation)
}

fn register_in_tx(tx: &Connection, activation: &NewActivation) -> rusqlite::Result<()> {
    let mut register = tx.prepare(REGISTER)?;
    for event in &activation.events {
        register.execute(params![
            activation.key.name().as_str(),
            event.event.as_str(),
            event.schema_version,
            event.description.as_str(),
        ])?;
    }
    Ok(())
}

fn activation_page(
    database: &Connection,
    statement: &str,
    values: impl Params,
    limit: u32,
) -> Result<Page<Activation>, SqliteError> {
    let size_bytes = Activation::size_bytes;
    page(
        database,
        statement,
        values,
        rows::activation,
        limit,
        size_bytes,
    )
}

/// Reads as many rows of a statement as there is room for. The statement gives one more than
/// `limit`, which shows whether there is more.
fn page<T>(
    database: &Connection,
    statement: &str,
    values: impl Params,
    read: impl Fn(&Row<'_>) -> Result<T, SqliteError>,
    limit: u32,
    size_bytes: impl Fn(&T) -> usize,
) -> Result<Page<T>, SqliteError> {
    let mut room = Room::new(limit, PAGE_BYTES);
    let mut statement = database.prepare_cached(statement)?;
    let mut rows = statement.query(values)?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        let item = read(row)?;
        if !room.take_bytes(size_bytes(&item)) {
            break;
        }
        items.push(item);
    }
    Ok(Page {
        items,
        has_more: room.is_full(),
    })
}
