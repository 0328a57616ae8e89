//! Health, metrics, and the description of the host.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use gavel_api::{Info, Limits, Status};

use crate::auth::Actor;
use crate::commands::batch::BATCH_LIMIT;
use crate::error::{Code, Problem};
use crate::openapi::OpenApiDocument;
use crate::state::AppState;

/// Tells whether the process is alive
#[utoipa::path(get, path = "/livez", tag = "operations", responses((status = 200, description = "It is.", body = Status)))]
pub(crate) async fn get_liveness() -> Json<Status> {
    Json(Status { status: "live" })
}

/// Tells whether requests should be sent here
///
/// The store answers and the active modules are compiled. A host that drains is not ready.
#[utoipa::path(
    get, path = "/readyz", tag = "operations",
    responses(
        (status = 200, description = "They should.", body = Status),
        (status = 503, description = "`starting`, `draining`, `store-unavailable`"),
    )
)]
pub(crate) async fn get_readiness(State(state): State<AppState>) -> Result<Json<Status>, Problem> {
    if state.drain.is_cancelled() {
        return Err(Problem::new(Code::Draining, "The host is shutting down."));
    }
    if !state.is_ready() {
        return Err(Problem::new(
            Code::Starting,
            "The active modules are being compiled.",
        ));
    }
    state.services.store.ping().await?;
    Ok(Json(Status { status: "ready" }))
}

/// Shows the metrics
///
/// In the text format of Prometheus. A token that is valid in some namespaces only does not allow
/// it.
#[utoipa::path(
    get, path = "/metrics", tag = "operations",
    responses((status = 200, description = "The metrics.", content_type = "text/plain", body = String))
)]
pub(crate) async fn get_metrics(
    State(state): State<AppState>,
    actor: Option<Extension<Actor>>,
) -> Result<impl IntoResponse, Problem> {
    if let Some(Extension(actor)) = actor {
        actor.admit_to_all()?;
    }
    Ok((
        [(CONTENT_TYPE, "text/plain; version=0.0.4")],
        state.metrics.render() + &state.services.consumers.metrics(),
    ))
}

/// Describes this API
///
/// OpenAPI 3.1.
#[utoipa::path(
    get, path = "/openapi.json", tag = "operations",
    responses((status = 200, description = "The document.", body = Object))
)]
pub(crate) async fn get_openapi(
    Extension(document): Extension<Arc<OpenApiDocument>>,
) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], document.text())
}

/// Describes this host
#[utoipa::path(get, path = "/v1/info", tag = "operations", responses((status = 200, description = "The host.", body = Info)))]
pub(crate) async fn get_info(State(state): State<AppState>) -> Json<Info> {
    let settings = &state.settings;
    Json(Info {
        name: "gavel",
        version: env!("CARGO_PKG_VERSION"),
        api_versions: ["v1"],
        authentication: !settings.tokens.is_empty(),
        limits: Limits {
            command_body_bytes: settings.command_body.bytes,
            module_body_bytes: settings.module_body.bytes,
            batch_commands: BATCH_LIMIT,
            page_size: 1000,
        },
    })
}
