//! Errors of processes: the attribute, and commands of targets.

use proc_macro2::TokenStream;
use syn::Result;

use super::{assert_fault, fault};

const BLOCK: &str = "impl Process for Billing { fn evolve() {} }";
const BY_HAND: &str = "impl Process for Billing { fn keys() {} fn sources() {} fn evolve() {} }";
const WORKFLOW: &str = "impl Workflow for Trip { fn steps() {} }";
const SAGA: &str = "impl gavel::Saga for Billing { fn react() {} }";

fn process(arguments: &str, item: &str) -> Result<TokenStream> {
    crate::process::expand(arguments.parse().unwrap(), item.parse().unwrap())
}

fn target(code: &str) -> (String, String) {
    fault(crate::target::expand(&syn::parse_str(code).unwrap()))
}

#[test]
fn wrong_arguments_of_a_process_are_pointed_at() {
    for key in ["kee", "specs"] {
        assert_fault(
            fault(process(&format!("{key} = \"a\""), BLOCK)),
            &format!("unknown key `{key}`: there are `name`, `key`, `sends` and `accepted`"),
            key,
        );
    }
    for (arguments, key) in [
        ("key = stream_id, key = tag(\"a\")", "key"),
        ("sends(A), sends(B)", "sends"),
        ("accepted = true, accepted = true", "accepted"),
    ] {
        let message = format!("`{key}` is given twice");
        assert_fault(fault(process(arguments, BLOCK)), &message, key);
    }
    let rule = "a process's name is a letter, then up to 127 letters, digits, `_` or `-`";
    for name in ["\"1a\"", "\"\"", "\"a b\"", "\"ä\""] {
        let arguments = format!("key = stream_id, name = {name}");
        assert_fault(fault(process(&arguments, BLOCK)), rule, name);
    }
    let (message, _) = fault(process("key = stream_id", BLOCK));
    assert_eq!(
        message,
        "the process needs a name: `#[process(name = \"billing\", key = stream_id, sends(OrderCommand))]`"
    );
    for (arguments, message) in [
        ("sends = A", "expected parentheses"),
        ("sends(\"a\")", "expected identifier"),
        ("name(\"a\")", "expected string literal"),
        ("accepted = 1", "expected boolean literal"),
    ] {
        assert_eq!(fault(process(arguments, BLOCK)).0, message, "{arguments}");
    }
}

#[test]
fn the_attribute_of_a_process_is_for_a_trait_of_a_concrete_type() {
    let arguments = "name = \"a\", key = stream_id";
    let (message, _) = fault(process(arguments, "struct Billing;"));
    assert_eq!(
        message,
        "`#[process]` belongs on an `impl Process for …` block"
    );
    let (message, _) = fault(process(arguments, "impl<T> Process for Billing<T> {}"));
    assert_eq!(
        message,
        "a component runs one concrete process: it cannot be generic"
    );
}

#[test]
fn keys_of_a_process_have_one_origin_and_a_saga_says_none() {
    let (message, _) = fault(process("name = \"a\"", BLOCK));
    assert!(
        message.starts_with("the process needs its keys: "),
        "{message}"
    );
    assert_fault(
        fault(process("name = \"a\", key = stream_id", BY_HAND)),
        "`keys` follows from `key = …`: leave one of them out",
        "keys",
    );
    let message = "an instance of a saga is one event, whose id is the key: leave `key` out";
    for (key, pointed_at) in [("stream_id", "stream_id"), ("tag(\"a\")", "\"a\"")] {
        let arguments = format!("name = \"a\", key = {key}");
        assert_fault(fault(process(&arguments, SAGA)), message, pointed_at);
    }
    assert_fault(
        fault(process("name = \"a\", accepted = true", SAGA)),
        "a saga does not learn of its commands: leave `accepted` out",
        "true",
    );
    assert_fault(
        fault(process("name = \"a\", accepted = false", WORKFLOW)),
        "a workflow learns of all its commands: leave `accepted` out",
        "false",
    );
}

#[test]
fn each_trait_becomes_a_component() {
    let code = |arguments, item| process(arguments, item).unwrap().to_string();
    let stateful = code("name = \"a\", key = stream_id, sends(A, b::B,)", BLOCK);
    let by_hand = code("name = \"a\"", BY_HAND);
    let without_sources = code("name = \"a\"", "impl Process for Billing { fn keys() {} }");
    let saga = code("name = \"a\", sends()", SAGA);
    let workflow = code("name = \"a\", key = stream_id", WORKFLOW);
    for (code, adapter, sources) in [
        (&workflow, ":: Flow < Self >", true),
        (&stateful, "Stateful", true),
        (&by_hand, "Stateful", true),
        (&without_sources, "Stateful", false),
        (&saga, "Stateless", false),
    ] {
        assert!(code.contains("__export_process"), "{code}");
        assert!(code.contains(adapter), "{code}");
        assert_eq!(code.contains("__export_sources"), sources, "{code}");
    }
    assert!(stateful.contains("< b :: B as :: gavel :: Target > :: COMMANDS"));
}

#[test]
fn wrong_targets_are_pointed_at() {
    assert_fault(
        target("#[target(decidr = \"a\")] enum Command { A }"),
        "unknown key: there is `decider = \"…\"`",
        "decidr",
    );
    assert_fault(
        target("#[target(decider = \"a b\")] enum Command { A }"),
        "a decider's name is a letter, then up to 127 letters, digits, `_` or `-`",
        "\"a b\"",
    );
    let (message, _) = target("#[target(decider = \"a\", decider = \"b\")] enum Command { A }");
    assert_eq!(message, "`decider` is given twice");
    let (message, _) = target("enum Command { A }");
    assert_eq!(
        message,
        "the commands need their decider: `#[target(decider = \"order\")]`"
    );
    assert_fault(
        target("#[target(decider = \"a\")] #[serde(tag = \"t\")] enum Command { A }"),
        "commands are an enum in serde's default representation",
        "tag",
    );
    assert_fault(
        target("#[target(decider = \"a\")] enum Command { #[serde(untagged)] A }"),
        "a command has the name of its variant",
        "untagged",
    );
    assert_fault(
        target("struct Command;"),
        "the commands of a decider are an enum with one variant for each",
        "Command",
    );
    assert_fault(
        target("enum Command<T> { A(T) }"),
        "commands are of a concrete decider: their enum cannot be generic",
        "<T>",
    );
}
