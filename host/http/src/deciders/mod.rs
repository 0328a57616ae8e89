//! `/v1/deciders`: what runs, and how to change it.

pub(crate) mod output;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse as _, Response};
use gavel_api::{
    Activation, ActivationBody, Decider, DeciderHistory, DeciderList, DeciderListQuery,
    DeciderQuery, RollbackBody, Text,
};
use gavel_gate::ActivationRequest;
use gavel_model::{self as model, ActivationNumber, DeciderName};

use crate::error::{Code, Problem};
use crate::extract::{
    DeciderPath, JsonBody, KnownModules, NamespaceHeader, OptionalJsonBody, Place, Query, Sender,
    decider_name,
};
use crate::state::AppState;

/// Lists deciders
///
/// Those that have an active module, by name.
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
    let after = after.map(|after| decider_name(after, Place::parameter("after")));
    let after = after.transpose()?;
    let limit = query.limit.get();
    let page = state.modules.list_active(&namespace, after.as_ref(), limit);
    let page = page.await?;
    let last = page.items.last().filter(|_| page.has_more);
    Ok(Json(DeciderList {
        deciders: page.items.iter().map(Decider::from).collect(),
        next: last.map(|last| last.decider.as_str()),
    })
    .into_response())
}

/// Shows a decider
///
/// With its activations, newest first, in pages.
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
    let newest = state.store.active(&namespace, &decider).await?;
    let newest = newest.ok_or_else(|| decider_not_found(&decider))?;
    let after = query.after.map(ActivationNumber::new);
    let limit = query.limit.get();
    let page = state
        .modules
        .activations(&namespace, &decider, after, limit);
    let page = page.await?;
    let last = page.items.last().filter(|_| page.has_more);
    let rollback = state.gate.rollback_safety(&namespace, &decider).await?;
    Ok(Json(DeciderHistory {
        decider: decider.as_str(),
        active: (&newest).into(),
        activations: page.items.iter().map(Into::into).collect(),
        next: last.map(|last| last.number.get()),
        rollback,
    })
    .into_response())
}

/// Activates a module
///
/// If the gate lets it pass. Once this has answered, no host decides another command of the decider with the former module.
#[utoipa::path(
    post, path = "/v1/deciders/{decider}/activations", tag = "deciders", request_body = ActivationBody,
    responses(
        (status = 201, description = "Active, with the report of the gate.", body = Activation, headers(("Location" = String))),
        (status = 404, description = "`module-not-found`"),
        (status = 409, description = "`activation-contended`"),
        (status = 422, description = "`gate-refused`, with the `report`; `invalid-module`. Nothing has changed."),
    )
)]
pub(crate) async fn activate_module(
    State(state): State<AppState>,
    DeciderPath { namespace, decider }: DeciderPath,
    Sender(origin): Sender,
    known: KnownModules,
    JsonBody(body): JsonBody<ActivationBody>,
) -> Result<Response, Problem> {
    let digest = known.digest(&state, &body.digest, Place::pointer("/digest"));
    let request = ActivationRequest {
        namespace,
        decider,
        digest: digest.await?,
        message: body.message.map(Text::into_string),
        accept: body.accept,
        activated_by: origin.actor,
    };
    Ok(activated(&state.gate.activate(request).await?))
}

/// Goes back
///
/// Activates the module that was active before, if the gate lets it pass.
#[utoipa::path(
    post, path = "/v1/deciders/{decider}/rollback", tag = "deciders", request_body(content = Option<RollbackBody>, description = "May be left out."),
    responses(
        (status = 201, description = "Active, with the report of the gate.", body = Activation, headers(("Location" = String))),
        (status = 404, description = "`decider-not-found`"),
        (status = 409, description = "`nothing-to-roll-back-to`, `activation-contended`"),
        (status = 422, description = "`gate-refused`, with the `report`; `invalid-module`. Nothing has changed."),
    )
)]
pub(crate) async fn roll_back(
    State(state): State<AppState>,
    DeciderPath { namespace, decider }: DeciderPath,
    Sender(origin): Sender,
    OptionalJsonBody(body): OptionalJsonBody<RollbackBody>,
) -> Result<Response, Problem> {
    let message = body.message.map(Text::into_string);
    Ok(activated(
        &state
            .gate
            .rollback(&namespace, &decider, message, origin.actor)
            .await?,
    ))
}

fn activated(activation: &model::Activation) -> Response {
    let location = format!("/v1/deciders/{}", activation.decider);
    (
        StatusCode::CREATED,
        [(LOCATION, location)],
        Json(Activation::from(activation)),
    )
        .into_response()
}

/// Describes a decider as a typed API
///
/// OpenAPI 3.1, made from the schemas of the active module.
#[utoipa::path(
    get, path = "/v1/deciders/{decider}/openapi.json", tag = "deciders",
    responses(
        (status = 200, description = "The document.", body = Object),
        (status = 404, description = "`decider-not-found`"),
    )
)]
pub(crate) async fn get_decider_openapi(
    State(state): State<AppState>,
    DeciderPath { namespace, decider }: DeciderPath,
) -> Result<Response, Problem> {
    let active = state
        .modules
        .active(&namespace, &decider)
        .await?
        .ok_or_else(|| decider_not_found(&decider))?;
    Ok(Json(
        state
            .openapi
            .of_decider(&decider, active.decider.manifest()),
    )
    .into_response())
}

pub(crate) fn decider_not_found(decider: &DeciderName) -> Problem {
    let detail = format!("The decider `{decider}` has no active module in this namespace.");
    Problem::new(Code::DeciderNotFound, detail).with("decider", decider.as_str())
}
