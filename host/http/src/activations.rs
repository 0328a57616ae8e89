//! `/v1/{deciders, …}/{name}/activations` and its neighbours: the module that works under a name.
//! The routes are the same for each kind of module that this host runs; `{kind}` and `{kinds}` in
//! their descriptions stand for its name. `/v1/activations` is for modules that change together.

use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse as _, Response};
use gavel_api::{
    AcceptedName, Activation, ActivationBody, ActivationSet, ActivationSetBody, DeactivationBody,
    Rehearsal, RehearsalBody, RehearsalList, RollbackBody, Text,
};
use gavel_gate as gate;
use gavel_gate::{ActivationRequest, RehearsalRequest, Rehearsed, ThenActivate, check_together};
use gavel_model as model;
use gavel_model::{ActivationKey, ModuleKind};
use gavel_sandbox::kinds;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::{Location, Problem, malformed, not_activated_together};
use crate::extract::{
    JsonBody, KeyPath, KnownModules, NamespaceHeader, OptionalJsonBody, Sender, module_kind,
};
use crate::guards::audit::Changed;
use crate::state::AppState;

/// The routes of all kinds that only read.
pub(super) fn reading() -> OpenApiRouter<AppState> {
    of_all_kinds(|| OpenApiRouter::default().routes(routes!(list_rehearsals)))
}

/// The routes of all kinds that change which module works.
pub(super) fn changing() -> OpenApiRouter<AppState> {
    let of_one = of_all_kinds(|| {
        OpenApiRouter::default()
            .routes(routes!(activate_module))
            .routes(routes!(deactivate_module))
            .routes(routes!(roll_back))
            .routes(routes!(start_rehearsal))
    });
    of_one.routes(routes!(activate_modules))
}

fn of_all_kinds(routes: fn() -> OpenApiRouter<AppState>) -> OpenApiRouter<AppState> {
    kinds().fold(OpenApiRouter::default(), |all, kind| {
        let path = format!("/v1/{}/{{{kind}}}", kind.plural());
        all.nest(&path, of_kind(kind, routes()))
    })
}

fn of_kind(kind: ModuleKind, mut routes: OpenApiRouter<AppState>) -> OpenApiRouter<AppState> {
    let named = |text: &str| {
        text.replace("{kinds}", kind.plural())
            .replace("{kind}", kind.as_str())
    };
    for item in routes.get_openapi_mut().paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
            operation.operation_id = operation.operation_id.as_deref().map(named);
            let tags = operation.tags.iter_mut().flatten();
            tags.for_each(|tag| *tag = named(tag));
        }
    }
    routes.layer(Extension(kind))
}

/// Activates a module
///
/// The module becomes active if the gate accepts it. Once this has answered, no host decides
/// another command of the decider with the module before.
#[utoipa::path(
    post, path = "/activations", operation_id = "activate_{kind}", tag = "{kinds}", request_body = ActivationBody,
    responses(
        (status = 201, description = "Active, with the report of the gate.", body = Activation, headers(("Location" = String))),
        (status = 202, description = "A view whose rows have to be built first: the rehearsal at `Location` builds them, and activates the module at its end.", body = Rehearsal, headers(("Location" = String))),
        (status = 404, description = "`module-not-found`"),
        (status = 409, description = "`activation-contended`; `name-taken` when the name has events or activations of another kind; `module-outdated`; `view-paused` when the view is, and its rows are behind"),
        (status = 422, description = "`gate-refused`, with the `report`; `invalid-module`. Nothing has changed."),
    )
)]
async fn activate_module(
    State(state): State<AppState>,
    KeyPath(key): KeyPath,
    Sender(origin): Sender,
    known: KnownModules,
    JsonBody(body): JsonBody<ActivationBody>,
) -> Result<Response, Problem> {
    let digest = known.digest(&state, &body.digest, Location::pointer("/digest"));
    let request = ActivationRequest {
        key,
        digest: digest.await?,
        message: body.message.map(Text::into_string),
        accept: AcceptedName::into_names(body.accept),
        activated_by: origin.actor,
    };
    let services = &state.services;
    if services
        .gate
        .has_to_build(&request.key, request.digest)
        .await?
    {
        let rehearsal = services.rehearsals.start(RehearsalRequest {
            key: request.key,
            digest: request.digest,
            mode: Rehearsed::History,
            accept: request.accept,
            requested_by: request.activated_by,
            then: Some(ThenActivate {
                message: request.message,
            }),
        });
        return Ok(begun(&rehearsal.await?));
    }
    Ok(recorded(&services.gate.activate(request).await?))
}

/// Activates modules together
///
/// All modules become active at the same moment if the gate accepts each of them, and none if it
/// refuses one. Once this has answered, no host decides another command of one of the deciders with
/// the module before. At most 16 modules, of one namespace, are activated together. Where the rows
/// of a view have to be built first, the answer waits for that: a rehearsal builds them before.
#[utoipa::path(
    post, path = "/v1/activations", tag = "modules", request_body = ActivationSetBody,
    responses(
        (status = 201, description = "Active, each with the report of the gate, in the order of the request.", body = ActivationSet),
        (status = 404, description = "`module-not-found`"),
        (status = 409, description = "`activation-contended`; `name-taken` when a name has events or activations of another kind; `module-outdated`"),
        (status = 422, description = "`gate-refused`, with the `reports` about all modules, in the order of the request; `invalid-module`. Nothing has changed."),
    )
)]
async fn activate_modules(
    State(state): State<AppState>,
    NamespaceHeader(namespace): NamespaceHeader,
    Sender(origin): Sender,
    known: KnownModules,
    JsonBody(body): JsonBody<ActivationSetBody>,
) -> Result<Response, Problem> {
    let place = |number, member| Location::pointer(format!("/activations/{number}/{member}"));
    let mut keys = Vec::with_capacity(body.activations.len());
    for (number, wanted) in body.activations.iter().enumerate() {
        let kind = module_kind(&wanted.kind, place(number, "kind"))?;
        let key = ActivationKey::new(namespace.clone(), kind, wanted.name.as_str());
        keys.push(key.map_err(|error| malformed(place(number, "name"), error.to_string()))?);
    }
    // Before the modules are looked up, one by one.
    check_together(keys.iter())?;
    let message = body.message.map(Text::into_string);
    let accept = AcceptedName::into_names(body.accept);
    let mut requests = Vec::with_capacity(keys.len());
    for ((number, wanted), key) in body.activations.iter().enumerate().zip(keys) {
        let digest = known.digest(&state, &wanted.digest, place(number, "digest"));
        requests.push(ActivationRequest {
            key,
            digest: digest.await?,
            message: message.clone(),
            accept: accept.clone(),
            activated_by: origin.actor.clone(),
        });
    }
    let activated = state.services.gate.activate_together(&requests).await;
    let activated = activated.map_err(not_activated_together)?;
    let changed = Changed(activated.iter().map(location_of).collect());
    let activations = activated.iter().map(Activation::from).collect();
    let body = Json(ActivationSet { activations });
    Ok((StatusCode::CREATED, Extension(changed), body).into_response())
}

/// Deactivates a module
///
/// Afterwards no module is active: commands are answered with `decider-not-found`, streams and
/// events stay readable, and an activation or a rollback begins the work again. Once this has
/// answered, no host decides another command with the module.
#[utoipa::path(
    post, path = "/deactivations", operation_id = "deactivate_{kind}", tag = "{kinds}", request_body(content = Option<DeactivationBody>, description = "May be left out."),
    responses(
        (status = 201, description = "Deactivated: the entry of the activation log, without a `digest`.", body = Activation, headers(("Location" = String))),
        (status = 404, description = "`decider-not-found`: no module is active"),
        (status = 409, description = "`activation-contended`"),
    )
)]
async fn deactivate_module(
    State(state): State<AppState>,
    KeyPath(key): KeyPath,
    Sender(origin): Sender,
    OptionalJsonBody(body): OptionalJsonBody<DeactivationBody>,
) -> Result<Response, Problem> {
    let message = body.message.map(Text::into_string);
    let deactivated = state.services.gate.deactivate(&key, message, origin.actor);
    Ok(recorded(&deactivated.await?))
}

/// Rolls back an activation
///
/// Activates the module that was active before, or until a deactivation, if the gate accepts it.
#[utoipa::path(
    post, path = "/rollback", operation_id = "roll_back_{kind}", tag = "{kinds}", request_body(content = Option<RollbackBody>, description = "May be left out."),
    responses(
        (status = 201, description = "Active, with the report of the gate.", body = Activation, headers(("Location" = String))),
        (status = 404, description = "`decider-not-found`"),
        (status = 409, description = "`nothing-to-roll-back-to`, `activation-contended`, `module-outdated`"),
        (status = 422, description = "`gate-refused`, with the `report`; `invalid-module`. Nothing has changed."),
    )
)]
async fn roll_back(
    State(state): State<AppState>,
    KeyPath(key): KeyPath,
    Sender(origin): Sender,
    OptionalJsonBody(body): OptionalJsonBody<RollbackBody>,
) -> Result<Response, Problem> {
    let message = body.message.map(Text::into_string);
    let activated = state.services.gate.rollback(&key, message, origin.actor);
    Ok(recorded(&activated.await?))
}

/// Answers with a new entry of the activation log.
fn recorded(activation: &model::Activation) -> Response {
    (
        StatusCode::CREATED,
        [(LOCATION, location_of(activation))],
        Json(Activation::from(activation)),
    )
        .into_response()
}

fn location_of(activation: &model::Activation) -> String {
    let key = &activation.key;
    format!("/v1/{}/{}", key.kind().plural(), key.name())
}

/// Begins a rehearsal
///
/// Runs the gate without the activation, in the background: watch it at `Location`. With `mode`
/// `shadow` the candidate also decides the commands that come from now on, without any effect,
/// until the rehearsal is cancelled.
#[utoipa::path(
    post, path = "/rehearsals", operation_id = "rehearse_{kind}", tag = "gate", request_body = RehearsalBody,
    responses(
        (status = 202, description = "Begun.", body = Rehearsal, headers(("Location" = String))),
        (status = 404, description = "`module-not-found`"),
        (status = 409, description = "`module-outdated`"),
        (status = 422, description = "`invalid-module`, with the `reasons`"),
    )
)]
async fn start_rehearsal(
    State(state): State<AppState>,
    KeyPath(key): KeyPath,
    Sender(origin): Sender,
    known: KnownModules,
    JsonBody(body): JsonBody<RehearsalBody>,
) -> Result<Response, Problem> {
    let digest = known.digest(&state, &body.digest, Location::pointer("/digest"));
    let request = RehearsalRequest {
        key,
        digest: digest.await?,
        mode: body.mode.into(),
        accept: AcceptedName::into_names(body.accept),
        requested_by: origin.actor,
        then: None,
    };
    Ok(begun(&state.services.rehearsals.start(request).await?))
}

/// Answers with a rehearsal that is under way.
fn begun(rehearsal: &gate::Rehearsal) -> Response {
    let location = format!("/v1/rehearsals/{}", rehearsal.id);
    let body = Json(Rehearsal::from(rehearsal));
    (StatusCode::ACCEPTED, [(LOCATION, location)], body).into_response()
}

/// Lists rehearsals
///
/// The newest rehearsals of a name, newest first.
#[utoipa::path(
    get, path = "/rehearsals", operation_id = "list_{kind}_rehearsals", tag = "gate",
    responses((status = 200, description = "The rehearsals; none when there was none.", body = RehearsalList))
)]
async fn list_rehearsals(
    State(state): State<AppState>,
    KeyPath(key): KeyPath,
) -> Result<Response, Problem> {
    let rehearsals = state.services.rehearsals.list(&key).await?;
    Ok(Json(RehearsalList {
        rehearsals: rehearsals.iter().map(Rehearsal::from).collect(),
    })
    .into_response())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use gavel_gate::MOST_MODULES;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{Api, assert_problem};

    #[test]
    fn the_operations_of_each_kind_are_named_after_it() {
        let mut ids = BTreeSet::new();
        for kind in ModuleKind::ALL {
            let described = of_kind(kind, OpenApiRouter::default().routes(routes!(roll_back)));
            let paths = described.into_openapi().paths.paths;
            let operation = paths["/rollback"].post.as_ref().unwrap();
            assert_eq!(operation.tags.as_deref().unwrap(), [kind.plural()]);
            ids.insert(operation.operation_id.clone().unwrap());
        }
        assert_eq!(
            ids.into_iter().collect::<Vec<_>>(),
            ["roll_back_decider", "roll_back_process", "roll_back_view"]
        );
    }

    fn wanted(name: &str) -> Value {
        let digest = format!("sha256:{}", "0".repeat(64));
        json!({ "kind": "decider", "name": name, "digest": digest })
    }

    #[tokio::test]
    async fn modules_that_cannot_be_activated_together_are_refused_at_once() {
        let api = Api::default();
        let with = |member: &str, value: &str| {
            let mut other = wanted("b");
            other[member] = value.into();
            json!([wanted("a"), other])
        };
        let many = (0..=MOST_MODULES).map(|number| wanted(&format!("name-{number}")));
        for (activations, pointer) in [
            (json!([]), "/activations"),
            (many.collect(), "/activations"),
            (with("name", "a"), "/activations"),
            (with("name", "-"), "/activations/1/name"),
            (with("kind", "saga"), "/activations/1/kind"),
            (with("digest", "sha256:0"), "/activations/1/digest"),
        ] {
            let body = json!({ "activations": activations });
            let answer = api.post("/v1/activations", &body.to_string()).await;
            assert_problem(&answer, 400, "malformed-request");
            assert_eq!(answer.body["errors"][0]["pointer"], pointer, "{body}");
        }
        let most = (0..MOST_MODULES).map(|number| wanted(&format!("name-{number}")));
        let body = json!({ "activations": most.collect::<Value>() });
        let answer = api.post("/v1/activations", &body.to_string()).await;
        assert_problem(&answer, 404, "module-not-found");
    }

    #[tokio::test]
    async fn the_number_of_modules_is_described_as_it_is_checked() {
        let document = Api::default().get("/openapi.json").await.body;
        let described = &document["components"]["schemas"]["ActivationSetRequest"];
        let most = &described["properties"]["activations"]["maxItems"];
        assert_eq!(*most, MOST_MODULES, "{described}");
    }
}
