//! `/v1/graph`: who writes, who sends and who reads.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use gavel_api::{Graph, GraphQuery};
use gavel_engine::catalog::GraphPlace;

use crate::error::{Location, Problem, malformed};
use crate::extract::{NamespaceHeader, Query};
use crate::state::AppState;

/// Shows the graph
///
/// The active modules of all kinds with the events that they write and read and the commands that
/// they send, as their manifests say, and the consumers with their filters. A page ends early when
/// it takes up about 512 KiB; one module may be larger.
#[utoipa::path(
    get, path = "/v1/graph", tag = "deciders", params(GraphQuery),
    responses((status = 200, description = "A page of the graph.", body = Graph))
)]
pub(crate) async fn get_graph(
    State(state): State<AppState>,
    NamespaceHeader(namespace): NamespaceHeader,
    Query(query): Query<GraphQuery>,
) -> Result<Response, Problem> {
    let after = query.after.filter(|after| !after.is_empty());
    let after = after.map(|after| {
        let place = GraphPlace::parse(&namespace, &after);
        place.map_err(|error| malformed(Location::parameter("after"), error.to_string()))
    });
    let after = after.transpose()?;
    let page = state
        .services
        .modules
        .graph(&namespace, after.as_ref(), query.limit.get());
    Ok(Json(Graph::from(&page.await?)).into_response())
}
