//! The served descriptions of the API: of all of it, and of one decider with its types.
//!
//! Routes describe what is theirs. What every route has in common is added here, by rule, so that it cannot be forgotten.

mod common;
mod decider;

use axum::body::Bytes;
use serde_json::{Value, json};

use super::router::{Group, groups};
use super::settings::ApiSettings;
use crate::core::DeciderName;
use crate::modules::Manifest;

/// The description of the whole API.
#[derive(Debug)]
pub(super) struct Document {
    value: Value,
    text: Bytes,
}

impl Document {
    pub(super) fn new(settings: &ApiSettings) -> Self {
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
                { "name": "deciders", "description": "What runs, and how to change it." },
                { "name": "modules", "description": "Immutable components, named by their digest." },
                { "name": "operations", "description": "Health, metrics and descriptions." },
            ],
            "paths": {},
            "components": common::components(settings),
        });
        for Group { scope, routes, .. } in groups() {
            let described = serde_json::to_value(routes.into_openapi()).unwrap_or_default();
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
}

/// The members of an object; none of anything else.
fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}
