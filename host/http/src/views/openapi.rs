//! The description of one view: its rows, with their types and the questions that it answers.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use gavel_model::ActivationKey;

use super::view_not_found;
use crate::error::Problem;
use crate::extract::ViewPath;
use crate::openapi::OpenApiDocument;
use crate::state::AppState;

/// Describes a view as a typed API
///
/// An OpenAPI 3.1 document, made from the schema of the active module's rows and from its indexes:
/// `x-indexes` of the list of rows has those, and each parameter says which others it needs.
#[utoipa::path(
    get, path = "/v1/views/{view}/openapi.json", tag = "views",
    responses(
        (status = 200, description = "The document.", body = Object),
        (status = 404, description = "`view-not-found`"),
        (status = 409, description = "`module-outdated`: the module must be built with the present SDK and deployed again"),
    )
)]
pub(crate) async fn get_view_openapi(
    State(state): State<AppState>,
    Extension(document): Extension<Arc<OpenApiDocument>>,
    ViewPath(view): ViewPath,
) -> Result<Response, Problem> {
    let key: ActivationKey = view.key();
    let newest = state.services.store.active(&key).await?;
    let digest = newest.and_then(|newest| newest.digest);
    let digest = digest.ok_or_else(|| view_not_found(&view))?;
    let module = state.services.modules.view(digest).await?;
    let status = state.services.views.status(&view).await?;
    // Where the host may make no table, there are no indexes.
    let table = status.and_then(|status| status.active);
    let table = table.filter(|table| table.digest == digest);
    let shape = table.map_or_else(|| module.shape().clone(), |table| table.shape);
    let typed = document.of_view(view.name(), &module.manifest().row_schema, &shape);
    Ok(Json(typed).into_response())
}
