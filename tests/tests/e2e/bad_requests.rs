//! Requests that make no sense: each gets a reason, changes nothing, and costs no other request
//! anything.

use gavel_tests::{Answer, COUNTER, Client, Host, Store, on_every_store};
use reqwest::Method;
use serde_json::{Value, json};

on_every_store! {
    json_that_is_malformed_is_refused_and_pointed_at,
    a_command_that_is_unknown_is_told_the_nearest,
    data_that_breaks_its_schema_is_pointed_at,
    a_body_that_is_too_large_is_refused,
    a_body_of_another_type_is_refused,
    headers_and_parameters_that_make_no_sense_are_refused,
    metadata_has_bounds,
    ids_that_only_hosts_derive_are_refused,
    paths_and_methods_that_are_none_are_told,
}

async fn post(client: &Client, body: impl Into<Vec<u8>>) -> Answer {
    let path = "/v1/deciders/account/acc-1/commands";
    client
        .request(Method::POST, path)
        .body("application/json", body.into())
        .send()
        .await
}

/// A host with an account, on which nothing has happened yet.
async fn start(store: &Store) -> Host {
    let host = Host::start(store).await;
    host.client().deploy_example("account").await;
    host
}

/// Checks that nothing is stored, and that a good command is taken on another stream and on the
/// same.
async fn assert_unharmed(client: &Client) {
    client.stream("account", "acc-1").assert_absent().await;
    for id in ["acc-2", "acc-1"] {
        let opened = client
            .stream("account", id)
            .send("Open", json!({ "owner": "ann" }))
            .await
            .accepted();
        assert_eq!(opened.version, 1);
    }
}

#[track_caller]
fn pointers(problem: &Value) -> Vec<&str> {
    let errors = problem["errors"]
        .as_array()
        .unwrap_or_else(|| panic!("the problem points at errors: {problem}"));
    errors
        .iter()
        .map(|error| {
            error["pointer"]
                .as_str()
                .unwrap_or_else(|| panic!("{problem}"))
        })
        .collect()
}

async fn json_that_is_malformed_is_refused_and_pointed_at(store: Store) {
    let host = start(&store).await;
    let client = host.client();

    let deep = format!(
        r#"{{"command":"Open","data":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let malformed = [
        "",
        "{",
        "[]",
        "null",
        r#"{"command":"Open","data":{"owner":"ann"}} and more"#,
        r#"{"command":"Open","command":"Close"}"#,
        r#"{"data":{"owner":"ann"}}"#,
        r#"{"command":"Open","data":{"owner":1e400}}"#,
        r#"{"command":"Open","data":{"owner":"\ud800"}}"#,
        deep.as_str(),
    ];
    for body in malformed {
        let problem = post(&client, body).await.problem(400, "malformed-request");
        assert!(!pointers(&problem).is_empty());
    }
    post(&client, b"{\"command\":\"\xff\"}")
        .await
        .problem(400, "malformed-request");
    let problem = post(&client, r#"{"command":7}"#)
        .await
        .problem(400, "malformed-request");
    assert_eq!(pointers(&problem), ["/command"]);
    let problem = post(&client, r#"{"command":"Open","metadata":{"a/b":1}}"#)
        .await
        .problem(400, "malformed-request");
    assert_eq!(pointers(&problem), ["/metadata/a~1b"]);

    assert_unharmed(&client).await;
}

async fn a_command_that_is_unknown_is_told_the_nearest(store: Store) {
    let host = start(&store).await;
    let account = host.client().stream("account", "acc-1");

    let problem = account
        .send("Opne", json!({ "owner": "ann" }))
        .await
        .problem(404, "command-unknown");
    assert_eq!(problem["did_you_mean"], "Open");
    let problem = account
        .send("open", json!({ "owner": "ann" }))
        .await
        .problem(404, "command-unknown");
    assert_eq!(problem["did_you_mean"], "Open");
    let problem = account
        .send("LaunchTheRocket", json!({}))
        .await
        .problem(404, "command-unknown");
    assert_eq!(problem["did_you_mean"], Value::Null);

    assert_unharmed(&host.client()).await;
}

async fn data_that_breaks_its_schema_is_pointed_at(store: Store) {
    let host = start(&store).await;
    let account = host.client().stream("account", "acc-1");

    let breaking = [
        ("Open", json!({ "owner": 7 }), "/data/owner"),
        ("Open", json!({}), "/data"),
        ("Open", json!([]), "/data"),
        ("Open", json!("ann"), "/data"),
        ("Deposit", json!({ "amount": -1 }), "/data/amount"),
        ("Deposit", json!({ "amount": 1.5 }), "/data/amount"),
        ("Deposit", json!({ "amount": "5" }), "/data/amount"),
    ];
    for (command, data, pointer) in breaking {
        let problem = account
            .send(command, data.clone())
            .await
            .problem(422, "invalid-command-data");
        assert_eq!(pointers(&problem), [pointer], "{command} {data}: {problem}");
    }

    assert_unharmed(&host.client()).await;
}

async fn a_body_that_is_too_large_is_refused(store: Store) {
    let host = start(&store).await;
    let account = host.client().stream("account", "acc-1");

    let problem = account
        .send("Open", json!({ "owner": "x".repeat(256 * 1024) }))
        .await
        .problem(413, "too-large");
    assert_eq!(problem["limit_bytes"], 256 * 1024);
    // Without a length announced, it is found out on the way.
    let chunks =
        futures::stream::iter((0..40).map(|_| Ok::<_, std::io::Error>("x".repeat(10_000))));
    let request = host
        .client()
        .request(Method::POST, "/v1/deciders/account/acc-1/commands");
    let answer = request
        .body("application/json", reqwest::Body::wrap_stream(chunks))
        .send()
        .await;
    answer.problem(413, "too-large");

    assert_unharmed(&host.client()).await;
    // What just fits is taken.
    host.client().deploy_example("restaurant").await;
    let name = "x".repeat(255 * 1024);
    let menu = json!({ "menu_id": "m-1", "items": [], "cuisine": "Italian" });
    let create = json!({ "identifier": "r-1", "name": name, "menu": menu });
    let created = host
        .client()
        .stream("restaurant", "r-1")
        .send("CreateRestaurant", create)
        .await
        .accepted();
    assert_eq!(created.events[0].data["name"], name);
}

async fn a_body_of_another_type_is_refused(store: Store) {
    let host = start(&store).await;
    let body = r#"{"command":"Open","data":{"owner":"ann"}}"#;
    let request = || {
        host.client()
            .request(Method::POST, "/v1/deciders/account/acc-1/commands")
    };

    request()
        .body("text/plain", body)
        .send()
        .await
        .problem(415, "unsupported-media-type");
    request()
        .body("application/x-www-form-urlencoded", body)
        .send()
        .await
        .problem(415, "unsupported-media-type");

    assert_unharmed(&host.client()).await;
}

async fn headers_and_parameters_that_make_no_sense_are_refused(store: Store) {
    let host = start(&store).await;
    let open = || {
        host.client()
            .stream("account", "acc-1")
            .command("Open", json!({ "owner": "ann" }))
    };

    for tag in ["1", "\"1\", \"2\"", "\"1"] {
        let answer = open().header("If-Match", tag).send().await;
        answer.problem(400, "malformed-request");
    }
    for tag in [
        "W/\"1\"",
        "\"x\"",
        "*",
        "\"-1\"",
        "\"99999999999999999999\"",
    ] {
        let answer = open().header("If-Match", tag).send().await;
        answer.problem(412, "precondition-failed");
    }
    open()
        .header("If-None-Match", "\"1\"")
        .send()
        .await
        .problem(400, "malformed-request");
    open()
        .if_new()
        .if_version(1)
        .send()
        .await
        .problem(400, "malformed-request");
    for (name, value) in [
        ("dry_run", "maybe"),
        ("dryrun", "true"),
        ("return", "everything"),
    ] {
        let problem = open()
            .query(name, value)
            .send()
            .await
            .problem(400, "malformed-request");
        assert!(
            !problem["errors"].as_array().unwrap().is_empty(),
            "{problem}"
        );
    }
    // Unknown members are refused: a mistyped `expected_version` must not become a command without
    // one.
    open()
        .with("expect_version", json!(0))
        .send()
        .await
        .problem(400, "malformed-request");

    assert_unharmed(&host.client()).await;
}

async fn metadata_has_bounds(store: Store) {
    let host = start(&store).await;
    let open = |metadata: Value| {
        host.client()
            .stream("account", "acc-1")
            .command("Open", json!({ "owner": "ann" }))
            .with("metadata", metadata)
    };
    let entries = |count: usize| {
        (0..count)
            .map(|key| (format!("key-{key}"), json!("value")))
            .collect::<serde_json::Map<_, _>>()
    };

    open(json!(entries(17)))
        .send()
        .await
        .problem(400, "malformed-request");
    open(json!({ "key": "x".repeat(1025) }))
        .send()
        .await
        .problem(400, "malformed-request");
    open(json!({ "key": 7 }))
        .send()
        .await
        .problem(400, "malformed-request");
    open(json!({ "actor": "somebody else" }))
        .send()
        .await
        .problem(400, "malformed-request");
    for key in ["gavel-process", "gavel-"] {
        let answer = open(json!({ key: "forged" })).send().await;
        let problem = answer.problem(400, "malformed-request");
        let said = problem["detail"].as_str().unwrap_or_default();
        assert!(said.contains("is set by the host"), "{problem}");
    }
    open(json!({ "key": "nul \u{0}" }))
        .send()
        .await
        .problem(400, "malformed-request");

    assert_unharmed(&host.client()).await;
    let most = host
        .client()
        .stream("account", "acc-3")
        .command("Open", json!({ "owner": "ann" }));
    let mut metadata = entries(15);
    metadata.insert("longest".to_owned(), json!("x".repeat(1024)));
    let answer = most
        .with("metadata", json!(metadata))
        .send()
        .await
        .accepted();
    assert_eq!(answer.events[0].metadata["longest"].len(), 1024);
}

async fn ids_that_only_hosts_derive_are_refused(store: Store) {
    const DERIVED: &str = "5f0e8c5b-54a1-8c0f-9d55-1f6e3a7b2c90";
    let host = start(&store).await;
    let client = host.client();
    let account = client.stream("account", "acc-1");
    let open = || account.command("Open", json!({ "owner": "ann" }));
    let events = json!([{ "event": "Opened", "event_id": DERIVED, "data": { "owner": "ann" } }]);
    let batch = json!({ "commands": [{
        "decider": "account", "id": "acc-1", "command": "Open", "data": { "owner": "ann" }, "command_id": DERIVED,
    }] });
    for answer in [
        open().with("command_id", json!(DERIVED)).send().await,
        open().key(DERIVED).send().await,
        account.append(0, &events).send().await,
        client.post("/v1/commands", &batch).send().await,
    ] {
        let problem = answer.problem(400, "malformed-request");
        assert!(problem.to_string().contains("version 8"), "{problem}");
    }
    assert_unharmed(&client).await;
}

async fn paths_and_methods_that_are_none_are_told(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();

    for path in [
        "/",
        "/v1",
        "/v1/nothing",
        "/v2/modules",
        "/v1/deciders/counter/c-1/nothing",
    ] {
        assert_eq!(
            client.get(path).send().await.problem(404, "not-found")["code"],
            "not-found"
        );
    }
    let answer = client.request(Method::PATCH, "/v1/modules").send().await;
    answer.problem(405, "method-not-allowed");
    assert!(
        answer
            .header("allow")
            .is_some_and(|allow| allow.contains("POST"))
    );
    client
        .get("/v1/deciders/no%20decider")
        .send()
        .await
        .problem(400, "malformed-request");
    client
        .stream(COUNTER, "c-1")
        .increment()
        .await
        .problem(404, "decider-not-found");
}
