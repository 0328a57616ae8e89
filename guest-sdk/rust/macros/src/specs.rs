//! The specifications' file: read, checked and rewritten as the manifest's JSON, all while the
//! author's crate compiles. `wit/specs.md` says what they mean.

use std::collections::BTreeMap;
use std::fmt::{self, Formatter};
use std::path::Path;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// The specifications of a module.
#[derive(Default, Serialize)]
pub(crate) struct Specs(Vec<Spec>);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    title: String,
    #[serde(default)]
    given: Vec<Recorded>,
    when: Command,
    then: Outcome,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recorded {
    event: String,
    #[serde(default = "empty")]
    data: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema_version: Option<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Command {
    command: String,
    #[serde(default = "empty")]
    data: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Context>,
}

/// The parts of the context that a specification may set: all but the version, which follows from
/// the given events.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Context {
    #[serde(skip_serializing_if = "Option::is_none")]
    command_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    now_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Events(Vec<Recorded>),
    Rejected(Rejected),
    State(Value),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Rejected {
    Code(String),
    Details(Rejection),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rejection {
    code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
}

/// Reads the members by hand, since an untagged enum does not say which member is unknown.
impl<'de> Deserialize<'de> for Rejected {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CodeOrDetails;

        impl<'de> Visitor<'de> for CodeOrDetails {
            type Value = Rejected;

            fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
                formatter.write_str("the code of a rejection, or an object with its `code`")
            }

            fn visit_str<E: Error>(self, code: &str) -> Result<Rejected, E> {
                Ok(Rejected::Code(code.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Rejected, A::Error> {
                Rejection::deserialize(MapAccessDeserializer::new(members)).map(Rejected::Details)
            }
        }

        deserializer.deserialize_any(CodeOrDetails)
    }
}

fn empty() -> Value {
    Value::Object(Map::new())
}

impl Specs {
    /// Adds the specifications of a file in `folder`; one that ends in `.json` is JSON, any other
    /// YAML.
    ///
    /// # Errors
    ///
    /// One sentence that says what is wrong, and where.
    pub(crate) fn read(&mut self, folder: &Path, file: &str) -> Result<(), String> {
        let path = folder.join(file);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        self.add(file, &text)
    }

    /// Reads a file that holds `text`, as [`Specs::read`] does.
    pub(crate) fn add(&mut self, file: &str, text: &str) -> Result<(), String> {
        let specs: Result<Vec<Spec>, String> = match Path::new(file).extension() {
            Some(extension) if extension == "json" => {
                serde_json::from_str(text).map_err(|error| error.to_string())
            }
            _ => serde_saphyr::from_str(text)
                .map_err(|error| error.to_string().trim_start_matches("error: ").to_owned()),
        };
        for spec in
            specs.map_err(|error| format!("{file} is not a list of specifications: {error}"))?
        {
            if spec.title.trim().is_empty() {
                return Err(format!("{file} holds a specification with an empty title"));
            }
            if self.titles().any(|title| title == spec.title) {
                return Err(format!(
                    "{file} holds a second specification called \"{}\"",
                    spec.title
                ));
            }
            self.0.push(spec);
        }
        Ok(())
    }

    /// The titles, in the file's order.
    pub(crate) fn titles(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|spec| spec.title.as_str())
    }

    /// The specifications in the manifest's form.
    pub(crate) fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }
}
