//! Uploads that are no modules, or none that may run.

use gavel_tests::{COUNTER, Host, Store, component, on_every_store};
use reqwest::Method;
use serde_json::{Value, json};

/// The magic number and version 1 of layer 0: a core module with nothing in it.
const CORE_MODULE: [u8; 8] = [0, b'a', b's', b'm', 1, 0, 0, 0];
/// The magic number and version 13 of layer 1: a component with nothing in it, which therefore
/// exports no world.
const EMPTY_COMPONENT: [u8; 8] = [0, b'a', b's', b'm', 13, 0, 1, 0];

on_every_store! {
    what_is_no_decider_is_refused_with_reasons,
    a_module_that_hangs_while_it_is_looked_at_is_refused,
    an_import_that_is_not_allowed_is_named,
    an_upload_has_to_be_of_the_right_type_and_size,
}

/// Checks that an upload was refused for reasons, and that the host is as it was: it has nothing
/// stored, and takes a good one.
async fn assert_refused(host: &Host, name: &str, wasm: Vec<u8>) -> String {
    let problem = host
        .client()
        .upload(wasm)
        .await
        .problem(422, "invalid-module");
    let reasons = problem["reasons"]
        .as_array()
        .unwrap_or_else(|| panic!("{name} is refused for reasons: {problem}"));
    assert!(
        !reasons.is_empty() && reasons.iter().all(Value::is_string),
        "{name}: {problem}"
    );
    let stored = host.client().get("/v1/modules").send().await.json(200);
    assert_eq!(stored["modules"], json!([]), "{name} is not stored");
    problem["reasons"].to_string()
}

async fn assert_takes_a_good_one(host: &Host) {
    host.client().deploy_example(COUNTER).await;
    host.client()
        .stream(COUNTER, "c-1")
        .increment()
        .await
        .accepted();
}

async fn what_is_no_decider_is_refused_with_reasons(store: Store) {
    let host = Host::start(&store).await;
    let counter = component(COUNTER);
    let mut garbled = counter.clone();
    let middle = garbled.len() / 2;
    garbled[middle..middle + 64].fill(0xff);
    let refused = [
        ("text", b"this is not WebAssembly".to_vec()),
        ("nothing", Vec::new()),
        ("a core module", CORE_MODULE.to_vec()),
        ("a component without the world", EMPTY_COMPONENT.to_vec()),
        ("half a component", counter[..middle].to_vec()),
        ("a garbled component", garbled),
        (
            "a component with a tail",
            [counter.as_slice(), b"tail"].concat(),
        ),
        ("a manifest that is no JSON", component("manifest_not_json")),
        (
            "a manifest of another shape",
            component("manifest_wrong_shape"),
        ),
        (
            "a manifest of two million characters",
            component("manifest_too_large"),
        ),
    ];
    for (name, wasm) in refused {
        assert_refused(&host, name, wasm).await;
    }
    assert_takes_a_good_one(&host).await;
}

async fn a_module_that_hangs_while_it_is_looked_at_is_refused(store: Store) {
    let host = Host::start(&store).await;
    for name in ["loops_at_start", "loops_in_describe"] {
        assert_refused(&host, name, component(name)).await;
    }
    assert_takes_a_good_one(&host).await;
}

async fn an_import_that_is_not_allowed_is_named(store: Store) {
    let host = Host::start(&store).await;
    let reasons = assert_refused(&host, "sockets", component("imports_sockets")).await;
    assert!(reasons.contains("wasi:sockets/"), "{reasons}");
    assert_takes_a_good_one(&host).await;
}

async fn an_upload_has_to_be_of_the_right_type_and_size(store: Store) {
    let host = Host::start_with(&store, &[("GAVEL_SERVER_MODULE_BODY_BYTES", "400000")]).await;
    let upload = |media_type: &str, body: Vec<u8>| {
        host.client()
            .request(Method::POST, "/v1/modules")
            .body(media_type, body)
    };

    upload("application/octet-stream", component(COUNTER))
        .send()
        .await
        .problem(415, "unsupported-media-type");
    upload("application/json", b"{}".to_vec())
        .send()
        .await
        .problem(415, "unsupported-media-type");
    let problem = upload("application/wasm", vec![0; 400_001])
        .send()
        .await
        .problem(413, "too-large");
    assert_eq!(problem["limit_bytes"], 400_000);

    assert_eq!(
        host.client().get("/v1/modules").send().await.json(200)["modules"],
        json!([])
    );
    assert_takes_a_good_one(&host).await;
}
