//! The manifest of a module.

use serde_json::{Value, json};

use super::parcel::Parcel;
use crate::describe;

fn manifest() -> Value {
    serde_json::from_str(&describe::<Parcel>()).unwrap()
}

#[test]
fn the_manifest_names_the_module_and_what_made_it() {
    let manifest = manifest();
    assert_eq!(manifest["name"], "parcel");
    assert_eq!(manifest["kind"], "decider");
    assert_eq!(
        manifest["sdk"],
        concat!("gavel-guest-sdk/", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(
        manifest["rejections"],
        json!([{ "code": "not-sent" }, { "code": "heavy" }, { "code": "label-taken" }])
    );
}

/// The schema of manifests of all kinds.
pub(super) fn published() -> jsonschema::Validator {
    let parsed = |text| serde_json::from_str::<Value>(text).unwrap();
    let specs = parsed(include_str!("../../../../wit/specs.schema.json"));
    let registry = jsonschema::Registry::new().add("json-schema:///specs.schema.json", specs);
    let registry = registry.unwrap().prepare().unwrap();
    let schema = parsed(include_str!("../../../../wit/manifest.schema.json"));
    let options = jsonschema::options().with_registry(&registry);
    options.build(&schema).unwrap()
}

#[test]
fn the_manifest_fits_the_published_schema() {
    let schema = published();
    let manifest = manifest();
    let errors: Vec<_> = schema.iter_errors(&manifest).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

#[test]
fn each_command_has_the_schema_of_its_data() {
    let commands = manifest()["commands"].clone();
    let expected = json!([
        {
            "name": "Send",
            "schema": {
                "description": "Hands the parcel over.",
                "additionalProperties": false,
                "type": "object",
                "properties": { "to": { "$ref": "#/$defs/Address" } },
                "required": ["to"],
                "$defs": {
                    "Address": {
                        "type": "object",
                        "properties": { "town": { "type": "string" }, "country": { "type": "string" } },
                        "required": ["town"],
                    },
                },
            },
        },
        { "name": "Weigh", "schema": { "type": "integer", "format": "uint32", "minimum": 0, "maximum": u32::MAX } },
        {
            "name": "Label",
            "schema": {
                "type": "array",
                "prefixItems": [
                    { "type": "string" },
                    { "type": "integer", "format": "uint8", "minimum": 0, "maximum": 255 },
                ],
                "minItems": 2,
                "maxItems": 2,
            },
        },
        { "name": "Deliver", "schema": { "additionalProperties": false, "type": "object" } },
        {
            "name": "Toss",
            "schema": {
                "description": "Answers with what the context says.",
                "additionalProperties": false,
                "type": "object",
            },
        },
        { "name": "Wait", "schema": { "additionalProperties": true, "type": "object" } },
    ]);
    assert_eq!(commands, expected);
}

#[test]
fn each_event_is_declared_in_every_version() {
    let manifest = manifest();
    let events = manifest["events"].as_array().unwrap();
    let pairs: Vec<(&str, u64)> = events
        .iter()
        .map(|event| {
            (
                event["name"].as_str().unwrap(),
                event["schema_version"].as_u64().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("parcel_sent", 3),
        ("weighed", 1),
        ("labelled", 1),
        ("arrived", 1),
        ("tossed", 1),
        ("parcel_sent", 1),
        ("parcel_sent", 2),
    ];
    assert_eq!(pairs, expected);
    assert_eq!(events[5]["schema"], json!({}));
    assert_eq!(events[6]["schema"]["required"], json!(["town"]));
    assert_eq!(events[4]["schema"]["required"], json!(["number", "at_ms"]));
}

#[test]
fn the_specifications_travel_in_the_manifest() {
    let specs = &manifest()["specs"];
    assert_eq!(specs.as_array().unwrap().len(), 5);
    assert_eq!(
        specs[3],
        json!({
            "title": "a rejection can be given by its code",
            "given": [],
            "when": { "command": "Deliver", "data": {} },
            "then": { "rejected": "not-sent" },
        })
    );
    assert_eq!(specs[0]["given"][0]["schema_version"], 1);
}
