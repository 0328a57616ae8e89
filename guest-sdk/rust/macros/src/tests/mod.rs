//! Errors say what is wrong, and point at it.

mod process;
mod view;

use proc_macro2::TokenStream;
use syn::{Error, Result};

type DeciderSpecs = crate::specs::Specs<crate::specs::DeciderSpec>;

const BLOCK: &str = "impl Decider for Account {}";

/// The message of the error, and the code it points at.
fn fault(expanded: Result<TokenStream>) -> (String, String) {
    let error: Error = expanded.expect_err("the code is wrong");
    (
        error.to_string(),
        error.span().source_text().unwrap_or_default(),
    )
}

fn decider(arguments: &str, item: &str) -> Result<TokenStream> {
    crate::decider::expand(arguments.parse().unwrap(), item.parse().unwrap())
}

fn event(code: &str) -> (String, String) {
    fault(crate::event::expand(&syn::parse_str(code).unwrap()))
}

fn rejection(code: &str) -> (String, String) {
    fault(crate::rejection::expand(&syn::parse_str(code).unwrap()))
}

fn schema(code: &str) -> (String, String) {
    fault(crate::schema::expand(&syn::parse_str(code).unwrap()))
}

#[track_caller]
fn assert_fault((message, code): (String, String), expected_message: &str, expected_code: &str) {
    assert_eq!(
        (message.as_str(), code.as_str()),
        (expected_message, expected_code)
    );
}

#[test]
fn wrong_arguments_of_the_attribute_are_pointed_at() {
    assert_fault(
        fault(decider("nam = \"a\"", BLOCK)),
        "unknown key `nam`: there are `name` and `specs`",
        "nam",
    );
    assert_fault(
        fault(decider("name = \"a\", name = \"b\"", BLOCK)),
        "`name` is given twice",
        "name",
    );
    assert_fault(
        fault(decider("name = 5", BLOCK)),
        "expected string literal",
        "5",
    );
    let rule = "a decider's name is a letter, then up to 127 letters, digits, `_` or `-`";
    assert_fault(
        fault(decider("name = \"my account\"", BLOCK)),
        rule,
        "\"my account\"",
    );
    let (message, _) = fault(decider("", BLOCK));
    assert_eq!(
        message,
        "the decider needs a name: `#[decider(name = \"account\")]`"
    );
}

#[test]
fn the_attribute_is_for_a_trait_of_a_concrete_type() {
    let (message, code) = fault(decider("name = \"a\"", "struct Account;"));
    assert_eq!(
        message,
        "`#[decider]` belongs on an `impl Decider for …` block"
    );
    assert!(code.starts_with("struct"), "{code}");
    let (message, _) = fault(decider("name = \"a\"", "impl<T> Decider for Account<T> {}"));
    assert_eq!(
        message,
        "a component runs one concrete decider: it cannot be generic"
    );
}

#[test]
fn a_missing_file_of_specifications_is_pointed_at() {
    let (message, code) = fault(decider("name = \"a\", specs = \"none.yaml\"", BLOCK));
    assert!(message.starts_with("cannot read "), "{message}");
    assert_eq!(code, "\"none.yaml\"");
}

#[test]
fn malformed_specifications_are_located() {
    let read = |yaml: &str| {
        DeciderSpecs::default()
            .add("specs.yaml", yaml)
            .expect_err("the file is wrong")
    };
    let message = read("- title: one\n  when: { command: Open }\n");
    assert!(
        message.starts_with(
            "specs.yaml is not a list of specifications: line 2 column 3: missing field `then`"
        ),
        "{message}"
    );
    let message = read("- title: one\n  whn: {}\n");
    assert!(
        message.contains("line 2 column 3: unknown field `whn`"),
        "{message}"
    );
    let message = read("- title: one\n  when: { command: Open }\n  then: { evnts: [] }\n");
    assert!(
        message.contains("line 3 column 11: unknown variant `evnts`"),
        "{message}"
    );
    let message = read("- { title: '', when: { command: Open }, then: { events: [] } }");
    assert_eq!(
        message,
        "specs.yaml holds a specification with an empty title"
    );
    let one = "- { title: one, when: { command: Open }, then: { events: [] } }\n";
    assert_eq!(
        read(&one.repeat(2)),
        "specs.yaml holds a second specification called \"one\""
    );
}

#[test]
fn what_a_host_refuses_of_specifications_does_not_compile() {
    let list = include_str!("../../../../../tests/specs/refused.json");
    let refused: Vec<serde_json::Value> = serde_json::from_str(list).unwrap();
    for spec in refused {
        let one = serde_json::Value::from(vec![spec]).to_string();
        for file in ["specs.json", "specs.yaml"] {
            let added = DeciderSpecs::default().add(file, &one);
            assert!(added.is_err(), "{file}: {one}");
        }
    }
    let misspelt =
        "- { title: a, when: { command: Open }, then: { rejected: { code: b, dta: {} } } }";
    let message = DeciderSpecs::default()
        .add("specs.yaml", misspelt)
        .unwrap_err();
    assert!(message.contains("unknown field `dta`"), "{message}");
}

#[test]
fn specifications_get_the_manifests_form() {
    let yaml = "- title: one\n  given: [{ event: Opened }]\n  when: { command: Open }\n  then: { rejected: open }\n";
    let mut specs = DeciderSpecs::default();
    specs.add("specs.yaml", yaml).unwrap();
    let expected = r#"[{"title":"one","given":[{"event":"Opened","data":{}}],"when":{"command":"Open","data":{}},"then":{"rejected":"open"}}]"#;
    assert_eq!(specs.to_json().unwrap(), expected);
}

#[test]
fn wrong_facts_of_an_event_are_pointed_at() {
    let unknown = "unknown key: there are `final`, `tags(…)`, `version = …` and `upcast(…)`";
    assert_fault(event("enum Event { #[event(finl)] A }"), unknown, "finl");
    assert_fault(
        event("enum Event { #[event(tags(id))] A }"),
        "tags are made from named fields",
        "id",
    );
    assert_fault(
        event("enum Event { #[event(version = 0)] A }"),
        "the first schema version is 1",
        "0",
    );
    assert_fault(
        event("enum Event { #[event(version = 2)] A }"),
        "there is no upcaster from version 1",
        "2",
    );
    let due = "the upcaster from version 1 is due here";
    assert_fault(
        event("enum Event { #[event(version = 3, upcast(2 = f))] A }"),
        due,
        "2",
    );
    let current = "version 2 is current: nothing comes after it";
    assert_fault(
        event("enum Event { #[event(version = 2, upcast(1 = f, 2 = g))] A }"),
        current,
        "2",
    );
    assert_fault(
        event("struct Event;"),
        "events are an enum with one variant for each",
        "Event",
    );
}

#[test]
fn wrong_rejections_are_pointed_at() {
    let unknown = "unknown key: there are `code = \"…\"` and `message = \"…\"`";
    assert_fault(
        rejection("enum Rejection { #[rejection(kode = \"a\")] A }"),
        unknown,
        "kode",
    );
    let twice = "more than one rejection has the code \"a\"";
    assert_fault(
        rejection("enum Rejection { A, #[rejection(code = \"a\")] B }"),
        twice,
        "\"a\"",
    );
    let none = "a decider that never says no has `type Rejection = std::convert::Infallible`";
    assert_fault(rejection("enum Rejection {}"), none, "Rejection");
}

#[test]
fn what_has_no_schema_is_pointed_at() {
    let form = "the JSON is not that of the field's type: name a type that has the same with `#[schema(as = Type)]`";
    assert_fault(
        schema("struct A { #[serde(flatten)] rest: Rest }"),
        form,
        "flatten",
    );
    assert_fault(
        schema("struct A { #[serde(with = \"module\")] rest: Rest }"),
        form,
        "with",
    );
    assert_fault(
        schema("struct A { #[schema(like = String)] a: B }"),
        "unknown key: there is `as = Type`",
        "like",
    );
    assert_fault(
        schema("enum A { #[serde(other)] B }"),
        "there is no schema for such a variant",
        "other",
    );
    assert_fault(
        schema("#[serde(rename_all = \"Title\")] struct A { b: u8 }"),
        "unknown rule",
        "\"Title\"",
    );
    assert_fault(schema("union A { b: u8 }"), "a union has no JSON", "A");
}
