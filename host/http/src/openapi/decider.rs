//! The description of one decider: the operations on its streams, with the types of its active
//! module.

use gavel_engine::catalog::Manifest;
use gavel_model::DeciderName;
use serde_json::{Map, Value, json};

use super::members;
use super::schemas::Schemas;

const TEMPLATE: &str = "/v1/deciders/{decider}/";
/// Takes the operations on streams from the whole document, and puts the types of the module in the
/// place of the general ones.
pub(super) fn typed(document: &Value, decider: &DeciderName, manifest: &Manifest) -> Value {
    let mut typed = document.clone();
    typed["info"]["title"] = json!(decider.as_str());
    typed["info"]["description"] = json!(format!(
        "The streams of the decider `{decider}`, typed by its active module."
    ));
    typed["paths"] = Value::Object(paths(document, decider));
    let general = &document["components"]["schemas"];
    let mut schemas = Schemas::of(general);

    let commands = manifest.commands.iter().map(|command| {
        let data = schemas.add(&format!("Command.{}.Data", command.name), &command.schema);
        let mut typed = general["Command"].clone();
        typed["properties"]["command"] = json!({ "const": command.name });
        typed["properties"]["data"] = data;
        typed["required"] = json!(["command", "data"]);
        schemas.set(&format!("Command.{}", command.name), typed)
    });
    let commands: Vec<Value> = commands.collect();
    schemas.set("Command", json!({ "oneOf": commands }));

    let events = manifest.events.iter().map(|event| {
        let name = format!("Event.{}.{}", event.name, event.schema_version);
        let data = schemas.add(&format!("{name}.Data"), &event.schema);
        let mut typed = general["Event"].clone();
        typed["properties"]["event"] = json!({ "const": event.name });
        typed["properties"]["schema_version"] = json!({ "const": event.schema_version });
        typed["properties"]["data"] = data;
        schemas.set(&name, typed)
    });
    let events: Vec<Value> = events.collect();
    schemas.set("Event", json!({ "oneOf": events }));

    let state = schemas.add("State", &manifest.state_schema);
    schemas.member("StreamState", "state", state);
    typed["components"]["schemas"] = schemas.into_value();
    typed
}

fn paths(document: &Value, decider: &DeciderName) -> Map<String, Value> {
    let mut paths = Map::new();
    for (path, item) in members(&document["paths"]) {
        // How to change a decider is no part of its own API.
        let is_about_streams = |rest: &&str| *rest == "streams" || rest.starts_with("{id}");
        let Some(rest) = path.strip_prefix(TEMPLATE).filter(is_about_streams) else {
            continue;
        };
        let mut item = item.clone();
        for operation in item.as_object_mut().into_iter().flat_map(Map::values_mut) {
            if let Some(parameters) = operation["parameters"].as_array_mut() {
                parameters
                    .retain(|parameter| parameter["$ref"] != "#/components/parameters/decider");
            }
        }
        paths.insert(format!("/v1/deciders/{decider}/{rest}"), item);
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::describe;
    use crate::settings::ApiSettings;

    fn described() -> Value {
        let manifest = Manifest::parse(
            &json!({
                "name": "order", "kind": "decider",
                "commands": [
                    { "name": "Location", "schema": { "$schema": "x", "$ref": "#/$defs/Item", "$defs": { "Item": { "type": "object", "properties": { "next": { "$ref": "#/$defs/Item" } } } } } },
                    { "name": "Cancel" },
                ],
                "events": [{ "name": "Placed", "schema": { "type": "string" } }],
                "state_schema": { "type": "integer" },
            })
            .to_string(),
        );
        let name = DeciderName::new("order").unwrap();
        describe(&ApiSettings::default()).of_decider(&name, &manifest.unwrap())
    }

    #[test]
    fn only_the_operations_on_streams_are_described_under_the_name_of_the_decider() {
        let described = described();
        let paths: Vec<_> = members(&described["paths"])
            .map(|(path, _)| path.as_str())
            .collect();
        assert_eq!(
            paths,
            [
                "/v1/deciders/order/streams",
                "/v1/deciders/order/{id}",
                "/v1/deciders/order/{id}/commands",
                "/v1/deciders/order/{id}/events"
            ]
        );
        assert!(
            !described["paths"]
                .to_string()
                .contains("parameters/decider")
        );
    }

    #[test]
    fn a_command_is_one_of_those_of_the_module() {
        let schemas = &described()["components"]["schemas"];
        assert_eq!(
            schemas["Command"]["oneOf"],
            json!([{ "$ref": "#/components/schemas/Command.Location" }, { "$ref": "#/components/schemas/Command.Cancel" }])
        );
        assert_eq!(
            schemas["Command.Location"]["properties"]["command"],
            json!({ "const": "Location" })
        );
        assert_eq!(schemas["Command.Cancel.Data"], json!({}));
    }

    #[test]
    fn definitions_become_components_and_references_follow_them() {
        let schemas = &described()["components"]["schemas"];
        let item = json!({ "$ref": "#/components/schemas/Command.Location.Data.Item" });
        assert_eq!(schemas["Command.Location.Data"], item);
        assert_eq!(
            schemas["Command.Location.Data.Item"]["properties"]["next"],
            item
        );
    }

    #[test]
    fn events_and_states_are_typed() {
        let schemas = &described()["components"]["schemas"];
        assert_eq!(
            schemas["Event.Placed.1"]["properties"]["schema_version"],
            json!({ "const": 1 })
        );
        assert_eq!(schemas["Event.Placed.1.Data"], json!({ "type": "string" }));
        assert_eq!(schemas["State"], json!({ "type": "integer" }));
        assert_eq!(
            schemas["StreamState"]["properties"]["state"],
            json!({ "$ref": "#/components/schemas/State" })
        );
    }
}
