//! Modules, and the log of activations.

use async_trait::async_trait;
use gavel_model::{Activation, ActivationNumber, DeciderName, ModuleDigest, Namespace};
use gavel_store::{
    ActivateError, DeleteModuleError, Error, Hold, ModuleFilter, ModuleStore, NewActivation,
    NewModule, Page, StoredModule,
};
use serde::Serialize;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::types::Json as SqlJson;

use super::PostgresStore;
use super::query::{Statement, run};
use super::rows::{self, activation_columns};

/// A module without its bytes.
const MODULE: &str = "SELECT digest, kind, name, size_bytes, manifest::TEXT AS manifest_text, imports, uploaded_at \
                      FROM modules WHERE digest = $1";

const ACTIVATE: &str = concat!(
    "SELECT ",
    activation_columns!(),
    " FROM gavel_activate($1, $2, $3, $4, $5, $6, $7, $8, $9::TEXT::JSON)"
);
const ACTIVE: &str = concat!(
    "SELECT ",
    activation_columns!(),
    " FROM activations WHERE namespace = $1 AND decider = $2 ORDER BY number DESC LIMIT 1"
);
const ACTIVATIONS: &str = concat!(
    "SELECT ",
    activation_columns!(),
    " FROM activations WHERE namespace = $1 AND decider = $2 AND number < $3 ORDER BY number DESC LIMIT $4"
);
const LIST_ACTIVE: &str = concat!(
    "SELECT DISTINCT ON (namespace, decider) ",
    activation_columns!(),
    " FROM activations WHERE ($1::TEXT IS NULL OR namespace = $1) AND ($2::TEXT IS NULL OR (namespace, decider) > ($2, $3)) \
     ORDER BY namespace, decider, number DESC LIMIT $4"
);

/// An event as `gavel_activate` takes it.
#[derive(Serialize)]
struct EventTypeInput<'a> {
    event: &'a str,
    event_version: u32,
    description: &'a str,
}

fn activation_of(row: &PgRow) -> Result<Activation, Error> {
    rows::activation(row).map_err(|reason| reason.of("activation"))
}

/// The statement that moves the pointer.
pub(super) fn moving(activation: &NewActivation) -> Statement<'_> {
    let events = activation.events.iter().map(|event| EventTypeInput {
        event: &event.event,
        event_version: event.schema_version,
        description: &event.description,
    });
    sqlx::query(ACTIVATE)
        .bind(activation.namespace.as_str())
        .bind(activation.decider.as_str())
        .bind(activation.after.get())
        .bind(activation.digest.to_string())
        .bind(SqlJson(events.collect::<Vec<_>>()))
        .bind(&activation.activated_by)
        .bind(&activation.message)
        .bind(&activation.accepted)
        .bind(activation.report.as_str())
}

/// What that statement gives.
pub(super) fn activated(found: &[PgRow]) -> Result<Activation, ActivateError> {
    let activated = found.first().map(activation_of).transpose();
    activated.map_err(ActivateError::Store)?.ok_or_else(|| {
        ActivateError::Store(Error::Corrupt {
            what: "activation",
            reason: "it was recorded and not given back".to_owned(),
        })
    })
}

#[async_trait]
impl ModuleStore for PostgresStore {
    async fn put_module(&self, module: NewModule) -> Result<(StoredModule, bool), Error> {
        let digest = module.digest;
        let size = i64::try_from(module.wasm.len()).unwrap_or(i64::MAX);
        let statement = sqlx::query(
            "INSERT INTO modules (digest, kind, name, size_bytes, manifest, imports, wasm) \
             VALUES ($1, $2, $3, $4, $5::TEXT::JSON, $6, $7) ON CONFLICT ON CONSTRAINT modules_pkey DO NOTHING RETURNING TRUE",
        )
        .bind(digest.to_string())
        .bind(module.kind)
        .bind(module.name)
        .bind(size)
        .bind(module.manifest.as_str().to_owned())
        .bind(module.imports)
        .bind(module.wasm);
        let is_new = !run(&self.pool, statement).await?.is_empty();
        let stored = self.module(digest).await?;
        let stored =
            stored.ok_or_else(|| Error::Unavailable("the module was deleted at once".into()))?;
        Ok((stored, is_new))
    }

    async fn module(&self, digest: ModuleDigest) -> Result<Option<StoredModule>, Error> {
        let found = self
            .read(|| sqlx::query(MODULE).bind(digest.to_string()))
            .await?;
        let module = found.first().map(rows::module).transpose();
        module.map_err(|reason| reason.of("module"))
    }

    async fn module_wasm(&self, digest: ModuleDigest) -> Result<Option<Vec<u8>>, Error> {
        let sql = "SELECT wasm FROM modules WHERE digest = $1";
        let found = self
            .read(|| sqlx::query(sql).bind(digest.to_string()))
            .await?;
        let wasm = found.first().map(|row| row.try_get("wasm")).transpose();
        wasm.map_err(|error| Error::Corrupt {
            what: "module",
            reason: error.to_string(),
        })
    }

    async fn list_modules(
        &self,
        filter: &ModuleFilter,
        after: Option<ModuleDigest>,
        limit: u32,
    ) -> Result<Page<StoredModule>, Error> {
        let sql = "SELECT digest, kind, name, size_bytes, manifest::TEXT AS manifest_text, imports, uploaded_at FROM modules AS m \
                   WHERE ($1::TEXT IS NULL OR name = $1) AND ($2::TEXT IS NULL OR kind = $2) AND ($3::TEXT IS NULL OR digest = $3) \
                     AND ($4::TEXT IS NULL \
                          OR EXISTS (SELECT FROM module_uploads AS u WHERE u.digest = m.digest AND u.uploaded_by = $4) \
                          OR EXISTS (SELECT FROM activations AS a WHERE a.digest = m.digest AND a.namespace = ANY ($5))) \
                     AND ($6::TEXT IS NULL OR EXISTS (SELECT FROM modules AS place WHERE place.digest = $6 \
                              AND (place.uploaded_at > m.uploaded_at OR place.uploaded_at = m.uploaded_at AND place.digest < m.digest))) \
                   ORDER BY uploaded_at DESC, digest LIMIT $7";
        let viewer = filter.viewer.as_ref();
        let namespaces: Vec<_> = viewer
            .iter()
            .flat_map(|viewer| &viewer.namespaces)
            .map(Namespace::as_str)
            .collect();
        let statement = |last: Option<&StoredModule>, rows| {
            let after = last.map(|last| last.digest).or(after);
            sqlx::query(sql)
                .bind(&filter.name)
                .bind(&filter.kind)
                .bind(filter.digest.map(|digest| digest.to_string()))
                .bind(viewer.map(|viewer| &viewer.name))
                .bind(&namespaces)
                .bind(after.map(|digest| digest.to_string()))
                .bind(rows)
        };
        let module = |row: &PgRow| rows::module(row).map_err(|reason| reason.of("module"));
        self.read_page(limit, statement, module, StoredModule::size_bytes)
            .await
    }

    async fn record_upload(&self, digest: ModuleDigest, uploaded_by: &str) -> Result<(), Error> {
        let statement = sqlx::query(
            "INSERT INTO module_uploads (digest, uploaded_by) SELECT digest, $2 FROM modules WHERE digest = $1 \
             ON CONFLICT ON CONSTRAINT module_uploads_pkey DO NOTHING",
        )
        .bind(digest.to_string())
        .bind(uploaded_by);
        run(&self.pool, statement).await?;
        Ok(())
    }

    async fn delete_module(&self, digest: ModuleDigest) -> Result<(), DeleteModuleError> {
        let statement = sqlx::query("DELETE FROM modules WHERE digest = $1 RETURNING TRUE")
            .bind(digest.to_string());
        if run(&self.pool, statement).await?.is_empty() {
            return Err(DeleteModuleError::NotFound);
        }
        Ok(())
    }

    async fn activate(&self, activation: NewActivation) -> Result<Activation, ActivateError> {
        let found = run(&self.pool, moving(&activation)).await?;
        activated(&found)
    }

    async fn hold<'s>(
        &'s self,
        namespace: &Namespace,
        decider: &DeciderName,
    ) -> Result<Box<dyn Hold + 's>, Error> {
        self.hold_decider(namespace, decider).await
    }

    async fn active(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
    ) -> Result<Option<Activation>, Error> {
        let statement = || {
            sqlx::query(ACTIVE)
                .bind(namespace.as_str())
                .bind(decider.as_str())
        };
        let found = self.read(statement).await?;
        found.first().map(activation_of).transpose()
    }

    async fn list_active(
        &self,
        namespace: Option<&Namespace>,
        after: Option<(&Namespace, &DeciderName)>,
        limit: u32,
    ) -> Result<Page<Activation>, Error> {
        let statement = |last: Option<&Activation>, rows| {
            let last = last.map(|last| (&last.namespace, &last.decider));
            let (after, decider) = last.or(after).unzip();
            sqlx::query(LIST_ACTIVE)
                .bind(namespace.map(|namespace| namespace.as_str().to_owned()))
                .bind(after.map(|namespace| namespace.as_str().to_owned()))
                .bind(decider.map(|decider| decider.as_str().to_owned()))
                .bind(rows)
        };
        self.read_page(limit, statement, activation_of, Activation::size_bytes)
            .await
    }

    async fn activations(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        before: Option<ActivationNumber>,
        limit: u32,
    ) -> Result<Page<Activation>, Error> {
        let statement = |last: Option<&Activation>, rows| {
            let before = last.map(|last| last.number).or(before);
            sqlx::query(ACTIVATIONS)
                .bind(namespace.as_str().to_owned())
                .bind(decider.as_str().to_owned())
                .bind(before.map_or(i64::MAX, ActivationNumber::get))
                .bind(rows)
        };
        self.read_page(limit, statement, activation_of, Activation::size_bytes)
            .await
    }
}
