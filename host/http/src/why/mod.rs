//! `…/why`: recorded decisions, made again.

pub(crate) mod verify;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use gavel_api::Why;

use crate::error::Problem;
use crate::extract::{CommandPath, EventPath};
use crate::state::AppState;

/// Explains an event
///
/// Shows the command that the event follows from, the state before the decision, and the same
/// decision made again by the very module that made it.
#[utoipa::path(
    get, path = "/v1/events/{event_id}/why", tag = "gate",
    responses(
        (status = 200, description = "Why it is there.", body = Why),
        (status = 404, description = "`event-not-found`, `module-not-found`"),
        (status = 409, description = "`module-outdated`: the module that decided was built for a former contract"),
        (status = 422, description = "`invalid-module`, with the `reasons`: this host cannot run the module any more"),
    )
)]
pub(crate) async fn explain_event(
    State(state): State<AppState>,
    EventPath(namespace, event_id): EventPath,
) -> Result<Response, Problem> {
    let why = state.services.gate.why_event(&namespace, event_id).await?;
    Ok(Json(Why::from(&why)).into_response())
}

/// Explains a decision
///
/// Shows the inputs and the outcome of the decision on a command, and the same decision made again
/// by the very module that made it. Works for commands that were rejected or had no effect, too.
#[utoipa::path(
    get, path = "/v1/commands/{command_id}/why", tag = "gate",
    responses(
        (status = 200, description = "Why it was decided so.", body = Why),
        (status = 404, description = "`command-not-found`, `module-not-found`"),
        (status = 409, description = "`module-outdated`: the module that decided was built for a former contract"),
        (status = 422, description = "`invalid-module`, with the `reasons`: this host cannot run the module any more"),
    )
)]
pub(crate) async fn explain_command(
    State(state): State<AppState>,
    CommandPath(namespace, command_id): CommandPath,
) -> Result<Response, Problem> {
    let why = state
        .services
        .gate
        .why_command(&namespace, command_id)
        .await?;
    Ok(Json(Why::from(&why)).into_response())
}
