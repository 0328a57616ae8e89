//! Modules and the log of activations.

use sqlx::{SqliteConnection, SqlitePool};

use super::error::{failed, is_referred_to};
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
    clock: &dyn Clock,
    module: NewModule,
) -> Result<(StoredModule, bool), Error> {
    let mut tx = writer.begin().await.map_err(failed)?;
    let size_bytes = i64::try_from(module.wasm.len()).unwrap_or(i64::MAX);
    let inserted = sqlx::query(INSERT)
        .bind(module.digest.to_string())
        .bind(size_bytes)
        .bind(module.kind)
        .bind(module.name)
        .bind(module.manifest.as_str())
        .bind(rows::json_text(&module.imports))
        .bind(rows::milliseconds(clock.now()))
        .bind(module.wasm)
        .execute(tx.connection())
        .await
        .map_err(failed)?;
    let stored = sqlx::query(FIND)
        .bind(module.digest.to_string())
        .fetch_one(tx.connection())
        .await
        .map_err(failed)?;
    let stored = rows::module(&stored)?;
    tx.commit().await.map_err(failed)?;
    Ok((stored, inserted.rows_affected() > 0))
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
    let store = |error| DeleteModuleError::Store(failed(error));
    let mut tx = writer.begin().await.map_err(store)?;
    let deleted = sqlx::query("DELETE FROM modules WHERE digest = ?1")
        .bind(digest.to_string())
        .execute(tx.connection())
        .await;
    match deleted {
        Ok(deleted) if deleted.rows_affected() > 0 => tx.commit().await.map_err(store),
        Ok(_) => {
            tx.rollback().await;
            Err(DeleteModuleError::NotFound)
        }
        Err(error) if is_referred_to(&error) => {
            tx.rollback().await;
            Err(DeleteModuleError::InUse)
        }
        Err(error) => Err(store(error)),
    }
}

pub(super) async fn activate(
    writer: &Writer,
    clock: &dyn Clock,
    activation: NewActivation,
) -> Result<Activation, ActivateError> {
    let store = |error| ActivateError::Store(failed(error));
    let mut tx = writer.begin().await.map_err(store)?;
    match activate_in_tx(tx.connection(), clock, activation).await {
        Ok(activation) => {
            tx.commit().await.map_err(store)?;
            Ok(activation)
        }
        Err(refused) => {
            tx.rollback().await;
            Err(refused)
        }
    }
}

async fn activate_in_tx(
    tx: &mut SqliteConnection,
    clock: &dyn Clock,
    activation: NewActivation,
) -> Result<Activation, ActivateError> {
    let store = |error| ActivateError::Store(failed(error));
    let newest = sqlx::query(ACTIVATIONS)
        .bind(activation.namespace.as_str())
        .bind(activation.decider.as_str())
        .bind(1)
        .fetch_optional(&mut *tx)
        .await
        .map_err(store)?;
    let newest = newest.as_ref().map(rows::activation).transpose();
    let newest = newest.map_err(ActivateError::Store)?;
    let current = newest
        .as_ref()
        .map_or(ActivationNumber::NONE, |newest| newest.number);
    if current != activation.after {
        return Err(ActivateError::Moved { current });
    }
    let known: Option<i64> = sqlx::query_scalar("SELECT 1 FROM modules WHERE digest = ?1")
        .bind(activation.digest.to_string())
        .fetch_optional(&mut *tx)
        .await
        .map_err(store)?;
    if known.is_none() {
        return Err(ActivateError::ModuleNotFound);
    }
    for event in &activation.events {
        sqlx::query(REGISTER)
            .bind(activation.decider.as_str())
            .bind(event.event.as_str())
            .bind(event.schema_version)
            .bind(event.description.as_str())
            .execute(&mut *tx)
            .await
            .map_err(store)?;
    }
    let activation = activation.into_activation(newest.map(|newest| newest.digest), clock.now());
    sqlx::query(ACTIVATE)
        .bind(activation.namespace.as_str())
        .bind(activation.decider.as_str())
        .bind(activation.number.get())
        .bind(activation.digest.to_string())
        .bind(activation.replaces.map(|digest| digest.to_string()))
        .bind(rows::milliseconds(activation.activated_at))
        .bind(activation.activated_by.as_deref())
        .bind(activation.message.as_deref())
        .bind(rows::json_text(&activation.accepted))
        .bind(activation.report.as_str())
        .execute(tx)
        .await
        .map_err(store)?;
    Ok(activation)
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
