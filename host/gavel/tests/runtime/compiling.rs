//! Tests that a file that is not a module is refused for its own reason, and that no component
//! takes the host down with it.

use std::path::PathBuf;
use std::time::Duration;

use gavel_model::ModuleDigest;
use gavel_sandbox::{CompileError, Limits, Runtime, RuntimeOptions};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::support::{assert_works, compile_bomb, limits, prepare, runtime, try_prepare, wasm};

#[tokio::test]
async fn what_is_not_webassembly_is_refused() {
    for bytes in [
        &b""[..],
        b"\0asm",
        b"#!/bin/sh\necho hello\n",
        b"\x7fELF\x02\x01\x01",
    ] {
        let error = prepare(bytes).await.unwrap_err();
        assert!(
            matches!(error, CompileError::NotWasm),
            "{bytes:?}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_core_module_is_refused_with_advice() {
    let error = prepare(&wat::parse_str("(module)").unwrap())
        .await
        .unwrap_err();
    assert!(matches!(error, CompileError::CoreModule));
    assert!(error.to_string().contains("wasm32-wasip2"));
}

#[tokio::test]
async fn a_component_of_another_world_is_refused() {
    let nothing = wat::parse_str("(component)").unwrap();
    let error = prepare(&nothing).await.unwrap_err();
    let CompileError::WrongWorld { reason } = error else {
        panic!("not a wrong world: {error:?}");
    };
    assert!(reason.contains("gavel:module/decider@0.1.0"), "{reason}");

    let wrong_types = wat::parse_str(WRONG_TYPES).unwrap();
    let error = prepare(&wrong_types).await.unwrap_err();
    assert!(
        matches!(error, CompileError::WrongWorld { .. }),
        "{error:?}"
    );
}

/// Exports all the right names, and functions without arguments or results behind them.
const WRONG_TYPES: &str = r#"
(component
  (core module $m (func (export "f")))
  (core instance $i (instantiate $m))
  (type $state' (resource (rep i32)))
  (func $f (canon lift (core func $i "f")))
  (instance $decider
    (export "state" (type $state'))
    (export "describe" (func $f))
    (export "evolve" (func $f))
    (export "decide" (func $f)))
  (export "gavel:module/decider@0.1.0" (instance $decider)))
"#;

#[tokio::test]
async fn a_component_that_is_cut_short_or_invalid_is_refused() {
    let whole = wasm("hostile");
    let error = prepare(&whole[..whole.len() / 2]).await.unwrap_err();
    assert!(matches!(error, CompileError::Invalid { .. }), "{error:?}");

    let invalid = wat::parse_str("(component (core module (func (result i32))))").unwrap();
    let error = prepare(&invalid).await.unwrap_err();
    assert!(matches!(error, CompileError::Invalid { .. }), "{error:?}");
}

#[tokio::test]
async fn what_is_switched_off_is_refused() {
    for off in [
        "(component (core module (memory i64 1)))",
        "(component (core module (memory 1 1 shared)))",
        "(component (core module (memory 1) (memory 1)))",
        "(component (core module (tag)))",
        "(component (core module (type (struct))))",
        "(component (core module (func (param v128) (result v128)
            local.get 0 local.get 0 local.get 0 f32x4.relaxed_madd)))",
    ] {
        let error = prepare(&wat::parse_str(off).unwrap()).await.unwrap_err();
        assert!(
            matches!(error, CompileError::Invalid { .. }),
            "{off}: {error:?}"
        );
    }
}

#[tokio::test]
async fn bytes_under_a_digest_that_is_not_theirs_are_refused() {
    let digest = ModuleDigest::of(b"something else");
    let runtime = runtime(Limits::default(), None);
    let error = runtime.prepare(digest, wasm("hostile")).await.unwrap_err();
    assert!(
        matches!(error, CompileError::WrongDigest { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_component_above_the_limit_is_refused_unseen() {
    let limits = limits(|limits| limits.module_bytes = 1_000);
    let error = try_prepare(&wasm("hostile"), limits, None)
        .await
        .unwrap_err();
    assert!(
        matches!(error, CompileError::TooLarge { limit_bytes: 1_000 }),
        "{error:?}"
    );
}

/// A core module in a component, around the text of a module's fields.
fn component_of(fields: &str) -> Vec<u8> {
    wat::parse_str(format!("(component (core module {fields}))")).unwrap()
}

#[tokio::test]
async fn a_structure_that_would_take_a_compiler_down_is_refused_before_one_sees_it() {
    let locals = "(local i64)".repeat(20_000);
    let deep = format!("{}{}", "(component ".repeat(20), ")".repeat(20));
    let types = "(core module)".repeat(600);
    let bombs = [
        (
            component_of(&format!("(func {locals})")),
            "local variables in one function",
        ),
        (
            component_of(&format!("(func {})", "nop ".repeat(1_100_000))),
            "bytes in one function",
        ),
        (wat::parse_str(deep).unwrap(), "levels of nested components"),
        (
            wat::parse_str(format!("(component {types})")).unwrap(),
            "core modules",
        ),
    ];
    for (bomb, expected) in bombs {
        let error = prepare(&bomb).await.unwrap_err();
        assert!(
            matches!(error, CompileError::TooComplex { what, .. } if what == expected),
            "{expected}: {error:?}"
        );
    }
}

#[tokio::test]
async fn compiling_that_takes_too_much_time_or_memory_is_stopped() {
    let bomb = compile_bomb();
    let impatient = limits(|limits| {
        limits.compile_time = Duration::from_secs(1);
        limits.compile_time_per_mib = Duration::ZERO;
        limits.compile_memory_bytes = 8 << 30;
    });
    // On a machine without a second to spare the answer is to try again.
    let error = loop {
        let prepared = try_prepare(&bomb, impatient.clone(), None).await;
        match prepared.unwrap_err() {
            CompileError::Unavailable(_) => {}
            error => break error,
        }
    };
    assert!(matches!(error, CompileError::Timeout { .. }), "{error:?}");
    // It will never be any different: nobody is told to try again.
    assert!(!error.is_retryable());

    let stingy = limits(|limits| {
        // Long enough for a machine that is busy.
        limits.compile_time = Duration::from_mins(10);
        limits.compile_memory_bytes = 400 << 20;
    });
    let error = try_prepare(&bomb, stingy.clone(), None).await.unwrap_err();
    assert!(
        matches!(error, CompileError::OutOfMemory { .. }),
        "{error:?}"
    );
    // It is the bomb that does not fit, not compiling.
    assert_works(&try_prepare(&wasm("hostile"), stingy, None).await.unwrap());
}

/// Compiles a sound component with `program` as the compiler, and returns the error.
async fn refused_by(program: &str) -> CompileError {
    let options = RuntimeOptions {
        program: PathBuf::from(program),
        ..RuntimeOptions::default()
    };
    let runtime = Runtime::new(Limits::default(), options).unwrap();
    let wasm = wasm("hostile");
    runtime
        .prepare(ModuleDigest::of(&wasm), wasm)
        .await
        .unwrap_err()
}

#[tokio::test]
async fn a_compiler_that_cannot_be_run_is_not_the_components_fault() {
    let error = refused_by("/nonexistent").await;
    assert!(matches!(error, CompileError::Unavailable(_)), "{error:?}");
    assert!(error.is_retryable());
}

#[tokio::test]
async fn a_compiler_that_crashes_is_not_the_components_fault_either() {
    let error = refused_by("/bin/false").await;
    assert!(matches!(error, CompileError::Crashed), "{error:?}");
    // Nor will it do better the next time.
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn uploads_that_come_at_once_all_succeed_one_after_the_other() {
    let runtime = runtime(Limits::default(), None);
    let wasm = wasm("hostile");
    let digest = ModuleDigest::of(&wasm);
    let prepared = futures::future::join_all((0..3).map(|_| runtime.prepare(digest, wasm.clone())));
    for module in prepared.await {
        assert_works(&module.unwrap());
    }
}

#[tokio::test]
async fn mutated_components_crash_nothing() {
    let runtime = runtime(Limits::default(), None);
    let mut random = StdRng::seed_from_u64(7);
    let (small, whole) = (
        wat::parse_str(WRONG_TYPES).unwrap(),
        wasm("manifest_not_json"),
    );
    for round in 0..1_000 {
        // Most mutations of the small one reach the compiler; of the whole one, those that are
        // harmless reach a guest.
        let mut wasm = if round % 10 == 0 {
            whole.clone()
        } else {
            small.clone()
        };
        for _ in 0..random.random_range(1..4) {
            let place = random.random_range(0..wasm.len());
            wasm[place] = random.random();
        }
        // Whatever the answer is, there is one.
        if let Ok(module) = runtime.prepare(ModuleDigest::of(&wasm), wasm).await {
            let running = module.clone();
            let _ = runtime
                .run(&module, move || running.instantiate()?.describe())
                .await
                .unwrap();
        }
    }
    assert!(
        runtime
            .prepare(ModuleDigest::of(&whole), whole)
            .await
            .is_ok()
    );
}
