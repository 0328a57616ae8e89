//! All routes, each with its guard and its description.

use std::sync::Arc;

use axum::Extension;
use axum::Router;
use axum::handler::Handler as _;
use axum::http::Uri;
use axum::middleware::from_fn_with_state;
use gavel_config::Scope;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::{Code, Problem};
use crate::guards::Conditions;
use crate::openapi::OpenApiDocument;
use crate::settings::ApiSettings;
use crate::state::AppState;
use crate::{
    activations, answer, commands, consumers, deciders, graph, log, modules, operations, output,
    rehearsals, streams, views, why,
};

/// Routes with the same conditions.
pub(super) struct RouteGroup {
    /// The conditions that requests to the routes have to fulfil.
    pub(super) conditions: Conditions,
    /// The routes, each with its description.
    pub(super) routes: OpenApiRouter<AppState>,
}

/// All routes. There is no other way in: a route is guarded and described, or it does not exist.
pub(super) fn groups() -> impl Iterator<Item = RouteGroup> {
    own_groups().into_iter().chain(description_groups())
}

/// The routes that need nothing but the state.
fn own_groups() -> [RouteGroup; 9] {
    let open = OpenApiRouter::default()
        .routes(routes!(operations::get_liveness))
        .routes(routes!(operations::get_readiness));
    let watch = OpenApiRouter::default().routes(routes!(operations::get_metrics));
    let read = OpenApiRouter::default()
        .routes(routes!(operations::get_info))
        .routes(routes!(modules::list_modules))
        .routes(routes!(modules::get_module))
        .routes(routes!(modules::get_module_wasm))
        .routes(routes!(deciders::list_deciders))
        .routes(routes!(deciders::get_decider))
        .routes(routes!(output::read_output))
        .routes(routes!(streams::list_streams))
        .routes(routes!(streams::get_stream))
        .routes(routes!(streams::list_stream_events))
        .routes(routes!(log::read_log))
        .routes(routes!(graph::get_graph))
        .routes(routes!(consumers::list_consumers))
        .routes(routes!(consumers::get_consumer))
        .routes(routes!(consumers::list_parked))
        .routes(routes!(views::list_views))
        .routes(routes!(views::get_view))
        .routes(routes!(views::list_rows))
        .routes(routes!(views::get_row))
        .routes(routes!(views::history::explain_row))
        .routes(routes!(output::read_view_output))
        .merge(activations::reading())
        .routes(routes!(rehearsals::get_rehearsal))
        .routes(routes!(why::explain_event))
        .routes(routes!(why::explain_command))
        .routes(routes!(why::verify::verify_decisions));
    let command = OpenApiRouter::default()
        .routes(routes!(commands::send_command))
        .routes(routes!(commands::batch::send_commands));
    let work = OpenApiRouter::default()
        .routes(routes!(consumers::acknowledge))
        .routes(routes!(consumers::report_failure))
        .routes(routes!(consumers::extend_lease));
    let manage = OpenApiRouter::default()
        .routes(routes!(consumers::put_consumer, consumers::delete_consumer))
        .routes(routes!(consumers::retry_parked))
        .routes(routes!(consumers::retry_all_parked))
        .routes(routes!(consumers::skip_parked))
        .routes(routes!(consumers::reset_consumer))
        .routes(routes!(consumers::pause_consumer))
        .routes(routes!(consumers::resume_consumer));
    let lease = OpenApiRouter::default().routes(routes!(consumers::lease_streams));
    let deploy = OpenApiRouter::default()
        .routes(routes!(modules::upload_module))
        .routes(routes!(modules::delete_module))
        .merge(activations::changing())
        .routes(routes!(views::retry_row))
        .routes(routes!(views::pause::pause_view))
        .routes(routes!(views::pause::resume_view))
        .routes(routes!(rehearsals::cancel_rehearsal));
    let append = OpenApiRouter::default().routes(routes!(streams::import::append_events));
    let groups = [
        (Conditions::default(), open),
        // Metrics matter most when nothing else is answered.
        (open_to(Scope::Read), watch),
        (admitted(Scope::Read), read),
        (admitted(Scope::Command), command),
        (admitted(Scope::Consume), work),
        (changing(Scope::Consume), manage),
        // Long polls have their own concurrency limit.
        (open_to(Scope::Consume), lease),
        (changing(Scope::Deploy), deploy),
        (admitted(Scope::Append), append),
    ];
    groups.map(|(conditions, routes)| RouteGroup { conditions, routes })
}

/// The routes that need the description of all routes.
fn description_groups() -> [RouteGroup; 2] {
    let whole = OpenApiRouter::default().routes(routes!(operations::get_openapi));
    let of_one = OpenApiRouter::default()
        .routes(routes!(deciders::get_decider_openapi))
        .routes(routes!(views::openapi::get_view_openapi));
    let groups = [
        (Conditions::default(), whole),
        (admitted(Scope::Read), of_one),
    ];
    groups.map(|(conditions, routes)| RouteGroup { conditions, routes })
}

fn open_to(scope: Scope) -> Conditions {
    Conditions {
        scope: Some(scope),
        ..Conditions::default()
    }
}

fn admitted(scope: Scope) -> Conditions {
    Conditions {
        is_admitted: true,
        ..open_to(scope)
    }
}

fn changing(scope: Scope) -> Conditions {
    Conditions {
        is_change: true,
        ..admitted(scope)
    }
}

/// The description of the whole API.
pub(super) fn describe(settings: &ApiSettings) -> OpenApiDocument {
    let described = groups().map(|group| (group.conditions.scope, group.routes.into_openapi()));
    OpenApiDocument::new(settings, described)
}

/// The whole API.
pub fn router(state: AppState) -> Router {
    let guarded = |group: RouteGroup| answered(group.routes.into(), &state, group.conditions);
    let document = Extension(Arc::new(describe(&state.settings)));
    let own = own_groups().into_iter().map(guarded);
    let descriptions = description_groups().into_iter().map(guarded);
    let descriptions = descriptions.map(|routes| routes.route_layer(document.clone()));
    let router = own.chain(descriptions).fold(Router::new(), Router::merge);
    let unguarded = (state.clone(), Conditions::default());
    let completed = from_fn_with_state(unguarded, answer::complete);
    router
        .fallback(not_found.layer(completed.clone()))
        .method_not_allowed_fallback(method_not_allowed.layer(completed))
        .with_state(state)
}

/// Checks the conditions of each request to `routes`, and makes every answer one of ours. In one
/// layer, since each layer of a router costs every request.
pub(super) fn answered<S: Clone + Send + Sync + 'static>(
    routes: Router<S>,
    state: &AppState,
    conditions: Conditions,
) -> Router<S> {
    let guarded = (state.clone(), conditions);
    routes.route_layer(from_fn_with_state(guarded, answer::complete))
}

async fn not_found(uri: Uri) -> Problem {
    Problem::new(
        Code::NotFound,
        format!("There is nothing at `{}`.", uri.path()),
    )
}

/// The header `Allow` is added to its answer by axum.
async fn method_not_allowed() -> Problem {
    Problem::new(
        Code::MethodNotAllowed,
        "`Allow` names the methods that the resource has.",
    )
}
