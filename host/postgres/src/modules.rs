//! Modules, and the log of activations.

use std::collections::BTreeSet;

use async_trait::async_trait;
use gavel_model::{
    Activation, ActivationKey, ActivationNumber, ModuleDigest, ModuleKind, Namespace,
};
use gavel_store::{
    ActivateError, ActivationFilter, ActivationSet, DeleteModuleError, Error, Hold, ModuleFilter,
    ModuleStore, NewActivation, NewModule, Page, StoredModule, SwapCount,
};
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::PostgresStore;
use super::error::not_activated;
use super::query::{Statement, run};
use super::rows::{self, activation_columns, module_columns};

/// A module without its bytes.
const MODULE: &str = concat!(
    "SELECT ",
    module_columns!(),
    " FROM modules WHERE digest = $1"
);
const LIST: &str = concat!(
    "SELECT ",
    module_columns!(),
    " FROM modules AS m \
     WHERE ($1::TEXT IS NULL OR name = $1) AND ($2::TEXT IS NULL OR kind = $2) AND ($3::TEXT IS NULL OR digest = $3) \
       AND ($4::TEXT IS NULL \
            OR EXISTS (SELECT FROM module_uploads AS u WHERE u.digest = m.digest AND u.uploaded_by = $4) \
            OR EXISTS (SELECT FROM activations AS a WHERE a.digest = m.digest AND a.namespace = ANY ($5))) \
       AND ($6::TEXT IS NULL OR EXISTS (SELECT FROM modules AS place WHERE place.digest = $6 \
                AND (place.uploaded_at > m.uploaded_at OR place.uploaded_at = m.uploaded_at AND place.digest < m.digest))) \
     ORDER BY uploaded_at DESC, digest LIMIT $7"
);

const ACTIVATE: &str = concat!(
    "SELECT ",
    activation_columns!(),
    " FROM gavel_activate($1, $2, $3, $4::TEXT::JSON)"
);
const SWAPS: &str = "SELECT gavel_swaps($1) AS swaps";
const ACTIVE: &str = concat!(
    "SELECT ",
    activation_columns!(),
    " FROM activations WHERE namespace = $1 AND kind = $2 AND name = $3 ORDER BY number DESC LIMIT 1"
);
const ACTIVATIONS: &str = concat!(
    "SELECT ",
    activation_columns!(),
    " FROM activations WHERE namespace = $1 AND kind = $2 AND name = $3 AND number < $4 ORDER BY number DESC LIMIT $5"
);
const LIST_ACTIVE: &str = concat!(
    "SELECT DISTINCT ON (namespace, kind, name) ",
    activation_columns!(),
    " FROM activations WHERE ($1::TEXT IS NULL OR namespace = $1) AND ($2::TEXT IS NULL OR kind = $2) \
       AND ($3::TEXT IS NULL OR (namespace, kind, name) > ($3, $4, $5)) \
     ORDER BY namespace, kind, name, number DESC LIMIT $6"
);

/// An activation as `gavel_activate` takes it.
#[derive(Serialize)]
struct ActivationInput<'a> {
    kind: &'a str,
    name: &'a str,
    after: i64,
    digest: Option<String>,
    events: Vec<EventTypeInput<'a>>,
    activated_by: Option<&'a str>,
    message: Option<&'a str>,
    accepted: &'a [String],
    report: &'a RawValue,
}

/// An event of an activation.
#[derive(Serialize)]
struct EventTypeInput<'a> {
    event: &'a str,
    event_version: u32,
    description: &'a str,
}

fn activation_of(row: &PgRow) -> Result<Activation, Error> {
    rows::activation(row).map_err(|reason| reason.of("activation"))
}

/// The statement `sql`, whose next three values are a key.
pub(super) fn bind_key<'q>(statement: Statement<'q>, key: &ActivationKey) -> Statement<'q> {
    statement
        .bind(key.namespace().as_str().to_owned())
        .bind(key.kind().as_str())
        .bind(key.name().as_str().to_owned())
}

impl<'a> ActivationInput<'a> {
    fn of(activation: &'a NewActivation) -> Self {
        let events = activation.events.iter().map(|event| EventTypeInput {
            event: &event.event,
            event_version: event.schema_version,
            description: &event.description,
        });
        Self {
            kind: activation.key.kind().as_str(),
            name: activation.key.name().as_str(),
            after: activation.after.get(),
            digest: activation.digest.map(|digest| digest.to_string()),
            events: events.collect(),
            activated_by: activation.activated_by.as_deref(),
            message: activation.message.as_deref(),
            accepted: &activation.accepted,
            report: activation.report.as_raw(),
        }
    }
}

/// The statement that moves the pointers of a namespace, by a host that knows migrations up to
/// `known`.
pub(super) fn moving<'q>(
    known: i64,
    namespace: &Namespace,
    activations: &[NewActivation],
    after: Option<SwapCount>,
) -> Statement<'q> {
    let activations: Vec<_> = activations.iter().map(ActivationInput::of).collect();
    let activations = serde_json::to_string(&activations);
    sqlx::query(ACTIVATE)
        .bind(known)
        .bind(namespace.as_str().to_owned())
        .bind(after.map(SwapCount::get))
        .bind(activations.expect("activations have only text keys"))
}

/// The activations that the statement recorded.
pub(super) fn activated(found: &[PgRow]) -> Result<Vec<Activation>, ActivateError> {
    let activated = found.iter().map(activation_of).collect::<Result<_, _>>();
    activated.map_err(ActivateError::Store)
}

#[async_trait]
impl ModuleStore for PostgresStore {
    async fn put_module(&self, module: NewModule) -> Result<(StoredModule, bool), Error> {
        let digest = module.digest;
        let size = i64::try_from(module.wasm.len()).unwrap_or(i64::MAX);
        let statement = sqlx::query(
            "INSERT INTO modules (digest, kind, contract, name, size_bytes, manifest, imports, wasm) \
             VALUES ($1, $2, $3, $4, $5, $6::TEXT::JSON, $7, $8) ON CONFLICT ON CONSTRAINT modules_pkey DO NOTHING RETURNING TRUE",
        )
        .bind(digest.to_string())
        .bind(module.kind.as_str())
        .bind(module.contract)
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
        let viewer = filter.viewer.as_ref();
        let namespaces: Vec<_> = viewer
            .iter()
            .flat_map(|viewer| &viewer.namespaces)
            .map(Namespace::as_str)
            .collect();
        let statement = |last: Option<&StoredModule>, rows| {
            let after = last.map(|last| last.digest).or(after);
            sqlx::query(LIST)
                .bind(&filter.name)
                .bind(filter.kind.map(ModuleKind::as_str))
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

    async fn activate(&self, set: ActivationSet) -> Result<Vec<Activation>, ActivateError> {
        let (namespace, activations, after) = set.into_parts();
        let moving = moving(self.floor.known(), &namespace, &activations, after);
        let found = run(&self.pool, moving).await;
        activated(&found.map_err(|failure| not_activated(failure, &activations))?)
    }

    async fn swaps(&self, namespace: &Namespace) -> Result<SwapCount, Error> {
        let counting = || sqlx::query(SWAPS).bind(namespace.as_str().to_owned());
        let counted = self.read(counting).await?;
        let counted = counted.first().map(|row| row.try_get("swaps"));
        let counted = counted.transpose().map_err(|error| Error::Corrupt {
            what: "number of swaps",
            reason: error.to_string(),
        })?;
        Ok(SwapCount::new(counted.unwrap_or_default()))
    }

    async fn hold<'s>(
        &'s self,
        keys: &BTreeSet<ActivationKey>,
    ) -> Result<Box<dyn Hold + 's>, Error> {
        self.hold_keys(keys).await
    }

    async fn active(&self, key: &ActivationKey) -> Result<Option<Activation>, Error> {
        let found = self.read(|| bind_key(sqlx::query(ACTIVE), key)).await?;
        found.first().map(activation_of).transpose()
    }

    async fn list_active(
        &self,
        filter: &ActivationFilter,
        after: Option<&ActivationKey>,
        limit: u32,
    ) -> Result<Page<Activation>, Error> {
        let statement = |last: Option<&Activation>, rows| {
            let after = last.map(|last| &last.key).or(after);
            let namespace = filter.namespace.as_ref();
            sqlx::query(LIST_ACTIVE)
                .bind(namespace.map(|namespace| namespace.as_str().to_owned()))
                .bind(filter.kind.map(ModuleKind::as_str))
                .bind(after.map(|after| after.namespace().as_str().to_owned()))
                .bind(after.map(|after| after.kind().as_str()))
                .bind(after.map(|after| after.name().as_str().to_owned()))
                .bind(rows)
        };
        self.read_page(limit, statement, activation_of, Activation::size_bytes)
            .await
    }

    async fn activations(
        &self,
        key: &ActivationKey,
        before: Option<ActivationNumber>,
        limit: u32,
    ) -> Result<Page<Activation>, Error> {
        let statement = |last: Option<&Activation>, rows| {
            let before = last.map(|last| last.number).or(before);
            bind_key(sqlx::query(ACTIVATIONS), key)
                .bind(before.map_or(i64::MAX, ActivationNumber::get))
                .bind(rows)
        };
        self.read_page(limit, statement, activation_of, Activation::size_bytes)
            .await
    }
}
