//! Specifications mean the same natively, in `gavel test` and at the gate: one list of files is run
//! by all three.

use std::panic::catch_unwind;

use gavel::Module;
use gavel_tests::{Backend, CliOutput, Client, Host, Store, component};
use serde_json::{Value, json};
use specimen::Specimen;

use crate::gate::{facts, finding};

/// The sources of the specimen's specifications, in order.
const HOLDS: &str = include_str!("../../specs/holds.yaml");
const FAILS: &str = include_str!("../../specs/fails.yaml");
/// The same of the view; the tests of the SDK run them natively.
const VIEW_HOLDS: &str = include_str!("../../specs/view_holds.yaml");
const VIEW_FAILS: &str = include_str!("../../specs/view_fails.yaml");

fn titles(file: &'static str) -> Vec<&'static str> {
    file.lines()
        .filter_map(|line| line.strip_prefix("- title: "))
        .collect()
}

/// The specifications of the specimen that fail in `cargo test`.
fn fail_natively() -> Vec<String> {
    let specs: Vec<Value> = serde_json::from_str(Specimen::SPECS).unwrap();
    let failing = specs.iter().enumerate().filter(|(index, _)| {
        let index = *index;
        catch_unwind(|| gavel::__private::assert_spec::<Specimen>(index)).is_err()
    });
    failing.map(|(_, spec)| text(&spec["title"])).collect()
}

/// The specifications of a module that fail in `gavel test`, of so many.
fn fail_in_gavel_test(name: &str, all: usize) -> Vec<String> {
    fail_in_gavel_test_with("", name, all)
}

/// The same with settings.
fn fail_in_gavel_test_with(settings: &str, name: &str, all: usize) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("gavel.toml"), settings).unwrap();
    std::fs::write(folder.path().join("specimen.wasm"), component(name)).unwrap();
    let arguments = ["test", "specimen.wasm", "-o", "json"];
    let tested = CliOutput::of(None, folder.path(), &arguments)
        .exits_with(1)
        .json();
    assert_eq!(tested["specs"], json!(all));
    let failures = tested["failures"].as_array().unwrap();
    failures
        .iter()
        .map(|failure| text(&failure["title"]))
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// The report of an activation that the gate refuses.
async fn refusal(client: &Client, decider: &str, wasm: Vec<u8>) -> Value {
    let digest = text(&client.upload(wasm).await.json(201)["digest"]);
    let refused = client.activate(decider, &digest).await;
    refused.problem(422, "gate-refused")["report"].clone()
}

/// The names of the findings, without their common prefix.
fn found(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap();
    let names = findings.iter().map(|finding| text(&finding["name"]));
    names
        .map(|name| name.strip_prefix("specs:").unwrap_or(&name).to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spec_has_one_verdict_natively_in_gavel_test_and_at_the_gate() {
    let expected = titles(FAILS);
    let all = titles(HOLDS).len() + expected.len();
    assert_eq!(fail_natively(), expected);
    assert_eq!(fail_in_gavel_test("specimen", all), expected);

    let store = Store::new(Backend::Sqlite).await;
    let host = Host::start(&store).await;
    let report = refusal(&host.client(), "specimen", component("specimen")).await;

    // One in which the module fails is in the middle of them.
    assert_eq!(found(&report), expected);
    assert_eq!(
        *facts(&report, "specs"),
        json!({ "specs": all, "run": all, "failed": expected.len() })
    );
    let summary = format!("{all} specs run: {} failed.", expected.len());
    assert!(report["summary"].to_string().contains(&summary), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spec_of_a_view_has_one_verdict_in_gavel_test_and_at_the_gate() {
    let expected = titles(VIEW_FAILS);
    let all = titles(VIEW_HOLDS).len() + expected.len();
    assert_eq!(fail_in_gavel_test("view_specimen", all), expected);
    // A view is held to the limits of the host for which it is set up.
    let few_keys = "[views]\nkeys_per_event = 1\n";
    let failed = fail_in_gavel_test_with(few_keys, "view_specimen", all);
    let failed = failed
        .iter()
        .filter(|title| !expected.contains(&title.as_str()));
    let many_keys = ["an event changes the rows of all its keys, each once"];
    assert_eq!(failed.collect::<Vec<_>>(), many_keys);

    let store = Store::new(Backend::Sqlite).await;
    let host = Host::start(&store).await;
    let view = host.client().view("view_specimen");
    let digest = view.upload(component("view_specimen")).await;
    let report = view.activate(&digest, &[]).await["report"].clone();

    let of_specs = found(&report).into_iter();
    // The deciders whose events the view reads are not there.
    let of_specs = of_specs.filter(|name| !name.starts_with("dependents:"));
    assert_eq!(of_specs.collect::<Vec<_>>(), expected);
    assert_eq!(
        *facts(&report, "specs"),
        json!({ "specs": all, "run": all, "failed": expected.len() })
    );
    // What one expects and gets.
    let found = finding(&report, "specs:a row more is one too many");
    assert_eq!(found["details"]["expected"], json!({ "rows": {} }));
    assert_eq!(found["details"]["actual"]["rows"]["spec"]["value"], 5);
}

/// A view that keeps its promises, and a candidate for it that does not keep those.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_active_view_s_specs_are_run_on_a_candidate() {
    let store = Store::new(Backend::Sqlite).await;
    let host = Host::start(&store).await;
    let client = host.client();
    let view = client.view("hostile");
    view.deploy(component("hostile_view")).await;
    let other = view.upload(component("view_plain")).await;

    let refused = view.activate(&other, &[]).await;

    let title = "specs:what is noted is kept";
    let found = finding(&refused["report"], title);
    assert_eq!(found["blocks"], true);
    let summary = text(&found["summary"]);
    assert!(summary.contains("of the active module"), "{summary}");
    let activated = view.activate(&other, &["columns", title]).await;
    assert!(activated["activation"].is_number(), "{activated}");
    // A rollback is not measured by the module that is left behind.
    let path = "/v1/views/hostile/rollback";
    client.post(path, &json!({})).send().await.expect(201);
}

/// The component with other bytes in the place of those that it holds once.
fn patched(name: &str, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut wasm = component(name);
    let mut places = (0..wasm.len()).filter(|at| wasm[*at..].starts_with(from.as_bytes()));
    let (place, None) = (places.next().unwrap(), places.next()) else {
        panic!("{name} holds {from} twice");
    };
    wasm[place..place + to.len()].copy_from_slice(to.as_bytes());
    wasm
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spec_with_a_member_that_nobody_knows_is_refused_at_upload() {
    let store = Store::new(Backend::Sqlite).await;
    let host = Host::start(&store).await;
    let misspelt = patched(
        "specimen",
        r#""message":"this is not what it says""#,
        r#""massage":"this is not what it says""#,
    );

    let refused = host.client().upload(misspelt).await;

    let problem = refused.problem(422, "invalid-module");
    let reasons = problem["reasons"].to_string();
    assert!(reasons.contains("massage` is unknown"), "{reasons}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_active_module_s_specs_are_read_in_the_schema_versions_that_it_means() {
    let store = Store::new(Backend::Sqlite).await;
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy("wallet", component("wallet_v1")).await;
    let next = client.upload(component("wallet_v2")).await.json(201);

    let activated = client.activate("wallet", &text(&next["digest"])).await;

    let report = activated.json(201)["report"].clone();
    assert_eq!(
        *facts(&report, "specs"),
        json!({ "specs": 2, "run": 2, "failed": 0 })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promise_about_an_older_schema_version_is_broken_by_another_state() {
    let store = Store::new(Backend::Sqlite).await;
    let host = Host::start(&store).await;
    let client = host.client();
    let promise = r#"[{"event":"Deposited","data":{"amount":5}}]"#;
    let broken = patched("wallet_v1", promise, &promise.replace('5', "6"));
    let digest = text(&client.upload(broken).await.json(201)["digest"]);
    let title = "specs:a deposit adds to the balance";
    let request = json!({ "digest": digest, "accept": [title] });
    let path = "/v1/deciders/wallet/activations";
    client.post(path, &request).send().await.expect(201);

    let report = refusal(&client, "wallet", component("wallet_v2")).await;

    let summary = text(&finding(&report, title)["summary"]);
    assert!(summary.contains("lead to another state"), "{summary}");
    assert_eq!(found(&report).len(), 1, "{report}");
}
