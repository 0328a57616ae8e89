//! Modules.

use gavel_engine::catalog::{CommandType, EventDeclaration, Manifest, Spec};
use gavel_store::StoredModule;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};

use super::{Limit, Text};

/// Which modules are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ModuleQuery {
    /// Only modules of this name.
    #[param(value_type = Option<String>, pattern = "^[^\\u0000]*$", nullable = false)]
    pub name: Option<Text>,
    /// Only modules of this kind: `decider`, `process` or `view`.
    #[param(pattern = "^(decider|process|view)?$", nullable = false)]
    pub kind: Option<String>,
    /// Only modules that come after the one with this digest: the `next` of the page before.
    #[param(pattern = "^sha256:[0-9a-f]{64}$", nullable = false)]
    pub after: Option<String>,
    /// At most so many. Default: 100.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 1000)]
    pub limit: Limit,
}

/// A module, and what it says of itself.
#[derive(Debug, Serialize, ToSchema)]
pub struct Module {
    /// Its name: `sha256:` and 64 hexadecimal digits.
    digest: String,
    /// `decider`.
    kind: &'static str,
    /// The contract that it was built for. When it is another than the one of this host, it must be
    /// built with the present SDK and deployed again.
    contract: String,
    /// The name under which it is activated unless another is given.
    name: String,
    /// The size of the component.
    size_bytes: u64,
    /// What the component imports.
    imports: Vec<String>,
    /// The SDK that made it.
    sdk: Option<String>,
    /// The commands that it decides: `name`, and the JSON Schema of the payload as `schema`.
    #[schema(value_type = Vec<Object>)]
    commands: Vec<CommandType>,
    /// The events that it folds: `name`, `schema_version`, `schema`.
    #[schema(value_type = Vec<Object>)]
    events: Vec<EventDeclaration>,
    /// The JSON Schema of its states.
    state_schema: Value,
    /// Its specifications: `title`, `given`, `when`, `then`.
    #[schema(value_type = Vec<Object>)]
    specs: Vec<Spec>,
    /// When it was first stored.
    #[serde(with = "time::serde::rfc3339")]
    uploaded_at: OffsetDateTime,
}

impl Module {
    /// A module that is stored, with what it says of itself.
    pub fn new(stored: &StoredModule, manifest: Manifest) -> Self {
        Self {
            digest: stored.digest.to_string(),
            kind: stored.kind.as_str(),
            contract: stored.contract.clone(),
            name: stored.name.clone(),
            size_bytes: stored.size_bytes,
            imports: stored.imports.clone(),
            sdk: manifest.sdk,
            commands: manifest.commands,
            events: manifest.events,
            state_schema: manifest.state_schema,
            specs: manifest.specs,
            uploaded_at: stored.uploaded_at,
        }
    }
}

/// A page of modules, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModuleList {
    /// The modules.
    pub modules: Vec<Module>,
    /// What to pass as `after` for the next page; null when there is none.
    pub next: Option<String>,
}
