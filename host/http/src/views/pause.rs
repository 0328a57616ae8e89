//! `POST /v1/views/{view}/pause` and `/resume`.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use gavel_api::View;
use gavel_model::ViewId;

use super::{shown, view_not_found};
use crate::error::Problem;
use crate::extract::ViewPath;
use crate::state::AppState;

/// Pauses a view
///
/// No event that comes later is folded into the rows that people read until the view is resumed.
/// Other hosts take note within seconds; a view that is paused stays so when hosts start again, or
/// its module changes. `Gavel-After` is answered with `view-behind` at once where the rows do not
/// show the position. Candidates are built all the same; but what is behind cannot be compared with
/// them, so that a module is activated only as a rollback.
#[utoipa::path(
    post, path = "/v1/views/{view}/pause", tag = "views",
    responses(
        (status = 200, description = "The view.", body = View),
        (status = 404, description = "`view-not-found`"),
    )
)]
pub(crate) async fn pause_view(
    State(state): State<AppState>,
    ViewPath(view): ViewPath,
) -> Result<Response, Problem> {
    state.services.views.pause(&view).await?;
    show(&state, &view).await
}

/// Resumes a view
///
/// The events that came meanwhile are folded.
#[utoipa::path(
    post, path = "/v1/views/{view}/resume", tag = "views",
    responses(
        (status = 200, description = "The view.", body = View),
        (status = 404, description = "`view-not-found`"),
    )
)]
pub(crate) async fn resume_view(
    State(state): State<AppState>,
    ViewPath(view): ViewPath,
) -> Result<Response, Problem> {
    state.services.views.resume(&view).await?;
    show(&state, &view).await
}

async fn show(state: &AppState, view: &ViewId) -> Result<Response, Problem> {
    let newest = state.services.store.active(&view.key()).await?;
    let newest = newest.ok_or_else(|| view_not_found(view))?;
    let status = state.services.views.status(view).await?;
    Ok(Json(shown(state, &newest, status.as_ref()).await?).into_response())
}
