//! The parts that all operations have in common.

use gavel_api::ProblemBody;
use gavel_config::Scope;
use gavel_model::ModuleKind;
use gavel_sandbox::kinds;
use serde_json::{Map, Value, json};

use crate::error::problem::PROBLEM_JSON;
use crate::settings::ApiSettings;

/// The paths whose resources all namespaces share; all others below `/v1/` belong to one.
const SHARED: [&str; 2] = ["/v1/info", "/v1/modules"];

/// The components that operations refer to.
pub(super) fn components(settings: &ApiSettings) -> Value {
    let header =
        |description: &str| json!({ "description": description, "schema": { "type": "string" } });
    let path = |name: &str, schema: Value| json!({ "name": name, "in": "path", "required": true, "schema": schema });
    let mut components = json!({
        "schemas": { "Problem": <ProblemBody as utoipa::PartialSchema>::schema() },
        "headers": {
            "Request-Id": header("Names the request: the id that it came with, or a new one."),
            "Retry-After": header("When to try again, in seconds."),
            "WWW-Authenticate": header("Which credential is needed."),
        },
        "parameters": {
            "id": path("id", json!({
                "type": "string", "minLength": 1, "maxLength": 255,
                "pattern": "^[^\\u0000-\\u001F\\u007F-\\u009F]+$",
                "description": "At most 255 bytes.",
            })),
            "key": path("key", json!({
                "type": "string", "minLength": 1, "maxLength": 255,
                "pattern": "^[^\\u0000-\\u001F\\u007F-\\u009F]+$",
                "description": "At most 255 bytes.",
            })),
            "name": path("name", json!({ "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$" })),
            "event_id": path("event_id", json!({ "type": "string", "format": "uuid" })),
            "command_id": path("command_id", json!({ "type": "string", "format": "uuid" })),
            "rehearsal": path("id", json!({ "type": "string", "format": "uuid" })),
            "digest": path("digest", json!({ "type": "string", "pattern": "^sha256:[0-9a-f]{64}$" })),
            "Gavel-Namespace": {
                "name": "Gavel-Namespace", "in": "header",
                "description": "The namespace that the request is about.",
                "schema": { "type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}$", "default": "default" },
            },
            "Request-Id": {
                "name": "Request-Id", "in": "header",
                "description": "Names the request in its answer and in the log, if it is 1 to 128 visible characters.",
                "schema": { "type": "string" },
            },
        },
    });
    for kind in kinds() {
        let pattern = match kind {
            ModuleKind::Decider | ModuleKind::Process => "^[A-Za-z][A-Za-z0-9_-]{0,127}$",
            ModuleKind::View => "^[a-z][a-z0-9_-]{0,62}$",
        };
        let name = json!({ "type": "string", "pattern": pattern });
        components["parameters"][kind.as_str()] = path(kind.as_str(), name);
    }
    if !settings.tokens.is_empty() {
        components["securitySchemes"] = json!({ "token": { "type": "http", "scheme": "bearer" } });
    }
    components
}

/// Adds to `operation` on `path` what its description leaves out.
pub(super) fn complete(operation: &mut Value, path: &str, needed: Option<Scope>, is_guarded: bool) {
    let mut parameters = operation["parameters"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    parameters.iter_mut().for_each(never_null);
    parameters.extend(common_parameters(path));
    operation["parameters"] = parameters.into();
    if let Some(scope) = needed {
        operation["security"] = json!([{ "token": [scope.as_str()] }]);
    }
    let has_body = operation.get("requestBody").is_some();
    if let Some(content) = operation.pointer_mut("/requestBody/content") {
        describe_bytes(content);
    }
    let mut responses = operation["responses"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    for (status, description) in common_answers(path, has_body, is_guarded) {
        responses
            .entry(status)
            .or_insert_with(|| json!({ "description": description }));
    }
    for (status, response) in &mut responses {
        complete_response(status, response);
    }
    operation["responses"] = Value::Object(responses);
}

/// A parameter that may be left out is described as one that may be null, which text on a wire
/// cannot be.
fn never_null(parameter: &mut Value) {
    if let Some(types) = parameter["schema"]["type"].as_array_mut() {
        types.retain(|kind| kind != "null");
        if let [kind] = types.as_slice() {
            parameter["schema"]["type"] = kind.clone();
        }
    }
}

fn common_parameters(path: &str) -> Vec<Value> {
    let reference = |name: &str| json!({ "$ref": format!("#/components/parameters/{name}") });
    let is_namespaced =
        path.starts_with("/v1/") && !SHARED.iter().any(|prefix| path.starts_with(prefix));
    let in_path = path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let component = |name| match name {
        // An id of its own: streams have any text, rehearsals a UUID.
        "id" if path.starts_with("/v1/rehearsals/") => "rehearsal",
        name => name,
    };
    in_path
        .map(component)
        .chain(is_namespaced.then_some("Gavel-Namespace"))
        .chain(["Request-Id"])
        .map(reference)
        .collect()
}

fn common_answers(
    path: &str,
    has_body: bool,
    is_guarded: bool,
) -> Vec<(&'static str, &'static str)> {
    let mut answers = vec![("500", "`internal`")];
    if !path.starts_with("/v1/") {
        answers.push(("400", "`malformed-request`; `errors` has the places"));
    } else {
        answers.push((
            "400",
            "`malformed-request`, `invalid-namespace`; `errors` has the places",
        ));
    }
    answers.push((
        "403",
        "`forbidden`, with the `needed_scope` if the credential lacks it; else for a foreign host or web page",
    ));
    if is_guarded {
        answers.push(("401", "`unauthenticated`, with the `needed_scope`"));
        answers.push((
            "503",
            "`store-unavailable`, `outcome-unknown`, `overloaded`, `draining`",
        ));
    }
    if has_body {
        answers.push(("408", "`request-timeout`"));
        answers.push(("413", "`too-large`, with `limit_bytes`"));
        answers.push(("415", "`unsupported-media-type`"));
    }
    answers
}

/// The bytes of a component are no JSON, so that no schema is about them.
fn describe_bytes(content: &mut Value) {
    if let Some(bytes) = content.get_mut("application/wasm") {
        *bytes = json!({});
    }
}

fn complete_response(status: &str, response: &mut Value) {
    let mut headers = response["headers"]
        .as_object()
        .cloned()
        .unwrap_or_else(Map::new);
    let mut add = |name: &str| {
        headers.insert(
            name.to_owned(),
            json!({ "$ref": format!("#/components/headers/{name}") }),
        )
    };
    add("Request-Id");
    match status {
        "401" | "403" => drop(add("WWW-Authenticate")),
        "503" => drop(add("Retry-After")),
        _ => {}
    }
    response["headers"] = Value::Object(headers);
    if let Some(content) = response.get_mut("content") {
        describe_bytes(content);
    }
    if status.starts_with(['4', '5']) {
        response["content"] =
            json!({ PROBLEM_JSON: { "schema": { "$ref": "#/components/schemas/Problem" } } });
    }
}
