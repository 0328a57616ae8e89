//! Errors of views: the attribute, foreign events, indexes and specifications.

use proc_macro2::TokenStream;
use syn::Result;

use super::{assert_fault, fault, schema};

type ViewSpecs = crate::specs::Specs<crate::specs::ViewSpec>;

const BLOCK: &str = "impl View for Row { fn evolve() {} }";
const BY_HAND: &str = "impl View for Row { fn keys() {} fn sources() {} fn evolve() {} }";

fn view(arguments: &str, item: &str) -> Result<TokenStream> {
    crate::view::expand(arguments.parse().unwrap(), item.parse().unwrap())
}

fn foreign(code: &str) -> (String, String) {
    fault(crate::foreign::expand(&syn::parse_str(code).unwrap()))
}

#[test]
fn wrong_arguments_of_a_view_are_pointed_at() {
    assert_fault(
        fault(view("kee = stream_id", BLOCK)),
        "unknown key `kee`: there are `name`, `key` and `specs`",
        "kee",
    );
    assert_fault(
        fault(view("key = stream_id, key = tag(\"a\")", BLOCK)),
        "`key` is given twice",
        "key",
    );
    assert_fault(
        fault(view("name = \"a\", key = stream", BLOCK)),
        "a key is `stream_id` or `tag(\"…\")`; any other is written by hand, as `fn keys` in the block",
        "stream",
    );
    let long = format!("\"{}\"", "a".repeat(254));
    for key in ["\"\"", "\"order:\"", &long] {
        assert_fault(
            fault(view(&format!("name = \"a\", key = tag({key})"), BLOCK)),
            "a tag's key is what stands before the `:` in `order:o-1`: 1 to 253 bytes, without that `:`",
            key,
        );
    }
    assert!(view("name = \"a\", key = tag(\"a:b\")", BLOCK).is_ok());
    let (message, _) = fault(view("name = \"a\", key = tag(order)", BLOCK));
    assert_eq!(message, "expected string literal");
    let rule = "a view's name is a lower-case letter, then up to 62 lower-case letters, digits, `_` or `-`";
    let long = format!("\"{}\"", "a".repeat(64));
    for name in ["\"Orders\"", "\"1a\"", "\"\"", "\"a b\"", "\"ä\"", &long] {
        let arguments = format!("key = stream_id, name = {name}");
        assert_fault(fault(view(&arguments, BLOCK)), rule, name);
    }
    let (message, _) = fault(view("key = stream_id", BLOCK));
    assert_eq!(
        message,
        "the view needs a name: `#[view(name = \"orders\", key = stream_id)]`"
    );
}

#[test]
fn the_attribute_of_a_view_is_for_a_trait_of_a_concrete_type() {
    let arguments = "name = \"a\", key = stream_id";
    let (message, _) = fault(view(arguments, "struct Row;"));
    assert_eq!(message, "`#[view]` belongs on an `impl View for …` block");
    let (message, _) = fault(view(arguments, "impl<T> View for Row<T> {}"));
    assert_eq!(
        message,
        "a component runs one concrete view: it cannot be generic"
    );
}

#[test]
fn keys_have_one_origin() {
    let (message, _) = fault(view("name = \"a\"", BLOCK));
    assert!(
        message.starts_with("the view needs its keys: "),
        "{message}"
    );
    assert_fault(
        fault(view("name = \"a\", key = stream_id", BY_HAND)),
        "`keys` follows from `key = …`: leave one of them out",
        "keys",
    );
    assert_fault(
        fault(view(
            "name = \"a\", key = stream_id",
            "impl View for Row { fn sources() {} }",
        )),
        "`sources` follows from `key = …`: leave one of them out",
        "sources",
    );
}

#[test]
fn sources_are_exported_where_there_are_any() {
    let exports = |arguments, item| {
        let code = view(arguments, item).unwrap().to_string();
        let exports_view = code.contains("__export_view");
        assert!(exports_view, "{code}");
        code.contains("__export_sources")
    };
    assert!(exports("name = \"a\", key = stream_id", BLOCK));
    assert!(exports("name = \"a\", key = tag(\"b\")", BLOCK));
    assert!(exports("name = \"a\"", BY_HAND));
    assert!(!exports(
        "name = \"a\"",
        "impl View for Row { fn keys() {} }"
    ));
}

#[test]
fn wrong_foreign_events_are_pointed_at() {
    assert_fault(
        foreign("#[foreign(decidr = \"a\")] enum Event { A }"),
        "unknown key: there are `decider = \"…\"` and `versions = [1, 2]`",
        "decidr",
    );
    assert_fault(
        foreign("#[foreign(decider = \"a b\")] enum Event { A }"),
        "a decider's name is a letter, then up to 127 letters, digits, `_` or `-`",
        "\"a b\"",
    );
    assert_fault(
        foreign("#[foreign(decider = \"a\", versions = [1])] enum Event { A }"),
        "versions are those of one event: name them on its variant",
        "1",
    );
    assert_fault(
        foreign("#[foreign(decider = \"a\")] enum Event { #[foreign(versions = [])] A }"),
        "an event is read in one schema version at least",
        "versions = []",
    );
    let order = "schema versions begin with 1, and are named once, in ascending order";
    for (versions, wrong) in [("0", "0"), ("2, 1", "1"), ("3, 3", "3")] {
        let code = format!(
            "#[foreign(decider = \"a\")] enum Event {{ #[foreign(versions = [{versions}])] A }}"
        );
        assert_fault(foreign(&code), order, wrong);
    }
    assert_fault(
        foreign(
            "#[foreign(decider = \"a\")] enum Event { #[event(version = 2, upcast(1 = f))] #[foreign(versions = [7])] A }",
        ),
        "the versions follow from `#[event(…)]`: leave one of them out",
        "7",
    );
    assert_fault(
        foreign("#[foreign(decider = \"a\")] enum Event { #[foreign(decider = \"b\")] A(B) }"),
        "the decider is named above the enum: its variants are that decider's events",
        "\"b\"",
    );
    assert_fault(
        foreign("#[foreign(decider = \"a\")] #[serde(tag = \"t\")] enum Event { A }"),
        "events are an enum in serde's default representation",
        "tag",
    );
    assert_fault(
        foreign("#[foreign(decider = \"a\")] enum Event { #[serde(other)] A }"),
        "a module reads events that it names",
        "other",
    );
    assert_fault(
        foreign("enum Event { #[foreign(versions = [1])] A(B) }"),
        "the versions are those that the wrapped type reads",
        "1",
    );
    let wrap = "without `#[foreign(decider = \"…\")]` above the enum, each variant wraps the events of one decider: `Order(OrderEvent)`";
    for variant in ["A", "A { b: B }", "A(B, C)"] {
        assert_fault(
            foreign(&format!("enum Event {{ {variant} }}")),
            wrap,
            variant,
        );
    }
    assert_fault(
        foreign("struct Event;"),
        "foreign events are an enum with one variant for each, or for each decider",
        "Event",
    );
    assert_fault(
        foreign("enum Event<T> { A(T) }"),
        "events are of concrete deciders: their enum cannot be generic",
        "<T>",
    );
}

#[test]
fn wrong_indexes_are_pointed_at() {
    assert_fault(
        schema("struct A { #[index(c)] b: u8 }"),
        "the row's JSON has no field `c`",
        "c",
    );
    assert_fault(
        schema("struct A { #[index] #[serde(skip)] b: u8 }"),
        "the row's JSON has no field `b`",
        "b",
    );
    assert_fault(
        schema("struct A { #[index(b)] b: u8 }"),
        "`b` is in this index already",
        "b",
    );
    assert_fault(
        schema("struct A { #[index(c, d, e, f)] b: u8, c: u8, d: u8, e: u8, f: u8 }"),
        "an index has 4 fields at most",
        "f",
    );
    assert_fault(
        schema("struct A { #[index] #[index()] b: u8 }"),
        "there is this index already",
        "#[index()]",
    );
    assert_fault(
        schema("struct A { #[index = \"b\"] b: u8 }"),
        "an index is `#[index]`, or `#[index(second, third)]` with more fields",
        "#[index = \"b\"]",
    );
    let many: Vec<String> = (0..17).map(|n| format!("#[index] a{n}: u8")).collect();
    assert_fault(
        schema(&format!("struct A {{ {} }}", many.join(", "))),
        "a view has 16 indexes at most",
        "#[index]",
    );
    let named = "an index is on a named field of a struct whose JSON is an object";
    for code in [
        "struct A(#[index] u8);",
        "enum A { B { c: u8 }, D { #[index] e: u8 } }",
        "#[serde(transparent)] struct A { #[index] b: u8 }",
    ] {
        assert_fault(schema(code), named, "#[index]");
    }
}

#[test]
fn what_a_host_refuses_of_a_views_specifications_does_not_compile() {
    let list = include_str!("../../../../../tests/specs/view_refused.json");
    let refused: Vec<serde_json::Value> = serde_json::from_str(list).unwrap();
    for spec in refused {
        let one = serde_json::Value::from(vec![spec]).to_string();
        for file in ["specs.json", "specs.yaml"] {
            let added = ViewSpecs::default().add(file, &one);
            assert!(added.is_err(), "{file}: {one}");
        }
    }
}

#[test]
fn specifications_of_a_view_get_the_manifests_form() {
    let yaml = "- title: one\n  given: [{ event: Opened }, { decider: a, event: B, stream_id: s, data: 5, schema_version: 2, tags: [t], created_ms: 0, metadata: { m: n } }]\n  then: { rows: { s: { b: 1 } } }\n";
    let mut specs = ViewSpecs::default();
    specs.add("specs.yaml", yaml).unwrap();
    let expected = r#"[{"title":"one","given":[{"event":"Opened","data":{}},{"decider":"a","event":"B","stream_id":"s","data":5,"schema_version":2,"tags":["t"],"created_ms":0,"metadata":{"m":"n"}}],"then":{"rows":{"s":{"b":1}}}}]"#;
    assert_eq!(specs.to_json().unwrap(), expected);
}
