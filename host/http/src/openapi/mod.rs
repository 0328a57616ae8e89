//! The served descriptions of the API: of all of it, and of one decider or view with its types.
//!
//! Routes describe what is theirs. What every route has in common is added here, by rule, so that
//! it cannot be forgotten.

mod common;
mod decider;
mod schemas;
mod view;

use axum::body::Bytes;
use gavel_config::Scope;
use gavel_engine::catalog::Manifest;
use gavel_model::{DeciderName, ModuleName};
use gavel_sandbox::kinds;
use gavel_store::views::TableShape;
use serde_json::{Value, json};
use utoipa::openapi::OpenApi;

use crate::settings::ApiSettings;

/// The description of the whole API.
#[derive(Debug)]
pub(super) struct OpenApiDocument {
    value: Value,
    text: Bytes,
}

impl OpenApiDocument {
    /// Completes the descriptions of routes, which come with the scope that each needs.
    pub(super) fn new(
        settings: &ApiSettings,
        described: impl IntoIterator<Item = (Option<Scope>, OpenApi)>,
    ) -> Self {
        let mut value = json!({
            "openapi": "3.1.0",
            "info": {
                "title": "Gavel",
                "version": env!("CARGO_PKG_VERSION"),
                "description": "Event-sourced services from deciders. Errors are problem documents (RFC 9457) whose `code` is stable.",
                "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            },
            "tags": [
                { "name": "commands", "description": "Send commands, alone or in batches." },
                { "name": "streams", "description": "States and events of streams." },
                { "name": "log", "description": "The events of all streams." },
                { "name": "gate", "description": "Preview what a module would change, and explain recorded decisions." },
                { "name": "consumers", "description": "Named readers of the log that share their work." },
                { "name": "modules", "description": "Immutable components, named by their digest." },
                { "name": "operations", "description": "Health, metrics and descriptions." },
            ],
            "paths": {},
            "components": common::components(settings),
        });
        for kind in kinds() {
            let name = kind.plural();
            let description =
                format!("The {name} of a namespace, and which modules work for them.");
            let tags = value["tags"].as_array_mut();
            tags.expect("is an array")
                .push(json!({ "name": name, "description": description }));
        }
        for (scope, described) in described {
            let described = serde_json::to_value(described).unwrap_or_default();
            for (path, item) in members(&described["paths"]) {
                for (method, operation) in members(item) {
                    let mut operation = operation.clone();
                    common::complete(
                        &mut operation,
                        path,
                        scope.filter(|_| !settings.tokens.is_empty()),
                        scope.is_some(),
                    );
                    value["paths"][path][method] = operation;
                }
            }
            for (name, schema) in members(&described["components"]["schemas"]) {
                value["components"]["schemas"][name] = schema.clone();
            }
        }
        let text = Bytes::from(value.to_string());
        Self { value, text }
    }

    /// The document as it is served.
    pub(super) fn text(&self) -> Bytes {
        self.text.clone()
    }

    /// The part that is about one decider, with the types of its module.
    pub(super) fn of_decider(&self, decider: &DeciderName, manifest: &Manifest) -> Value {
        decider::typed(&self.value, decider, manifest)
    }

    /// The part that is about the rows of one view, with their type and indexes.
    pub(super) fn of_view(
        &self,
        view: &ModuleName,
        row_schema: &Value,
        shape: &TableShape,
    ) -> Value {
        view::typed(&self.value, view, row_schema, shape)
    }
}

/// The members of an object; none of anything else.
fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use gavel_config::Token;

    use super::*;
    use crate::Tokens;
    use crate::router::describe;

    fn operations(document: &Value) -> Vec<(String, Value)> {
        let of_path = |(path, item): (&String, &Value)| {
            members(item)
                .map(|(method, operation)| (format!("{method} {path}"), operation.clone()))
                .collect::<Vec<_>>()
        };
        members(&document["paths"]).flat_map(of_path).collect()
    }

    fn references(value: &Value, found: &mut Vec<String>) {
        for (name, member) in members(value) {
            match member {
                Value::String(target) if name == "$ref" => found.push(target.clone()),
                member => references(member, found),
            }
        }
        for item in value.as_array().into_iter().flatten() {
            references(item, found);
        }
    }

    #[test]
    fn every_answer_names_its_request_and_every_failure_is_a_problem() {
        for (name, operation) in operations(&describe(&ApiSettings::default()).value) {
            for (status, response) in members(&operation["responses"]) {
                assert!(
                    response["headers"]["Request-Id"].is_object(),
                    "{name} {status}"
                );
                let is_problem = response["content"]["application/problem+json"].is_object();
                assert_eq!(is_problem, status.as_str() >= "400", "{name} {status}");
            }
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = describe(&ApiSettings::default()).value;
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(!found.is_empty());
        for target in found {
            assert!(
                document.pointer(target.trim_start_matches('#')).is_some(),
                "{target}"
            );
        }
    }

    #[test]
    fn every_operation_has_an_id_of_its_own_and_one_known_tag() {
        let document = describe(&ApiSettings::default()).value;
        let tags = document["tags"].as_array().unwrap();
        let tags: Vec<_> = tags.iter().map(|tag| &tag["name"]).collect();
        let mut ids = BTreeSet::new();
        for (name, operation) in operations(&document) {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            assert!(ids.insert(id.clone()), "{name}: {id} is taken");
            let [tag] = operation["tags"].as_array().unwrap().as_slice() else {
                panic!("{name} has not one tag");
            };
            assert!(tags.contains(&tag), "{name}: {tag}");
        }
    }

    #[test]
    fn a_report_of_the_gate_is_as_it_is_described() {
        let document = describe(&ApiSettings::default()).value;
        let described = |report: &Value| {
            let schema = json!({
                "$ref": "#/components/schemas/GateReport", "components": document["components"],
            });
            let validator = jsonschema::validator_for(&schema).unwrap();
            let faults = validator.iter_errors(report);
            faults.map(|fault| fault.to_string()).collect::<Vec<_>>()
        };
        let report = include_str!("../../../gate/tests/stored-report.json");
        let mut report: Value = serde_json::from_str(report).unwrap();
        assert_eq!(described(&report), Vec::<String>::new());
        report["steps"][4]["facts"]["streams"] = json!("many");
        assert_eq!(described(&report).len(), 1);
    }

    /// The names of the parameters of an operation, each with where it is.
    fn parameters(document: &Value, operation: &Value) -> Vec<(String, String)> {
        let parameters = operation["parameters"].as_array().unwrap();
        let described = parameters.iter().map(|parameter| match &parameter["$ref"] {
            Value::String(target) => document.pointer(target.trim_start_matches('#')).unwrap(),
            _ => parameter,
        });
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        described
            .map(|parameter| (text(&parameter["in"]), text(&parameter["name"])))
            .collect()
    }

    #[test]
    fn no_parameter_is_described_twice() {
        let document = describe(&ApiSettings::default()).value;
        for (name, operation) in operations(&document) {
            let mut parameters = parameters(&document, &operation);
            let count = parameters.len();
            parameters.sort_unstable();
            parameters.dedup();
            assert_eq!(parameters.len(), count, "{name}: {parameters:?}");
        }
    }

    #[test]
    fn the_parameters_in_a_path_are_described_and_no_others() {
        let document = describe(&ApiSettings::default()).value;
        for (name, operation) in operations(&document) {
            let in_path = name
                .split('/')
                .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
            let mut in_path: Vec<_> = in_path.map(str::to_owned).collect();
            in_path.sort_unstable();
            let described = parameters(&document, &operation).into_iter();
            let described = described.filter_map(|(place, name)| (place == "path").then_some(name));
            let mut described: Vec<_> = described.collect();
            described.sort_unstable();
            assert_eq!(described, in_path, "{name}");
        }
    }

    #[test]
    fn what_belongs_to_a_namespace_can_name_it() {
        let document = describe(&ApiSettings::default()).value;
        for path in [
            "/v1/consumers",
            "/v1/graph",
            "/v1/deciders/{decider}/rehearsals",
            "/v1/rehearsals/{id}",
            "/v1/events/{event_id}/why",
            "/v1/commands/{command_id}/why",
            "/v1/verify",
        ] {
            let parameters = parameters(&document, &document["paths"][path]["get"]);
            let namespace = ("header".to_owned(), "Gavel-Namespace".to_owned());
            assert!(parameters.contains(&namespace), "{path}");
        }
    }

    #[test]
    fn credentials_are_described_where_they_are_needed() {
        let token = Token::new("ann", [0; 32], [Scope::Admin]);
        let guarded = describe(&ApiSettings {
            tokens: Tokens::new(vec![token]),
            ..ApiSettings::default()
        })
        .value;
        assert_eq!(
            guarded["paths"]["/v1/events"]["get"]["security"][0]["token"][0],
            "read"
        );
        assert!(guarded["paths"]["/livez"]["get"]["security"].is_null());
        let open = describe(&ApiSettings::default()).value;
        assert!(open["paths"]["/v1/events"]["get"]["security"].is_null());
    }
}
