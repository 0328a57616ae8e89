//! Modules and the log of activations.

use std::convert::identity;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};
use sqlx::SqlitePool;

use super::error::{failed, is_referred_to, write_failed};
use super::rows::{self, activation_columns, module_columns};
use super::writer::Writer;
use crate::core::{Activation, ActivationNumber, Clock, DeciderName, ModuleDigest, Namespace};
use crate::store::{
    ActivateError, DeleteModuleError, Error, ModuleFilter, NewActivation, NewModule, StoredModule,
};

const INSERT: &str = "
INSERT INTO modules (digest, size_bytes, kind, name, manifest, imports, uploaded_at, wasm)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (digest) DO NOTHING";

const FIND: &str = concat!(
    "SELECT ",
    module_columns!(),
    " FROM modules WHERE digest = ?1"
);

const LIST: &str = concat!(
    "SELECT ",
    module_columns!(),
    " FROM modules WHERE name = coalesce(?1, name) AND kind = coalesce(?2, kind)
    ORDER BY uploaded_at DESC, rowid DESC"
);

const ACTIVATE: &str = concat!(
    "INSERT INTO activations (",
    activation_columns!(),
    ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
);

/// What is registered stays as it is, with the words that first described it.
const REGISTER: &str = "
INSERT INTO deciders (decider, event, event_version, description) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (decider, event, event_version) DO NOTHING";

const NEWEST: &str = "
SELECT number, digest FROM activations
WHERE namespace = ?1 AND decider = ?2 ORDER BY number DESC LIMIT 1";

const ACTIVATIONS: &str = concat!(
    "SELECT ",
    activation_columns!(),
    " FROM activations WHERE namespace = ?1 AND decider = ?2 ORDER BY number DESC LIMIT ?3"
);

const LIST_ACTIVE: &str = concat!(
    "SELECT ",
    activation_columns!(),
    " FROM activations AS activation WHERE namespace = coalesce(?1, namespace) AND number = (
        SELECT max(number) FROM activations
        WHERE namespace = activation.namespace AND decider = activation.decider
    ) ORDER BY namespace, decider"
);

pub(super) async fn put(
    writer: &Writer,
    clock: &Arc<dyn Clock>,
    module: NewModule,
) -> Result<(StoredModule, bool), Error> {
    let clock = Arc::clone(clock);
    let written = writer.write(move |tx| put_in_tx(tx, &*clock, &module).map_err(write_failed));
    written.await.map_err(|error| error.into_error(identity))
}

fn put_in_tx(
    tx: &Connection,
    clock: &dyn Clock,
    module: &NewModule,
) -> rusqlite::Result<(StoredModule, bool)> {
    let digest = module.digest.to_string();
    let inserted = tx.execute(
        INSERT,
        params![
            digest,
            i64::try_from(module.wasm.len()).unwrap_or(i64::MAX),
            module.kind,
            module.name,
            module.manifest.as_str(),
            rows::json_text(&module.imports),
            rows::milliseconds(clock.now()),
            module.wasm,
        ],
    )?;
    let stored = tx.query_row(FIND, [digest], rows::written_module)?;
    Ok((stored, inserted > 0))
}

pub(super) async fn find(
    readers: &SqlitePool,
    digest: ModuleDigest,
) -> Result<Option<StoredModule>, Error> {
    let found = sqlx::query(FIND)
        .bind(digest.to_string())
        .fetch_optional(readers)
        .await
        .map_err(failed)?;
    found.as_ref().map(rows::module).transpose()
}

pub(super) async fn wasm(
    readers: &SqlitePool,
    digest: ModuleDigest,
) -> Result<Option<Vec<u8>>, Error> {
    sqlx::query_scalar("SELECT wasm FROM modules WHERE digest = ?1")
        .bind(digest.to_string())
        .fetch_optional(readers)
        .await
        .map_err(failed)
}

pub(super) async fn list(
    readers: &SqlitePool,
    filter: &ModuleFilter,
) -> Result<Vec<StoredModule>, Error> {
    let found = sqlx::query(LIST)
        .bind(filter.name.as_deref())
        .bind(filter.kind.as_deref())
        .fetch_all(readers)
        .await
        .map_err(failed)?;
    found.iter().map(rows::module).collect()
}

pub(super) async fn delete(writer: &Writer, digest: ModuleDigest) -> Result<(), DeleteModuleError> {
    let written = writer.write(move |tx| {
        match tx.execute(
            "DELETE FROM modules WHERE digest = ?1",
            [digest.to_string()],
        ) {
            Ok(0) => Err(DeleteModuleError::NotFound),
            Ok(_) => Ok(()),
            Err(error) if is_referred_to(&error) => Err(DeleteModuleError::InUse),
            Err(error) => Err(DeleteModuleError::Store(write_failed(error))),
        }
    });
    written
        .await
        .map_err(|error| error.into_error(DeleteModuleError::Store))
}

pub(super) async fn activate(
    writer: &Writer,
    clock: &Arc<dyn Clock>,
    activation: NewActivation,
) -> Result<Activation, ActivateError> {
    let clock = Arc::clone(clock);
    let written = writer.write(move |tx| activate_in_tx(tx, &*clock, activation));
    written
        .await
        .map_err(|error| error.into_error(ActivateError::Store))
}

fn activate_in_tx(
    tx: &Connection,
    clock: &dyn Clock,
    activation: NewActivation,
) -> Result<Activation, ActivateError> {
    let store = |error| ActivateError::Store(write_failed(error));
    let decider = [activation.namespace.as_str(), activation.decider.as_str()];
    let newest = tx
        .query_row(NEWEST, decider, rows::written_activation)
        .optional()
        .map_err(store)?;
    let (current, replaces) = newest.unzip();
    let current = current.unwrap_or(ActivationNumber::NONE);
    if current != activation.after {
        return Err(ActivateError::Moved { current });
    }
    let mut known = tx
        .prepare("SELECT 1 FROM modules WHERE digest = ?1")
        .map_err(store)?;
    if !known
        .exists([activation.digest.to_string()])
        .map_err(store)?
    {
        return Err(ActivateError::ModuleNotFound);
    }
    register_in_tx(tx, &activation).map_err(store)?;
    let activation = activation.into_activation(replaces, clock.now());
    tx.execute(
        ACTIVATE,
        params![
            activation.namespace.as_str(),
            activation.decider.as_str(),
            activation.number.get(),
            activation.digest.to_string(),
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
            activation.decider.as_str(),
            event.event.as_str(),
            event.schema_version,
            event.description.as_str(),
        ])?;
    }
    Ok(())
}

pub(super) async fn active(
    readers: &SqlitePool,
    namespace: &Namespace,
    decider: &DeciderName,
) -> Result<Option<Activation>, Error> {
    let newest = newest_first(readers, namespace, decider, 1).await?;
    Ok(newest.into_iter().next())
}

pub(super) async fn activations(
    readers: &SqlitePool,
    namespace: &Namespace,
    decider: &DeciderName,
) -> Result<Vec<Activation>, Error> {
    newest_first(readers, namespace, decider, u32::MAX).await
}

async fn newest_first(
    readers: &SqlitePool,
    namespace: &Namespace,
    decider: &DeciderName,
    limit: u32,
) -> Result<Vec<Activation>, Error> {
    let found = sqlx::query(ACTIVATIONS)
        .bind(namespace.as_str())
        .bind(decider.as_str())
        .bind(limit)
        .fetch_all(readers)
        .await
        .map_err(failed)?;
    found.iter().map(rows::activation).collect()
}

pub(super) async fn list_active(
    readers: &SqlitePool,
    namespace: Option<&Namespace>,
) -> Result<Vec<Activation>, Error> {
    let found = sqlx::query(LIST_ACTIVE)
        .bind(namespace.map(Namespace::as_str))
        .fetch_all(readers)
        .await
        .map_err(failed)?;
    found.iter().map(rows::activation).collect()
}
