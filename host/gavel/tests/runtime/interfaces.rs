//! The interfaces that a component exports say what kind of module it is, and what it offers.

use gavel_engine::catalog::examine;
use gavel_model::ModuleKind;
use gavel_sandbox::{CompileError, Limits, OptionalInterface};

use crate::support::{prepare, runtime, wasm};

#[tokio::test]
async fn optional_interfaces_are_found_by_their_exports() {
    let module = prepare(&wasm("interfaces")).await.unwrap();
    assert_eq!(module.kind(), ModuleKind::Decider);
    let found = module.optional_interfaces();
    assert_eq!(
        found,
        [
            OptionalInterface::Boundary,
            OptionalInterface::Tags,
            OptionalInterface::Upcast
        ]
    );
    // Imports of the contract's own are no imports that anybody has to know of.
    let of_the_contract = |import: &&String| import.starts_with("gavel:");
    assert_eq!(module.imports().iter().find(of_the_contract), None);

    let plain = prepare(&wasm("counter")).await.unwrap();
    assert_eq!(plain.optional_interfaces(), []);
}

#[tokio::test]
async fn a_module_of_a_former_contract_is_told_what_to_do_before_it_is_compiled() {
    let former = component_exporting("gavel:decider/decider@0.1.0");
    let error = prepare(&former).await.unwrap_err();
    let CompileError::OtherContract { contract } = &error else {
        panic!("not another contract: {error:?}");
    };
    assert_eq!(contract, "gavel:decider@0.1.0");
    assert!(
        error.to_string().contains("build it with the SDK"),
        "{error}"
    );
}

/// A component that exports an empty interface of this name.
fn component_exporting(name: &str) -> Vec<u8> {
    let text = format!("(component (instance $i) (export \"{name}\" (instance $i)))");
    wat::parse_str(text).unwrap()
}

#[tokio::test]
async fn what_examples_and_guests_say_of_themselves_fits_the_published_schema() {
    let parsed = |text| serde_json::from_str::<serde_json::Value>(text).unwrap();
    let specs = parsed(include_str!("../../../../wit/specs.schema.json"));
    let registry = jsonschema::Registry::new().add("json-schema:///specs.schema.json", specs);
    let registry = registry.unwrap().prepare().unwrap();
    let schema = parsed(include_str!("../../../../wit/manifest.schema.json"));
    let schema = jsonschema::options()
        .with_registry(&registry)
        .build(&schema)
        .unwrap();
    let runtime = runtime(Limits::default(), None);
    for module in [
        "account",
        "counter",
        "hostile_process",
        "order",
        "price",
        "restaurant",
        "specimen",
        "wallet_v3",
    ] {
        let (_, manifest) = examine(&runtime, wasm(module)).await.unwrap();
        let errors: Vec<_> = schema
            .iter_errors(&manifest.to_value())
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{module}: {errors:?}");
    }
}
