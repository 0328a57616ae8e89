//! `/v1/rehearsals`: what a module would change, before it is activated.

#[cfg(test)]
mod tests;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse as _, Response};
use gavel_api::{Rehearsal, RehearsalBody, RehearsalList};
use gavel_gate::RehearsalRequest;

use crate::error::Problem;
use crate::extract::{DeciderPath, JsonBody, KnownModules, Place, RehearsalPath, Sender};
use crate::state::AppState;

/// Begins a rehearsal
///
/// The gate without the activation, in the background: watch it at `Location`. With `mode` `shadow` the candidate decides the commands
/// that come from now on too, without any effect, until the rehearsal is cancelled.
#[utoipa::path(
    post, path = "/v1/deciders/{decider}/rehearsals", tag = "gate", request_body = RehearsalBody,
    responses(
        (status = 202, description = "Begun.", body = Rehearsal, headers(("Location" = String))),
        (status = 404, description = "`module-not-found`"),
        (status = 422, description = "`invalid-module`, with the `reasons`"),
    )
)]
pub(crate) async fn start_rehearsal(
    State(state): State<AppState>,
    DeciderPath { namespace, decider }: DeciderPath,
    Sender(origin): Sender,
    known: KnownModules,
    JsonBody(body): JsonBody<RehearsalBody>,
) -> Result<Response, Problem> {
    let digest = known.digest(&state, &body.digest, Place::pointer("/digest"));
    let request = RehearsalRequest {
        namespace,
        decider,
        digest: digest.await?,
        mode: body.mode.into(),
        accept: body.accept,
        requested_by: origin.actor,
    };
    let rehearsal = state.rehearsals.start(request).await?;
    let location = format!("/v1/rehearsals/{}", rehearsal.id);
    let body = Json(Rehearsal::from(&rehearsal));
    Ok((StatusCode::ACCEPTED, [(LOCATION, location)], body).into_response())
}

/// Lists rehearsals
///
/// The newest of a decider, newest first.
#[utoipa::path(
    get, path = "/v1/deciders/{decider}/rehearsals", tag = "gate",
    responses((status = 200, description = "The rehearsals; none when there was none.", body = RehearsalList))
)]
pub(crate) async fn list_rehearsals(
    State(state): State<AppState>,
    DeciderPath { namespace, decider }: DeciderPath,
) -> Result<Response, Problem> {
    let rehearsals = state.rehearsals.list(&namespace, &decider).await?;
    Ok(Json(RehearsalList {
        rehearsals: rehearsals.iter().map(Rehearsal::from).collect(),
    })
    .into_response())
}

/// Shows a rehearsal
///
/// How far it is, and what was found.
#[utoipa::path(
    get, path = "/v1/rehearsals/{id}", tag = "gate",
    responses(
        (status = 200, description = "The rehearsal.", body = Rehearsal),
        (status = 404, description = "`rehearsal-not-found`"),
    )
)]
pub(crate) async fn get_rehearsal(
    State(state): State<AppState>,
    RehearsalPath(namespace, id): RehearsalPath,
) -> Result<Response, Problem> {
    let rehearsal = state.rehearsals.get(&namespace, id).await?;
    Ok(Json(Rehearsal::from(&rehearsal)).into_response())
}

/// Cancels a rehearsal
///
/// Its report so far is kept. One that is over stays as it is.
#[utoipa::path(
    delete, path = "/v1/rehearsals/{id}", tag = "gate",
    responses(
        (status = 204, description = "It is over."),
        (status = 404, description = "`rehearsal-not-found`"),
    )
)]
pub(crate) async fn cancel_rehearsal(
    State(state): State<AppState>,
    RehearsalPath(namespace, id): RehearsalPath,
) -> Result<StatusCode, Problem> {
    state.rehearsals.cancel(&namespace, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
