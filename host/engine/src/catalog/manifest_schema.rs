//! Tests that the host reads manifests as the schemas published in `wit/` say.

use jsonschema::{Registry, Validator};
use serde_json::Value;

use super::{Manifest, ProcessManifest, Schema, SchemaBudget, ViewManifest};

const MANIFEST: &str = include_str!("../../../../wit/manifest.schema.json");
const SPECS: &str = include_str!("../../../../wit/specs.schema.json");

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn published() -> Validator {
    let registry = Registry::new().add("json-schema:///specs.schema.json", parsed(SPECS));
    let registry = registry.unwrap().prepare().unwrap();
    let options = jsonschema::options().with_registry(&registry);
    options.build(&parsed(MANIFEST)).unwrap()
}

/// Reads a manifest as an upload does: it, and the schemas in it.
fn read(manifest: &Value) -> Result<(), Vec<String>> {
    let manifest = Manifest::parse_new(&manifest.to_string())?;
    let mut budget = SchemaBudget::default();
    let commands = manifest.commands.iter().map(|command| &command.schema);
    let events = manifest.events.iter().map(|event| &event.schema);
    for schema in commands.chain(events).chain([&manifest.state_schema]) {
        Schema::compile(schema, &mut budget).map_err(|reason| vec![reason])?;
    }
    Ok(())
}

#[test]
fn the_host_takes_what_the_published_schema_takes() {
    let schema = published();
    let accepted = parsed(include_str!("../../../../tests/manifests/accepted.json"));
    for manifest in accepted.as_array().unwrap() {
        let errors: Vec<_> = schema.iter_errors(manifest).collect();
        assert!(errors.is_empty(), "{manifest}: {errors:?}");
        assert_eq!(read(manifest), Ok(()), "{manifest}");
    }
}

#[test]
fn the_host_refuses_what_the_published_schema_refuses() {
    let schema = published();
    let refused = parsed(include_str!("../../../../tests/manifests/refused.json"));
    for manifest in refused.as_array().unwrap() {
        assert!(!schema.is_valid(manifest), "{manifest}");
        assert!(read(manifest).is_err(), "{manifest}");
    }
    let specs = parsed(include_str!("../../../../tests/specs/refused.json"));
    let schema = jsonschema::validator_for(&parsed(SPECS)).unwrap();
    for spec in specs.as_array().unwrap() {
        assert!(
            !schema.is_valid(&Value::Array(vec![spec.clone()])),
            "{spec}"
        );
    }
}

/// Reads the manifest of a view as an upload does, and writes it again.
fn read_view(manifest: &Value) -> Result<Value, Vec<String>> {
    let manifest = ViewManifest::parse_new(&manifest.to_string())?;
    let mut budget = SchemaBudget::default();
    Schema::compile(&manifest.row_schema, &mut budget).map_err(|reason| vec![reason])?;
    Ok(serde_json::to_value(&manifest).unwrap())
}

/// Reads the manifest of a process as an upload does, and writes it again.
fn read_process(manifest: &Value) -> Result<Value, Vec<String>> {
    let manifest = ProcessManifest::parse_new(&manifest.to_string())?;
    let mut budget = SchemaBudget::default();
    Schema::compile(&manifest.state_schema, &mut budget).map_err(|reason| vec![reason])?;
    Ok(serde_json::to_value(&manifest).unwrap())
}

/// Asserts that the host and the published schema take the one list, and refuse the other.
fn assert_agreed(accepted: &str, refused: &str, read: fn(&Value) -> Result<Value, Vec<String>>) {
    let schema = published();
    let errors = |manifest: &Value| -> Vec<String> {
        let errors = schema.iter_errors(manifest);
        errors.map(|error| error.to_string()).collect()
    };
    for manifest in parsed(accepted).as_array().unwrap() {
        assert!(
            errors(manifest).is_empty(),
            "{manifest}: {:?}",
            errors(manifest)
        );
        let written = read(manifest).unwrap_or_else(|reasons| panic!("{manifest}: {reasons:?}"));
        assert!(
            errors(&written).is_empty(),
            "{written}: {:?}",
            errors(&written)
        );
    }
    for manifest in parsed(refused).as_array().unwrap() {
        assert!(!schema.is_valid(manifest), "{manifest}");
        assert!(read(manifest).is_err(), "{manifest}");
    }
}

#[test]
fn the_host_takes_and_refuses_views_as_the_published_schema_does() {
    assert_agreed(
        include_str!("../../../../tests/manifests/views_accepted.json"),
        include_str!("../../../../tests/manifests/views_refused.json"),
        read_view,
    );
    let specs = parsed(include_str!("../../../../tests/specs/view_refused.json"));
    for spec in specs.as_array().unwrap() {
        let reads = serde_json::json!([{ "decider": "a", "event": "A", "schema_versions": [1] }]);
        let manifest =
            serde_json::json!({ "name": "a", "kind": "view", "reads": reads, "specs": [spec] });
        assert!(read_view(&manifest).is_err(), "{spec}");
    }
}

#[test]
fn the_host_takes_and_refuses_processes_as_the_published_schema_does() {
    assert_agreed(
        include_str!("../../../../tests/manifests/processes_accepted.json"),
        include_str!("../../../../tests/manifests/processes_refused.json"),
        read_process,
    );
}

#[test]
fn a_manifest_in_the_hosts_own_words_fits_the_published_schema() {
    let accepted = parsed(include_str!("../../../../tests/manifests/accepted.json"));
    for manifest in accepted.as_array().unwrap() {
        let read = Manifest::parse_new(&manifest.to_string()).unwrap();
        let written = serde_json::to_value(&read).unwrap();
        let errors: Vec<String> = published()
            .iter_errors(&written)
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{written}: {errors:?}");
    }
}

#[test]
fn manifests_of_views_and_processes_have_a_published_form() {
    let schema = published();
    let reads =
        serde_json::json!([{ "decider": "order", "event": "Placed", "schema_versions": [1, 2] }]);
    let view =
        serde_json::json!({ "name": "orders", "kind": "view", "reads": reads, "row_schema": true });
    let process = serde_json::json!({
        "name": "billing", "kind": "process", "reads": reads,
        "sends": [{ "decider": "invoice", "command": "Issue" }],
    });
    assert!(schema.is_valid(&view) && schema.is_valid(&process));
    for (manifest, member) in [(&view, "reads"), (&process, "reads"), (&process, "sends")] {
        let mut without = manifest.clone();
        without.as_object_mut().unwrap().remove(member);
        assert!(!schema.is_valid(&without), "{without}");
    }
    let mut named = view;
    named["name"] = "Orders".into();
    assert!(!schema.is_valid(&named));
}
