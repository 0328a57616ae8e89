//! `/v1/modules`: immutable, named by their digest, the same in all namespaces. A token that holds
//! in some of them knows of those modules only that are or were active there, or that it has
//! uploaded.

pub(crate) mod uploads;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::response::{IntoResponse, Response};
use gavel_api::{Module, ModuleList, ModuleQuery, Text};
use gavel_model::ModuleKind;
use gavel_store::{ModuleFilter, StoredModule};

use crate::error::{Location, Problem};
use crate::extract::{DigestPath, KnownModules, Query, Sender, WasmBody, module_kind};
use crate::state::AppState;

/// Uploads a module
///
/// The module is compiled, linked and described before anything is stored. The same bytes are
/// stored once.
#[utoipa::path(
    post, path = "/v1/modules", tag = "modules",
    request_body(content = Vec<u8>, content_type = "application/wasm", description = "The component."),
    responses(
        (status = 200, description = "The same bytes are there already.", body = Module, headers(("Location" = String))),
        (status = 201, description = "Stored.", body = Module, headers(("Location" = String))),
        (status = 422, description = "`invalid-module`, with the `reasons`"),
    )
)]
pub(crate) async fn upload_module(
    State(state): State<AppState>,
    Sender(origin): Sender,
    WasmBody { wasm, turn }: WasmBody,
) -> Result<Response, Problem> {
    let uploaded_by = origin.actor.as_deref();
    let (stored, is_new) = state.services.modules.upload(wasm, uploaded_by).await?;
    drop(turn);
    let status = if is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let location = format!("/v1/modules/{}", stored.digest);
    Ok((status, [(LOCATION, location)], Json(to_module(&stored)?)).into_response())
}

/// Lists modules
///
/// The list starts with the newest module. A page ends early when its modules take up about 512
/// KiB; one module may be larger. A token of some namespaces sees only modules that are or were
/// active there, and modules that it has uploaded.
#[utoipa::path(
    get, path = "/v1/modules", tag = "modules", params(ModuleQuery),
    responses(
        (status = 200, description = "A page of modules.", body = ModuleList),
        (status = 404, description = "`module-not-found`: there is none with the digest `after`"),
    )
)]
pub(crate) async fn list_modules(
    State(state): State<AppState>,
    known: KnownModules,
    Query(query): Query<ModuleQuery>,
) -> Result<Json<ModuleList>, Problem> {
    let viewer = known.0.clone();
    let after = match query.after.filter(|after| !after.is_empty()) {
        Some(after) => Some(
            known
                .digest(&state, &after, Location::parameter("after"))
                .await?,
        ),
        None => None,
    };
    let wanted = |text: Option<Text>| text.map(Text::into_string).filter(|text| !text.is_empty());
    let filter = ModuleFilter {
        name: wanted(query.name),
        kind: kind(query.kind)?,
        viewer,
        ..ModuleFilter::default()
    };
    let page = state
        .services
        .modules
        .list(&filter, after, query.limit.get())
        .await?;
    let last = page.items.last().filter(|_| page.has_more);
    Ok(Json(ModuleList {
        next: last.map(|last| last.digest.to_string()),
        modules: page.items.iter().map(to_module).collect::<Result<_, _>>()?,
    }))
}

/// Shows a module
#[utoipa::path(
    get, path = "/v1/modules/{digest}", tag = "modules",
    responses(
        (status = 200, description = "The module.", body = Module),
        (status = 404, description = "`module-not-found`"),
    )
)]
pub(crate) async fn get_module(
    State(state): State<AppState>,
    DigestPath(digest): DigestPath,
) -> Result<Json<Module>, Problem> {
    Ok(Json(to_module(
        &state.services.modules.module(digest).await?,
    )?))
}

/// Downloads a module
#[utoipa::path(
    get, path = "/v1/modules/{digest}/wasm", tag = "modules",
    responses(
        (status = 200, description = "The component, byte for byte as it was uploaded.", content_type = "application/wasm", body = Vec<u8>),
        (status = 404, description = "`module-not-found`"),
    )
)]
pub(crate) async fn get_module_wasm(
    State(state): State<AppState>,
    DigestPath(digest): DigestPath,
) -> Result<impl IntoResponse, Problem> {
    let wasm = state.services.modules.wasm(digest).await?;
    Ok(([(CONTENT_TYPE, "application/wasm")], Bytes::from(wasm)))
}

/// Deletes a module
///
/// Only a module that was never active can be deleted.
#[utoipa::path(
    delete, path = "/v1/modules/{digest}", tag = "modules",
    responses(
        (status = 204, description = "Deleted."),
        (status = 404, description = "`module-not-found`"),
        (status = 409, description = "`module-in-use`"),
    )
)]
pub(crate) async fn delete_module(
    State(state): State<AppState>,
    DigestPath(digest): DigestPath,
) -> Result<StatusCode, Problem> {
    state.services.modules.delete(digest).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The kind that is wanted; all when none is named.
fn kind(name: Option<String>) -> Result<Option<ModuleKind>, Problem> {
    let name = name.filter(|name| !name.is_empty());
    let kind = name.map(|name| module_kind(&name, Location::parameter("kind")));
    kind.transpose()
}

fn to_module(stored: &StoredModule) -> Result<Module, Problem> {
    Module::new(stored).map_err(|reasons| {
        Problem::internal(format!("module {}: {}", stored.digest, reasons.join("; ")))
    })
}
