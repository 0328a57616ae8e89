//! The access to a host: foreign web pages have none, nor have clients whose token was removed.

use std::env;

use gavel_tests::{
    COUNTER, CliOutput, Client, Host, LIMIT, Store, component, eventually, idle_compiler,
    on_every_store, revision,
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

on_every_store! {
    a_foreign_web_page_cannot_operate_a_host,
    a_host_reads_its_tokens_again_on_sighup_but_never_opens_to_all,
    changes_and_wrong_credentials_are_in_the_log_with_who_it_was,
    whoever_hangs_up_changes_nothing_unseen,
    a_token_knows_of_the_modules_of_its_namespaces_and_its_own_only,
    consumers_are_bounded_and_leave_nothing_behind,
    every_list_comes_in_pages,
}

/// The origin of a page that may use the API.
const ALLOWED: &str = "https://ui.example";

async fn a_foreign_web_page_cannot_operate_a_host(store: Store) {
    let settings = [("GAVEL_SERVER_CORS_ORIGINS", ALLOWED)];
    let host = Host::start_with(&store, &settings).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    client
        .deploy(COUNTER, revision(component(COUNTER), 2))
        .await;
    let consumer = client.consumer("mailer");
    consumer.put(json!({})).await.expect(201);
    let before = operated(&client).await;

    // What a browser sends for a page without asking first: no body, no header of the page's own.
    let pause = "/v1/consumers/mailer/pause";
    let rollback = "/v1/deciders/counter/rollback";
    let deactivate = "/v1/deciders/counter/deactivations";
    let together = "/v1/activations";
    for (name, value) in [
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Host", "evil.example"),
    ] {
        for path in [pause, rollback, deactivate, together] {
            let request = client.request(Method::POST, path).header(name, value);
            request.send().await.problem(403, "forbidden");
        }
    }
    assert_eq!(operated(&client).await, before);

    let of_page = |origin| {
        let request = client.request(Method::POST, pause);
        request.header("Origin", origin).send()
    };
    of_page(host.address()).await.expect(200);
    let answer = of_page(ALLOWED).await;
    let allowed = answer.expect(200).header("Access-Control-Allow-Origin");
    assert_eq!(allowed, Some(ALLOWED));
    assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"));
    for path in [rollback, deactivate] {
        let request = client.request(Method::POST, path);
        request.send().await.expect(201);
    }
}

/// The state that a page would change.
async fn operated(client: &Client) -> (Value, Value) {
    let decider = client.get("/v1/deciders/counter").send().await.json(200);
    (decider, client.consumer("mailer").report().await)
}

async fn a_host_reads_its_tokens_again_on_sighup_but_never_opens_to_all(store: Store) {
    let (old, new) = (Holder::new("old", "read"), Holder::new("new", "read"));
    let host = Host::start_configured(&store, &old.lines).await;
    let status = async |holder: &Holder| {
        let client = host.client().with_token(&holder.token);
        client.get("/v1/info").send().await.status()
    };
    assert_eq!((status(&old).await, status(&new).await), (200, 401));
    let client = host.client().with_token(&old.token);
    let follow = client.get("/v1/events?follow=true");
    let followed = follow.header("Accept", "application/x-ndjson").open().await;

    host.configure(&new.lines);
    eventually("the new token is let in", LIMIT, async || {
        (status(&new).await == 200).then_some(())
    })
    .await;
    assert_eq!(status(&old).await, 401);
    let rest = timeout(LIMIT, followed.bytes()).await;
    assert!(rest.is_ok(), "what its reader may not see any more ends");

    for (text, said) in [
        ("", "no token is left"),
        ("[auth]\ntokens = 1", "auth.tokens"),
        ("[[auth.tok", "line 1"),
    ] {
        host.configure(text);
        eventually("the host says what is wrong", LIMIT, async || {
            host.log().contains(said).then_some(())
        })
        .await;
        assert_eq!((status(&new).await, status(&old).await), (200, 401));
        host.client().get("/v1/info").send().await.expect(401);
    }
}

async fn changes_and_wrong_credentials_are_in_the_log_with_who_it_was(store: Store) {
    let boss = Holder::new("boss", "admin");
    let host = Host::start_configured(&store, &boss.lines).await;
    let stranger = host.client().with_token("guessed");
    stranger.get("/v1/info").send().await.expect(401);
    let east = host.client().with_token(&boss.token).in_namespace("east");
    east.deploy_example(COUNTER).await;
    east.consumer("mailer").put(json!({})).await.expect(201);
    let path = "/v1/consumers/mailer";
    let pause = east.request(Method::POST, &format!("{path}/pause"));
    pause.send().await.expect(200);
    east.delete(path).send().await.expect(204);
    east.delete(path).send().await.expect(404);

    let log = host.log();
    let lines = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    let line = |text: &str| {
        log.lines()
            .find(|line| line.contains(text))
            .unwrap_or_default()
    };
    let wrong = line("wrong credentials");
    assert!(
        wrong.contains("WARN") && wrong.contains("127.0.0.1:"),
        "{log}"
    );
    for changed in [
        "/v1/modules/sha256:",
        "/v1/deciders/counter/activations",
        path,
    ] {
        let line = line(changed);
        assert!(
            line.contains("INFO") && line.contains("boss") && line.contains("east"),
            "{log}"
        );
    }
    assert_eq!(lines(&format!("{path}/pause")), 1, "{log}");
    assert_eq!(lines("DELETE"), 1, "{log}");
    assert_eq!(lines("guessed"), 0, "{log}");
}

async fn whoever_hangs_up_changes_nothing_unseen(store: Store) {
    let boss = Holder::new("boss", "admin");
    let host = Host::start_configured(&store, &boss.lines).await;
    let client = host.client().with_token(&boss.token);
    let address = host.address().strip_prefix("http://").unwrap();
    for number in 0..60 {
        let head = format!(
            "PUT /v1/consumers/c{number:02} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}",
            boss.token
        );
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(head.as_bytes()).await.unwrap();
        // Sooner or later, before or after the change is made.
        for _ in 0..number % 6 {
            client.get("/livez").send().await.expect(200);
        }
    }
    let consumers = client.get("/v1/consumers").send().await.json(200);
    let consumers = consumers["consumers"].as_array().unwrap();
    eventually("each change is in the log", LIMIT, async || {
        let log = host.log();
        let is_told = |consumer: &Value| {
            let path = format!("/v1/consumers/{}", consumer["name"].as_str().unwrap());
            let mut lines = log.lines();
            lines.any(|line| line.contains("boss") && line.contains(&path))
        };
        consumers.iter().all(is_told).then_some(())
    })
    .await;
}

async fn a_token_knows_of_the_modules_of_its_namespaces_and_its_own_only(store: Store) {
    let boss = Holder::new("boss", "admin");
    let east = Holder::new("east", "admin");
    let lines = format!("{}{}namespaces = ['east']\n", boss.lines, east.lines);
    let host = Host::start_configured(&store, &lines).await;
    let boss = host.client().with_token(&boss.token).in_namespace("west");
    let east = host.client().with_token(&east.token).in_namespace("east");
    let foreign = boss.deploy_example(COUNTER).await;
    boss.stream(COUNTER, "c-1").increment().await.accepted();

    let own = revision(component(COUNTER), 2);
    let own = east.deploy(COUNTER, own).await;
    east.stream(COUNTER, "c-1").increment().await.accepted();
    let listed = async |client: &Client| {
        let modules = client.get("/v1/modules").send().await.json(200);
        let modules = modules["modules"].as_array().unwrap().clone();
        let digests = modules.iter().map(|module| module["digest"].clone());
        digests.collect::<Vec<_>>()
    };
    assert_eq!(listed(&east).await, [json!(own)]);
    assert_eq!(listed(&boss).await, [json!(own), json!(foreign)]);
    let path = format!("/v1/modules/{foreign}");
    let body = json!({ "digest": foreign });
    for request in [
        east.get(&path),
        east.get(&format!("{path}/wasm")),
        east.delete(&path),
        east.post("/v1/deciders/counter/activations", &body),
        east.post("/v1/deciders/counter/rehearsals", &body),
        east.stream(COUNTER, "c-1")
            .state()
            .query("module", &foreign),
    ] {
        request.send().await.problem(404, "module-not-found");
    }
    boss.get(&path).send().await.expect(200);

    // Whoever has the bytes has nothing to learn.
    east.upload(component(COUNTER)).await.expect(200);
    east.get(&path).send().await.expect(200);
    east.activate(COUNTER, &foreign).await.expect(201);
}

async fn consumers_are_bounded_and_leave_nothing_behind(store: Store) {
    let few = [("GAVEL_CONSUMERS_PER_NAMESPACE", "2")];
    let host = Host::start_with(&store, &few).await;
    let client = host.client();
    for name in ["first", "second"] {
        client.consumer(name).put(json!({})).await.expect(201);
    }
    let third = client.consumer("third");
    let refused = third.put(json!({})).await;
    let refused = refused.problem(422, "too-many-consumers");
    assert_eq!(refused["limit"], 2);
    client.consumer("first").put(json!({})).await.expect(200);
    let east = client.in_namespace("east");
    east.consumer("first").put(json!({})).await.expect(201);

    let shown = async |id: &str| {
        let metrics = client.get("/metrics").send().await.expect(200).text();
        metrics.matches(&format!("consumer=\"{id}\"")).count()
    };
    eventually("metrics show all consumers", LIMIT, async || {
        (shown("second").await == 5 && shown("first").await == 10).then_some(())
    })
    .await;
    client.consumer("second").delete().await.expect(204);
    eventually("metrics go with their consumer", LIMIT, async || {
        (shown("second").await == 0).then_some(())
    })
    .await;
    assert_eq!(shown("first").await, 10);
    third.put(json!({})).await.expect(201);
}

/// A token that `gavel token` has made, and its lines for `gavel.toml`.
pub(super) struct Holder {
    pub(super) token: String,
    pub(super) lines: String,
}

impl Holder {
    pub(super) fn new(name: &str, scope: &str) -> Self {
        let arguments = ["token", name, "--scope", scope];
        let made = CliOutput::of(None, &env::temp_dir(), &arguments).exits_with(0);
        Self {
            token: made.stdout().trim().to_owned(),
            lines: made.stderr(),
        }
    }
}

async fn every_list_comes_in_pages(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    for number in 1..=3 {
        let module = revision(component(COUNTER), number);
        let digest = client.upload(module).await.json(201)["digest"].clone();
        let digest = digest.as_str().unwrap();
        client.activate(COUNTER, digest).await.expect(201);
        let other = format!("counter-{number}");
        client.activate(&other, digest).await.expect(201);
        let consumer = client.consumer(&format!("c-{number}"));
        consumer.put(json!({})).await.expect(201);
    }
    for (path, list, key, count) in [
        ("/v1/modules", "modules", "/digest", 3),
        ("/v1/consumers", "consumers", "/name", 3),
        ("/v1/deciders", "deciders", "/decider", 4),
        ("/v1/deciders/counter", "activations", "/activation", 3),
    ] {
        let whole = client.get(path).send().await.json(200);
        assert_eq!(whole["next"], Value::Null, "{path}: {whole}");
        let whole = keys(&whole[list], key);
        assert_eq!(whole.len(), count, "{path}");

        let (mut pages, mut after) = (Vec::new(), String::new());
        loop {
            let page = format!("{path}?limit=2{after}");
            let page = client.get(&page).send().await.json(200);
            let keys = keys(&page[list], key);
            assert!(keys.len() <= 2, "{path}: {page}");
            pages.extend(keys);
            let next = match &page["next"] {
                Value::Null => break,
                Value::String(next) => next.clone(),
                next => next.to_string(),
            };
            after = format!("&after={next}");
        }
        assert_eq!(pages, whole, "{path}");
        for query in ["limit=0", "limit=1001", "from=1"] {
            let refused = client.get(&format!("{path}?{query}")).send().await;
            refused.problem(400, "malformed-request");
        }
    }
    let gone = format!("/v1/modules?after=sha256:{}", "0".repeat(64));
    let refused = client.get(&gone).send().await;
    refused.problem(404, "module-not-found");
    for path in ["/v1/modules", "/v1/consumers", "/v1/deciders"] {
        let refused = client.get(&format!("{path}?after=%20")).send().await;
        refused.problem(400, "malformed-request");
    }
}

#[tokio::test]
async fn the_compiler_opens_no_file() {
    let mut compiler = idle_compiler();
    let path = format!("/proc/{}/limits", compiler.id());
    eventually("the compiler bounds itself", LIMIT, async || {
        let limits = std::fs::read_to_string(&path).unwrap();
        let files = limits
            .lines()
            .find(|line| line.starts_with("Max open files"));
        let files: Vec<_> = files.unwrap().split_whitespace().collect();
        (files[3..5] == ["3", "3"]).then_some(())
    })
    .await;
    drop(compiler.stdin.take());
    compiler.wait().unwrap();
}

fn keys(list: &Value, key: &str) -> Vec<Value> {
    let list = list.as_array().unwrap().iter();
    list.map(|one| one.pointer(key).unwrap().clone()).collect()
}
