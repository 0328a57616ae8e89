//! The manifest: what a module says of itself.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::{Module, Rejection, schema};

const SDK: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

#[derive(Serialize)]
struct Manifest<'a> {
    name: &'a str,
    kind: &'a str,
    sdk: &'a str,
    commands: Vec<CommandType>,
    events: Vec<EventType>,
    state_schema: Value,
    rejections: Vec<RejectionType>,
    specs: &'a RawValue,
}

#[derive(Serialize)]
struct CommandType {
    name: String,
    schema: Value,
}

#[derive(Serialize)]
struct EventType {
    name: String,
    schema_version: u32,
    schema: Value,
}

#[derive(Serialize)]
struct RejectionType {
    code: &'static str,
}

/// The manifest of `D` as JSON.
///
/// # Panics
///
/// When the commands or events of `D` are not enums in serde's default representation, since they have no names then.
pub fn describe<D: Module>() -> String {
    let commands = variants::<D::Command>()
        .into_iter()
        .map(|(name, schema)| CommandType { name, schema });
    let manifest = Manifest {
        name: D::NAME,
        kind: "decider",
        sdk: SDK,
        commands: commands.collect(),
        events: events::<D>(),
        state_schema: schema::whole::<D>(),
        rejections: D::Rejection::CODES
            .iter()
            .map(|code| RejectionType { code })
            .collect(),
        specs: serde_json::from_str(D::SPECS)
            .expect("the attribute writes the specifications as JSON"),
    };
    serde_json::to_string(&manifest).expect("a tree of JSON values can be written")
}

/// Every pair of name and schema version, the current version of each name before its older ones.
fn events<D: Module>() -> Vec<EventType> {
    let current = variants::<D::Event>()
        .into_iter()
        .map(|(name, schema)| EventType {
            schema_version: D::EVENTS.current_version(&name),
            name,
            schema,
        });
    let former = D::EVENTS.upcasts.iter().map(|upcast| {
        let mut generator = schema::generator();
        let mut schema = (upcast.schema)(&mut generator).to_value();
        schema::add_definitions(
            &mut schema,
            &Value::Object(generator.take_definitions(true)),
        );
        EventType {
            name: upcast.name.to_owned(),
            schema_version: upcast.from,
            schema,
        }
    });
    current.chain(former).collect()
}

fn variants<T: JsonSchema>() -> Vec<(String, Value)> {
    schema::variants::<T>().unwrap_or_else(|| {
        panic!(
            "{} must be an enum in serde's default representation: no `tag`, no `untagged`",
            T::schema_name()
        )
    })
}
