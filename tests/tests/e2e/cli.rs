//! The `gavel` command line, from the first deployment to the way back.

use std::fs;
use std::path::{Path, PathBuf};

use gavel_tests::{COUNTER, CliOutput, Host, Store, component, on_every_store, revision};
use serde_json::{Value, json};
use tempfile::TempDir;

on_every_store! {
    a_person_deploys_sends_looks_and_goes_back,
    programs_get_what_the_api_answers,
    each_way_to_fail_has_its_exit_code,
    what_the_gate_finds_is_shown_and_can_be_accepted,
}

/// A folder with modules, and a `gavel` that is run in it.
struct Terminal<'a> {
    host: Option<&'a Host>,
    folder: TempDir,
}

impl<'a> Terminal<'a> {
    fn new(host: impl Into<Option<&'a Host>>) -> Self {
        Self {
            host: host.into(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn module(&self, name: &str, wasm: Vec<u8>) -> String {
        let path: PathBuf = self.folder.path().join(name);
        fs::write(&path, wasm).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn gavel(&self, arguments: &[&str]) -> CliOutput {
        CliOutput::of(self.host, self.folder.path(), arguments)
    }
}

async fn a_person_deploys_sends_looks_and_goes_back(store: Store) {
    let host = Host::start(&store).await;
    let terminal = Terminal::new(&host);
    let counter = terminal.module("counter.wasm", component(COUNTER));

    let deployed = terminal
        .gavel(&["deploy", &counter, "-m", "the first"])
        .exits_with(0)
        .stdout();
    assert!(
        !deployed.contains("gavel rollback"),
        "there is nothing to go back to yet: {deployed}"
    );
    let sent = terminal
        .gavel(&["send", COUNTER, "c-1", "Increment"])
        .exits_with(0)
        .stdout();
    assert!(sent.contains("Incremented"), "{sent}");
    terminal
        .gavel(&[
            "send",
            COUNTER,
            "c-1",
            "Increment",
            "{}",
            "--expect",
            "1",
            "--key",
            "k",
        ])
        .exits_with(0);
    let state = terminal
        .gavel(&["state", COUNTER, "c-1"])
        .exits_with(0)
        .stdout();
    assert!(
        state.contains("version 2") && state.contains("\"value\": 2"),
        "{state}"
    );
    let state = terminal
        .gavel(&["state", COUNTER, "c-1", "--version", "1"])
        .exits_with(0)
        .stdout();
    assert!(state.contains("\"value\": 1"), "{state}");
    crate::log::read(&host.client(), "", 10, 2).await;
    let events = terminal
        .gavel(&["events", COUNTER, "c-1"])
        .exits_with(0)
        .stdout();
    assert_eq!(events.matches("Incremented").count(), 2, "{events}");

    let second = terminal.module("second.wasm", revision(component(COUNTER), 2));
    let deployed = terminal.gavel(&["deploy", &second]).exits_with(0).stdout();
    assert!(
        deployed.contains("gavel rollback counter"),
        "it says how to go back: {deployed}"
    );
    let modules = terminal.gavel(&["modules"]).exits_with(0).stdout();
    assert_eq!(modules.matches("sha256:").count(), 2, "{modules}");
    terminal.gavel(&["rollback", COUNTER]).exits_with(0);
    let decider = host
        .client()
        .get("/v1/deciders/counter")
        .send()
        .await
        .json(200);
    assert_eq!(decider["active"]["activation"], 3);
    assert_eq!(decider["activations"][2]["message"], "the first");
}

async fn programs_get_what_the_api_answers(store: Store) {
    let host = Host::start(&store).await;
    let terminal = Terminal::new(&host);
    let counter = terminal.module("counter.wasm", component(COUNTER));
    let gavel = |arguments: &[&str]| terminal.gavel(&[arguments, &["-o", "json"]].concat());

    let activation = gavel(&["deploy", &counter]).exits_with(0).json();
    assert_eq!(
        (&activation["activation"], &activation["report"]["passed"]),
        (&json!(1), &json!(true))
    );
    let sent = gavel(&["send", COUNTER, "c-1", "Increment"])
        .exits_with(0)
        .json();
    let stream = host.client().stream(COUNTER, "c-1");
    assert_eq!(sent["events"], json!(stream.history_json().await));
    let state = gavel(&["state", COUNTER, "c-1"]).exits_with(0).json();
    assert_eq!(state, stream.state().send().await.json(200));
    let rejected = gavel(&["send", COUNTER, "c-2", "Decrement"])
        .exits_with(3)
        .json();
    assert_eq!(
        (&rejected["code"], &rejected["rejection"]["code"]),
        (&json!("command-rejected"), &json!("at-zero"))
    );
    let rehearsed = gavel(&["send", COUNTER, "c-1", "Increment", "--dry-run"])
        .exits_with(0)
        .json();
    assert_eq!(
        (&rehearsed["version"], stream.history().await.len()),
        (&json!(2), 1)
    );
    let back = gavel(&["rollback", COUNTER]).exits_with(4);
    assert_eq!(back.stdout().lines().count().max(1), 1);
}

async fn each_way_to_fail_has_its_exit_code(store: Store) {
    let host = Host::start(&store).await;
    let terminal = Terminal::new(&host);
    let counter = terminal.module("counter.wasm", component(COUNTER));
    let text = terminal.module("text.wasm", b"no module".to_vec());
    let sockets = terminal.module("sockets.wasm", component("imports_sockets"));
    terminal.gavel(&["deploy", &counter]).exits_with(0);
    terminal
        .gavel(&["send", COUNTER, "c-1", "Increment"])
        .exits_with(0);

    // An error.
    terminal
        .gavel(&["send", "nobody", "1", "Increment"])
        .exits_with(1);
    terminal.gavel(&["state", COUNTER, "c-2"]).exits_with(1);
    terminal
        .gavel(&["deploy", "/no/such/file.wasm"])
        .exits_with(1);
    terminal
        .gavel(&[
            "send",
            COUNTER,
            "1",
            "Increment",
            "--server",
            "http://127.0.0.1:1",
        ])
        .exits_with(1);
    // A usage that makes no sense.
    terminal.gavel(&["sned"]).exits_with(2);
    terminal
        .gavel(&["send", COUNTER, "c-1", "Increment", "{no json"])
        .exits_with(2);
    terminal
        .gavel(&["serve", "--listen", "0.0.0.0:0"])
        .exits_with(2);
    // A refusal.
    let rejected = terminal
        .gavel(&["send", COUNTER, "c-2", "Decrement"])
        .exits_with(3);
    assert!(
        rejected.stdout().contains("at-zero"),
        "{}",
        rejected.stdout()
    );
    terminal.gavel(&["deploy", &text]).exits_with(3);
    terminal.gavel(&["deploy", &sockets]).exits_with(3);
    // A conflict.
    let conflict = terminal
        .gavel(&["send", COUNTER, "c-1", "Increment", "--expect", "0"])
        .exits_with(4);
    assert!(conflict.stderr().contains('1'), "{}", conflict.stderr());
    // Help is no failure.
    assert!(
        terminal
            .gavel(&["send", "--help"])
            .exits_with(0)
            .stdout()
            .contains("Example")
    );
}

async fn what_the_gate_finds_is_shown_and_can_be_accepted(store: Store) {
    let host = Host::start(&store).await;
    let terminal = Terminal::new(&host);
    let counter = terminal.module("counter.wasm", component(COUNTER));
    let account = terminal.module("account.wasm", component("account"));
    terminal.gavel(&["deploy", &counter]).exits_with(0);
    // An account keeps none of the promises of a counter.
    let deploy = ["deploy", &account, "--decider", COUNTER];

    let refused = terminal.gavel(&deploy).exits_with(3);
    assert!(refused.stdout().contains("specs:"), "{}", refused.stdout());
    terminal
        .gavel(&[&deploy[..], &["--yes"]].concat())
        .exits_with(0);
    // Going back is not held to what only the module that is left behind has promised.
    terminal.gavel(&["rollback", COUNTER]).exits_with(0);
}

#[test]
fn specs_run_without_a_host() {
    let terminal = Terminal::new(None);
    let counter = terminal.module("counter.wasm", component(COUNTER));
    let account = terminal.module("account.wasm", component("account"));

    let tested = terminal
        .gavel(&["test", &counter, &account])
        .exits_with(0)
        .stdout();

    assert!(
        tested.contains("counter.wasm: 5 of 5 specs hold"),
        "{tested}"
    );
    assert!(
        tested.contains("account.wasm: 9 of 9 specs hold"),
        "{tested}"
    );
    let json = terminal
        .gavel(&["test", &counter, "-o", "json"])
        .exits_with(0)
        .json();
    assert!(json.is_object() || json.is_array());
}

#[test]
fn a_module_is_inspected_without_a_host() {
    let terminal = Terminal::new(None);
    let counter = terminal.module("counter.wasm", component(COUNTER));

    let inspected = terminal
        .gavel(&["inspect", &counter])
        .exits_with(0)
        .stdout();
    for word in ["counter", "Increment", "Incremented", "wasi:"] {
        assert!(inspected.contains(word), "it shows {word}: {inspected}");
    }
    let json: Value = terminal
        .gavel(&["inspect", &counter, "-o", "json"])
        .exits_with(0)
        .json();
    assert_eq!(json["name"], COUNTER);
    assert_eq!(json["refused_imports"], json!([]));

    // What it exports, though its manifest leaves out all that may be left out.
    let interfaces = terminal.module("interfaces.wasm", component("interfaces"));
    let inspected = terminal.gavel(&["inspect", &interfaces]).exits_with(0);
    let exports = "exports decider, boundary, tags, upcast of gavel:module@0.1.0";
    assert!(
        inspected.stdout().contains(exports),
        "{}",
        inspected.stdout()
    );

    let process = terminal.module("process.wasm", component("hostile_process"));
    let inspected = terminal
        .gavel(&["inspect", &process])
        .exits_with(0)
        .stdout();
    let links = "reads\n  actor/Acted v1\n\nsends\n  actor/Act\n";
    let exports = "exports process, sources of gavel:module@0.1.0";
    assert!(
        inspected.contains(links) && inspected.contains(exports),
        "{inspected}"
    );

    // What no host takes can be looked at all the same.
    let foreign = imports_something_else(component(COUNTER));
    let foreign = terminal.module("foreign.wasm", foreign);
    let marked = |line: &str| line.contains("wasi:evil/out@") && line.contains("REFUSED");
    let said = terminal.gavel(&["inspect", &foreign]).exits_with(0);
    assert!(said.stdout().lines().any(marked), "{}", said.stdout());
    let json: Value = terminal
        .gavel(&["inspect", &foreign, "-o", "json"])
        .exits_with(0)
        .json();
    let refused = json["refused_imports"].as_array().unwrap();
    assert_eq!(refused.len(), 1, "{json}");
    assert!(json["imports"].as_array().unwrap().contains(&refused[0]));
}

/// The same component with an import that there is no stand-in for, in place of the one that a
/// panic calls.
fn imports_something_else(mut component: Vec<u8>) -> Vec<u8> {
    let (known, other) = (b"wasi:cli/exit@", b"wasi:evil/out@");
    for start in 0..component.len() - known.len() {
        if component[start..].starts_with(known) {
            component[start..start + other.len()].copy_from_slice(other);
        }
    }
    component
}

#[test]
fn a_setting_that_is_unknown_stops_the_start_and_is_named() {
    let terminal = Terminal::new(None);
    let configured = |text: &str| {
        fs::write(Path::new(terminal.folder.path()).join("gavel.toml"), text).unwrap();
        terminal
            .gavel(&["serve", "--listen", "127.0.0.1:0", "--store", "memory:"])
            .exits_with(2)
            .stderr()
    };

    assert!(configured("[server]\nlissten = \"127.0.0.1:0\"\n").contains("lissten"));
    assert!(configured("[sandbox]\nmemory_bytes = \"much\"\n").contains("memory_bytes"));
}
