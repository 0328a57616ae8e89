//! `/v1/deciders`: deciders, with their active modules and the logs of their activations.

use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use gavel_api::{Active, Decider, DeciderHistory, DeciderList, DeciderListQuery, DeciderQuery};
use gavel_model::{ActivationKey, ActivationNumber, DeciderName, ModuleKind};
use gavel_store::ActivationFilter;

use crate::error::{Code, Location, Problem};
use crate::extract::{DeciderPath, NamespaceHeader, Query, decider_name};
use crate::openapi::OpenApiDocument;
use crate::state::AppState;

/// Lists deciders
///
/// All deciders that have or had an active module, by name.
#[utoipa::path(
    get, path = "/v1/deciders", tag = "deciders", params(DeciderListQuery),
    responses((status = 200, description = "A page of deciders.", body = DeciderList))
)]
pub(crate) async fn list_deciders(
    State(state): State<AppState>,
    NamespaceHeader(namespace): NamespaceHeader,
    Query(query): Query<DeciderListQuery>,
) -> Result<Response, Problem> {
    let after = query.after.filter(|after| !after.is_empty());
    let after = after.map(|after| decider_name(&after, || Location::parameter("after")));
    let after = after.transpose()?;
    let after = after.map(|after| ActivationKey::of_decider(&namespace, &after));
    let filter = ActivationFilter {
        namespace: Some(namespace),
        kind: Some(ModuleKind::Decider),
    };
    let limit = query.limit.get();
    let page = state
        .services
        .modules
        .list_active(&filter, after.as_ref(), limit);
    let page = page.await?;
    let last = page.items.last().filter(|_| page.has_more);
    Ok(Json(DeciderList {
        deciders: page.items.iter().map(Decider::from).collect(),
        next: last.map(|last| last.key.name().as_str()),
    })
    .into_response())
}

/// Shows a decider
///
/// The decider with its activations, newest first, in pages.
#[utoipa::path(
    get, path = "/v1/deciders/{decider}", tag = "deciders", params(DeciderQuery),
    responses(
        (status = 200, description = "The decider.", body = DeciderHistory),
        (status = 404, description = "`decider-not-found`"),
    )
)]
pub(crate) async fn get_decider(
    State(state): State<AppState>,
    DeciderPath { namespace, decider }: DeciderPath,
    Query(query): Query<DeciderQuery>,
) -> Result<Response, Problem> {
    let key = ActivationKey::of_decider(&namespace, &decider);
    let newest = state.services.store.active(&key).await?;
    let newest = newest.ok_or_else(|| decider_not_found(&decider))?;
    let contract = match newest.digest {
        Some(digest) => Some(state.services.modules.module(digest).await?.contract),
        None => None,
    };
    let after = query.after.map(ActivationNumber::new);
    let limit = query.limit.get();
    let page = state
        .services
        .modules
        .activations(&key, after, limit)
        .await?;
    let last = page.items.last().filter(|_| page.has_more);
    let rollback = state
        .services
        .gate
        .rollback_safety(&namespace, &decider)
        .await?;
    Ok(Json(DeciderHistory {
        decider: decider.as_str(),
        active: Active::in_force(&newest),
        contract,
        activations: page.items.iter().map(Into::into).collect(),
        next: last.map(|last| last.number.get()),
        rollback,
    })
    .into_response())
}

/// Describes a decider as a typed API
///
/// An OpenAPI 3.1 document, made from the schemas of the active module.
#[utoipa::path(
    get, path = "/v1/deciders/{decider}/openapi.json", tag = "deciders",
    responses(
        (status = 200, description = "The document.", body = Object),
        (status = 404, description = "`decider-not-found`"),
        (status = 409, description = "`module-outdated`: the module must be built with the present SDK and deployed again"),
    )
)]
pub(crate) async fn get_decider_openapi(
    State(state): State<AppState>,
    Extension(document): Extension<Arc<OpenApiDocument>>,
    DeciderPath { namespace, decider }: DeciderPath,
) -> Result<Response, Problem> {
    let active = state
        .services
        .modules
        .active(&namespace, &decider)
        .await?
        .ok_or_else(|| decider_not_found(&decider))?;
    let typed = document.of_decider(&decider, active.decider.manifest());
    Ok(Json(typed).into_response())
}

pub(crate) fn decider_not_found(decider: &DeciderName) -> Problem {
    let detail = format!("The decider `{decider}` has no active module in this namespace.");
    Problem::new(Code::DeciderNotFound, detail).with("decider", decider.as_str())
}
