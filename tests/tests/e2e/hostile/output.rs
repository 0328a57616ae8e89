//! The output of modules on stdout and stderr: it reaches their authors, in bounds and without
//! escape sequences that rewrite a terminal.

use std::{env, fs};

use gavel_tests::{COUNTER, CliOutput, Client, Host, LIMIT, Store, component, on_every_store};
use serde_json::{Value, json};

on_every_store! {
    what_a_module_writes_reaches_its_author_and_rewrites_no_terminal,
    a_module_that_writes_without_end_fills_neither_memory_nor_the_log,
}

const LOGS: &str = "/v1/deciders/hostile/logs";

async fn lines(client: &Client, path: &str) -> Vec<Value> {
    let text = client.get(path).send().await.expect(200).text();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

async fn what_a_module_writes_reaches_its_author_and_rewrites_no_terminal(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example("hostile").await;
    client.deploy_example(COUNTER).await;
    client.stream(COUNTER, "c-1").increment().await.accepted();

    let stream = client.stream("hostile", "h-1");
    let said = stream.send("Say", json!({ "text": "a \u{1b}[2J" })).await;
    let said = said.accepted().command_id.to_string();
    let panicked = stream.send("Panic", json!({ "text": "no \u{9b}m" })).await;
    panicked.problem(500, "module-trapped");
    stream.send("Stammer", json!({})).await.accepted();

    let written = lines(&client, LOGS).await;
    let texts: Vec<_> = written
        .iter()
        .map(|line| line["text"].as_str().unwrap())
        .collect();
    assert_eq!(texts.len(), 3, "{texts:?}");
    assert_eq!(texts[0], "a \u{1b}[2J true\n");
    assert!(texts[1].contains("panicked") && texts[1].contains("no \u{9b}m"));
    assert_eq!(texts[2], "a\u{fffd}b\n");
    let first = &written[0];
    assert_eq!(
        (&first["decider"], &first["id"]),
        (&json!("hostile"), &json!("h-1"))
    );
    assert_eq!(first["command_id"], said);
    let newest = lines(&client, &format!("{LOGS}?tail=1")).await;
    assert_eq!(newest, written[2..]);
    assert!(lines(&client, "/v1/deciders/counter/logs").await.is_empty());
    let unknown = client.get("/v1/deciders/nobody/logs").send().await;
    unknown.problem(404, "decider-not-found");
    let hidden = client.stream("hostile", "logs").increment().await;
    hidden.problem(400, "malformed-request");

    // A terminal that shows it is not told what to do.
    let log = host.log();
    let logged = log.lines().find(|line| line.contains("gavel::module"));
    let logged = logged.expect("the host's log has it");
    assert!(
        logged.contains("u{1b}[2J true") && logged.contains(&said),
        "{logged}"
    );
    let cli = |arguments: &[&str]| {
        let output = CliOutput::of(Some(&host), &env::temp_dir(), arguments);
        output.exits_with(0).stdout()
    };
    let shown = cli(&["logs", "hostile"]);
    assert!(shown.contains("  h-1  a \\u{1b}[2J true\n"), "{shown}");
    let why = client.get(&format!("/v1/commands/{said}/why")).send().await;
    assert_eq!(why.json(200)["output"], "a \u{1b}[2J true\n");
    let explained = cli(&["why", "--command", &said]);
    assert!(
        explained.contains("output   a \\u{1b}[2J true\n"),
        "{explained}"
    );
    for shown in [log, shown, explained] {
        assert!(!shown.contains(['\u{1b}', '\u{9b}']), "{shown}");
    }
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("hostile.wasm");
    fs::write(&module, component("hostile")).unwrap();
    let tested = cli(&["test", module.to_str().unwrap()]);
    assert!(
        tested.contains("what is said is heard\n    | hello true"),
        "{tested}"
    );
}

async fn a_module_that_writes_without_end_fills_neither_memory_nor_the_log(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy("hostile", component("hostile")).await;
    let stream = client.stream("hostile", "h-1");
    let endless = stream.send("Print", json!({})).await;
    endless.problem(504, "module-out-of-fuel");
    let written = lines(&client, LOGS).await;
    let text = written[0]["text"].as_str().unwrap();
    assert!(text.starts_with("all work and no play"), "{text}");
    assert!(text.len() < 70_000 && text.contains("more than its log holds"));

    let mut followed = client
        .get(&format!("{LOGS}?follow=true&tail=0"))
        .open()
        .await;
    let sayings = (0..300).map(|number| {
        let text = format!("{number} {}", "x".repeat(2_000));
        json!({ "decider": "hostile", "id": "h-1", "command": "Say", "data": { "text": text } })
    });
    let sayings: Vec<_> = sayings.collect();
    for batch in sayings.chunks(100) {
        let batch = json!({ "atomic": true, "commands": batch });
        client.post("/v1/commands", &batch).send().await.expect(200);
    }
    let kept = lines(&client, LOGS).await;
    let size: usize = kept
        .iter()
        .map(|line| line["text"].as_str().unwrap().len())
        .sum();
    assert!(size <= 256 << 10, "{size} bytes are kept");
    assert!(
        kept.last().unwrap()["text"]
            .as_str()
            .unwrap()
            .starts_with("299 ")
    );
    let piece = tokio::time::timeout(LIMIT, followed.chunk()).await;
    let piece = piece
        .expect("what is written later follows")
        .unwrap()
        .unwrap();
    assert!(piece.starts_with(b"{\"time\":"), "{piece:?}");

    let log = host.log();
    let longest = log.lines().map(str::len).max();
    assert!(longest < Some(3_000), "a line has {longest:?} bytes");
}
