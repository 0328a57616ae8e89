//! The modules that the tests deploy: the examples, and guests that misbehave.

use std::path::PathBuf;
use std::{env, fs};

use serde_json::Value;

/// The decider that most tests use: `Increment {}`, `Decrement {}` (rejected with `at-zero` when
/// there is nothing to take away) and `Reset {}` (without any event when there is nothing to
/// reset).
pub const COUNTER: &str = "counter";

/// The component `<name>.wasm` from the folder that `GAVEL_TEST_MODULES` names.
///
/// # Panics
///
/// When there is none: the message says how to get it.
#[must_use]
pub fn component(name: &str) -> Vec<u8> {
    let folder = env::var_os("GAVEL_TEST_MODULES")
        .expect("GAVEL_TEST_MODULES must name the folder of the built modules; `cargo xtask test` builds them and sets it");
    let path = PathBuf::from(folder).join(format!("{name}.wasm"));
    fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

/// The same component with other bytes, so that it behaves alike and goes by another digest.
///
/// A custom section at the end carries `number`: its id 0, its size, and a name with its length.
#[must_use]
pub fn revision(mut component: Vec<u8>, number: u8) -> Vec<u8> {
    const NAME: &[u8; 8] = b"revision";
    component.extend([0, 10, 8]);
    component.extend(NAME);
    component.push(number);
    component
}

/// A component that does nothing, whatever it is asked, and whose manifest is this.
///
/// # Panics
///
/// When the manifest is longer than the room for it in the component.
#[must_use]
pub fn with_manifest(manifest: &Value) -> Vec<u8> {
    const MARK: &[u8] = b"{the manifest of this module}";
    let mut component = component("manifest_is_data");
    let mut places = component.windows(MARK.len());
    let start = places.position(|bytes| bytes == MARK);
    let start = start.expect("the component has its mark");
    let manifest = format!("{manifest:width$}", width = MARK.len());
    let room = &mut component[start..start + manifest.len()];
    let is_free = room[MARK.len()..].iter().all(|byte| *byte == b' ');
    assert!(is_free, "the manifest is longer than the room for it");
    room.copy_from_slice(manifest.as_bytes());
    component
}
