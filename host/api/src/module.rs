//! Modules.

use gavel_engine::catalog::{CommandType, EventDeclaration, Manifest, Spec};
use gavel_model::ModuleKind;
use gavel_store::StoredModule;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};

use super::{Limit, Text};

/// A selection of modules.
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
    /// Only modules after the one with this digest: the `next` of the page before.
    #[param(pattern = "^sha256:[0-9a-f]{64}$", nullable = false)]
    pub after: Option<String>,
    /// The most modules on the page. Default: 100.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 1000)]
    pub limit: Limit,
}

/// The members that modules of all kinds have; a manifest's own members with these names are
/// hidden.
const OF_ALL: [&str; 8] = [
    "digest",
    "kind",
    "contract",
    "name",
    "size_bytes",
    "imports",
    "sdk",
    "uploaded_at",
];

/// A module, and the contents of its manifest.
#[derive(Debug, Serialize, ToSchema)]
pub struct Module {
    /// The digest of the component: `sha256:` and 64 hexadecimal digits.
    digest: String,
    /// `decider`, `process` or `view`.
    kind: &'static str,
    /// The contract that the module was built for. If this host speaks another contract, the module
    /// must be built with the present SDK and deployed again.
    contract: String,
    /// The name under which it is activated unless another is given.
    name: String,
    /// The size of the component, in bytes.
    size_bytes: u64,
    /// The interfaces that the component imports.
    imports: Vec<String>,
    /// The SDK that the module was built with.
    sdk: Option<String>,
    #[serde(flatten)]
    #[schema(value_type = OfDecider)]
    of_decider: Option<OfDecider>,
    /// The further members of the manifest of a module of another kind.
    #[serde(flatten)]
    #[schema(ignore)]
    of_other: Map<String, Value>,
    /// The time at which the module was first stored.
    #[serde(with = "time::serde::rfc3339")]
    uploaded_at: OffsetDateTime,
}

/// The further members of a decider's manifest.
#[derive(Debug, Serialize, ToSchema)]
struct OfDecider {
    /// The commands that it decides: `name`, and the JSON Schema of the payload as `schema`.
    #[schema(value_type = Vec<Object>, required = false)]
    commands: Vec<CommandType>,
    /// The events that it folds: `name`, `schema_version`, `schema`.
    #[schema(value_type = Vec<Object>, required = false)]
    events: Vec<EventDeclaration>,
    /// The JSON Schema of the decider's states.
    #[schema(required = false)]
    state_schema: Value,
    /// The specifications: `title`, `given`, `when`, `then`.
    #[schema(value_type = Vec<Object>, required = false)]
    specs: Vec<Spec>,
}

impl Module {
    /// Combines a stored module with the contents of its manifest.
    ///
    /// # Errors
    ///
    /// The faults of the manifest. There are none unless the stored row was changed: an upload is
    /// checked.
    pub fn new(stored: &StoredModule) -> Result<Self, Vec<String>> {
        let mut module = Self {
            digest: stored.digest.to_string(),
            kind: stored.kind.as_str(),
            contract: stored.contract.clone(),
            name: stored.name.clone(),
            size_bytes: stored.size_bytes,
            imports: stored.imports.clone(),
            sdk: None,
            of_decider: None,
            of_other: Map::new(),
            uploaded_at: stored.uploaded_at,
        };
        match stored.kind {
            ModuleKind::Decider => {
                let manifest = Manifest::parse(stored.manifest.as_str())?;
                module.sdk = manifest.sdk;
                module.of_decider = Some(OfDecider {
                    commands: manifest.commands,
                    events: manifest.events,
                    state_schema: manifest.state_schema,
                    specs: manifest.specs,
                });
            }
            // It may be one that only other hosts on this store run.
            ModuleKind::Process | ModuleKind::View => {
                let manifest = stored.manifest.to_value();
                module.sdk = manifest["sdk"].as_str().map(str::to_owned);
                let members = manifest.as_object().into_iter().flatten();
                let members = members.filter(|(name, _)| !OF_ALL.contains(&name.as_str()));
                let members = members.map(|(name, member)| (name.clone(), member.clone()));
                module.of_other = members.collect();
            }
        }
        Ok(module)
    }
}

/// A page of modules, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModuleList {
    /// The modules.
    pub modules: Vec<Module>,
    /// The value of `after` for the next page; null if there is none.
    pub next: Option<String>,
}

#[cfg(test)]
mod tests {
    use gavel_model::{Json, ModuleDigest};
    use gavel_sandbox::CONTRACT;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_module_of_a_kind_that_others_run_is_shown_as_its_manifest_says() {
        let reads = json!([{ "decider": "order", "event": "Placed", "schema_versions": [1] }]);
        let manifest =
            json!({ "kind": "view", "name": "orders", "reads": reads, "digest": "another" });
        let stored = StoredModule {
            digest: ModuleDigest::of(b"orders"),
            kind: ModuleKind::View,
            contract: CONTRACT.to_owned(),
            name: "orders".to_owned(),
            manifest: Json::from_value(&manifest).unwrap(),
            imports: Vec::new(),
            size_bytes: 6,
            uploaded_at: OffsetDateTime::UNIX_EPOCH,
        };
        let shown = serde_json::to_string(&Module::new(&stored).unwrap()).unwrap();
        for once in OF_ALL {
            assert_eq!(shown.matches(&format!("\"{once}\":")).count(), 1, "{shown}");
        }
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(
            (&shown["name"], &shown["reads"]),
            (&json!("orders"), &reads)
        );
        assert_eq!(shown["commands"], Value::Null);
    }
}
