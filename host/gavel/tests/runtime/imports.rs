//! Tests of the environment of a module: the same inputs every time, and nothing else.

use gavel_sandbox::{CompileError, Decision};
use serde_json::json;

use crate::support::{Guest, context, hostile, prepare, wasm};

#[tokio::test]
async fn an_import_beyond_what_std_brings_along_is_refused_by_name() {
    let Err(CompileError::ForbiddenImport { imports }) = prepare(&wasm("imports_sockets")).await
    else {
        panic!("sockets are refused");
    };
    assert!(!imports.is_empty());
    for import in &imports {
        assert!(import.starts_with("wasi:sockets/"), "{imports:?}");
    }

    let unknown = wat::parse_str(
        r#"(component
            (import "acme:bank/vault@1.2.3" (instance (export "open" (func))))
            (import "wasi:cli/exit@0.2.0" (instance))
            (import "run\07" (func)))"#,
    );
    let error = prepare(&unknown.unwrap()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        r"the component imports what modules do not get: acme:bank/vault@1.2.3, run\u{7}"
    );
}

#[tokio::test]
async fn a_stand_in_that_a_component_imports_with_another_type_is_refused_by_name() {
    for (interface, function, kind) in [
        ("wasi:filesystem/preopens@0.2.0", "get-directories", ""),
        (
            "wasi:filesystem/preopens@0.2.0",
            "get-directories",
            "(result u32)",
        ),
        (
            "wasi:filesystem/preopens@0.2.0",
            "get-directories",
            r#"(param "a" u32) (result (list u8))"#,
        ),
        ("wasi:random/random@0.2.0", "get-random-u64", ""),
        (
            "wasi:cli/environment@0.2.0",
            "get-arguments",
            "(result u32)",
        ),
    ] {
        let component = format!(
            r#"(component (import "{interface}" (instance (export "{function}" (func {kind})))))"#
        );
        let error = prepare(&wat::parse_str(component).unwrap())
            .await
            .unwrap_err();
        let CompileError::WrongWorld { reason } = &error else {
            panic!("{error}");
        };
        assert!(
            reason.contains(interface) && reason.contains(function),
            "{reason}"
        );
    }
}

#[test]
fn the_imports_that_are_tolerated_are_told_sorted() {
    let module = hostile();
    assert!(module.imports().is_sorted());
    assert!(
        module
            .imports()
            .iter()
            .all(|import| import.starts_with("wasi:"))
    );
    assert!(
        module
            .imports()
            .iter()
            .any(|import| import.starts_with("wasi:cli/stdout@0.2."))
    );
}

#[test]
fn there_is_no_environment_no_argument_no_file_no_input_and_no_thread() {
    let mut guest = Guest::of(&hostile());
    assert_eq!(
        guest.happened("LookAround", "{}", &context(0, 0)),
        json!({
            "arguments": 0, "variables": 0, "folder": false, "file": false, "written": false, "stdin": 0
        })
    );
    assert_eq!(guest.instance.take_output().unwrap(), "to the log\n");
    assert_eq!(
        guest.happened("StartThread", "{}", &context(0, 0)),
        json!(true)
    );
}

#[test]
fn clocks_show_the_moment_of_the_command_and_stand_still() {
    let mut guest = Guest::of(&hostile());
    for now_ms in [0, 1_700_000_000_123, 86_400_000] {
        assert_eq!(
            guest.happened("Clocks", "{}", &context(now_ms, 0)),
            json!({ "wall": now_ms.to_string(), "passed": "0" })
        );
    }
    // An hour is over at once.
    assert_eq!(guest.decide("Sleep", "{}"), Ok(Decision::Accepted(vec![])));
}

#[test]
fn a_moment_beyond_all_clocks_panics_nobody() {
    let mut guest = Guest::of(&hostile());
    let _ = guest.decide_at("Clocks", "{}", &context(u64::MAX, u64::MAX));
}

#[test]
fn random_numbers_follow_from_the_seed_whatever_was_called_before() {
    let random =
        |guest: &mut Guest, seed| guest.happened("Random", r#"{"number":19}"#, &context(0, seed));
    let mut guest = Guest::of(&hostile());
    let first = random(&mut guest, 1);
    assert_eq!(first.as_array().map(Vec::len), Some(19));
    let second = random(&mut guest, 2);
    assert_ne!(first, second);
    assert_eq!(random(&mut guest, 1), first);
    assert_eq!(random(&mut Guest::of(&hostile()), 2), second);
}

#[test]
fn asking_for_more_random_bytes_than_anyone_needs_is_a_trap() {
    let mut guest = Guest::of(&hostile());
    let fault = guest
        .decide("Random", r#"{"number":4000000000}"#)
        .unwrap_err();
    assert!(fault.to_string().contains("random bytes"), "{fault}");
}

#[test]
fn hash_maps_and_nans_are_the_same_in_every_fresh_instance() {
    for command in ["HashOrder", "NotANumber"] {
        let [first, second] =
            [(); 2].map(|()| Guest::of(&hostile()).happened(command, "{}", &context(1, 1)));
        assert_eq!(first, second, "{command}");
    }
}

#[test]
fn a_module_that_counts_its_calls_is_found_out_by_a_fresh_instance() {
    let mut used = Guest::of(&hostile());
    let first = used.happened("Count", "{}", &context(0, 0));
    let second = used.happened("Count", "{}", &context(0, 0));
    assert_ne!(first, second);
    assert_eq!(
        Guest::of(&hostile()).happened("Count", "{}", &context(0, 0)),
        first
    );
}

#[test]
fn deciders_see_the_whole_context() {
    let mut guest = Guest::of(&hostile());
    let shown = guest.happened("Context", "{}", &context(5, 6)).to_string();
    for part in [
        "01990000",
        "default",
        "s-1",
        "ann",
        "key",
        "value",
        "now-ms: 5",
        "seed: 6",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}
