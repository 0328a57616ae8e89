//! `/v1/rehearsals`: what a module would change, before it is activated.

#[cfg(test)]
mod tests;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use gavel_api::Rehearsal;

use crate::error::Problem;
use crate::extract::RehearsalPath;
use crate::state::AppState;

/// Shows a rehearsal
///
/// The rehearsal with its progress, and its report so far.
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
    let rehearsal = state.services.rehearsals.get(&namespace, id).await?;
    Ok(Json(Rehearsal::from(&rehearsal)).into_response())
}

/// Cancels a rehearsal
///
/// The report so far is kept. A rehearsal that has ended stays as it is.
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
    state.services.rehearsals.cancel(&namespace, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
