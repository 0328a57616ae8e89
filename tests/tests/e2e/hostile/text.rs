//! Guests and clients to whom the very text of a document matters: its white space, the order of
//! its members, its numbers.

use gavel_tests::{Answer, Client, Host, Request, Store, on_every_store};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

on_every_store! {
    a_document_has_one_text_hot_and_cold_and_what_has_none_is_refused,
}

/// One host for all of it: to compile the module takes longest.
async fn a_document_has_one_text_hot_and_cold_and_what_has_none_is_refused(store: Store) {
    let mut host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example("hostile").await;
    a_number_that_cannot_be_kept_is_refused_at_every_door(&client).await;
    a_command_is_the_same_however_its_numbers_are_written(&client).await;
    a_module_keeps_each_text(&client).await;

    host.kill();
    host.restart().await;
    let client = host.client();
    a_module_still_sees_each_text(&client).await;
    let verified = client.get("/v1/verify?decider=hostile").send().await;
    verified.expect(200);
    let done: Value = serde_json::from_str(verified.text().lines().last().unwrap()).unwrap();
    assert_eq!(done["done"]["differences"], 0, "{}", verified.text());
}

async fn a_number_that_cannot_be_kept_is_refused_at_every_door(client: &Client) {
    let stream = client.stream("hostile", "refused");
    let mut refused = vectors().refused;
    refused.push(format!("[{}]", vec!["1e308"; 4_000].join(",")));
    for number in refused {
        let data = format!(r#"{{"n":{number}}}"#);
        let answer = command(client, "refused", &data).send().await;
        let problem = answer.problem(400, "malformed-request");
        assert_eq!(problem["errors"][0]["pointer"], "/data", "{problem}");
        append(client, "refused", "Happened", &number)
            .await
            .problem(400, "malformed-request");
        let item = format!(
            r#"{{"decider":"hostile","id":"refused","command":"Increment","data":{data}}}"#
        );
        let batch = client
            .request(Method::POST, "/v1/commands")
            .body("application/json", format!(r#"{{"commands":[{item}]}}"#));
        batch.send().await.problem(400, "malformed-request");
        // A module's own number breaks the contract, and costs this command alone.
        let own = stream.send("Keep", json!({ "text": number })).await;
        own.problem(500, "module-broke-contract");
    }
    // What no store can keep is refused as well, once the command's name is known.
    let nul = json!({ "n": "\u{0}" });
    let answer = stream.send("Increment", nul.clone()).await;
    answer.problem(422, "invalid-command-data");
    stream
        .send("Nothing", nul)
        .await
        .problem(404, "command-unknown");
    stream.assert_absent().await;
    stream.increment().await.accepted();
}

async fn a_command_is_the_same_however_its_numbers_are_written(client: &Client) {
    let send = async |data| {
        let request = command(client, "once", data).header("Idempotency-Key", "once");
        request.send().await
    };
    for data in [r#"{"n":1,"aa":-0.0}"#, r#"{ "aa": 0, "n": 1.0 }"#] {
        assert_eq!(send(data).await.accepted().version, 1);
    }
    for other in [r#"{"n":1.5,"aa":0}"#, r#"{"n":1,"aa":"\u0000"}"#] {
        send(other).await.problem(422, "idempotency-key-reused");
    }
}

async fn a_module_keeps_each_text(client: &Client) {
    for (index, (text, canonical)) in vectors().accepted.iter().enumerate() {
        let expected = json!(digest(canonical));
        let (hot, cold, appended) = ids(index);
        for id in [&hot, &cold] {
            let stream = client.stream("hostile", id);
            let keep = stream.send("Keep", json!({ "text": text })).await;
            keep.accepted();
            let shown = format!("\"data\":{canonical},");
            assert!(keep.text().contains(&shown), "{text}: {}", keep.text());
        }
        assert_eq!(told(client, &hot).await, expected, "{text}");
        // A raw append of the same document is folded like the decided one.
        append(client, &appended, "Kept", text).await.expect(200);
        assert_eq!(told(client, &appended).await, expected, "{text}");
    }
}

async fn a_module_still_sees_each_text(client: &Client) {
    for (index, (text, canonical)) in vectors().accepted.iter().enumerate() {
        let expected = json!(digest(canonical));
        let (_, cold, appended) = ids(index);
        assert_eq!(told(client, &cold).await, expected, "{text}");
        let stream = client.stream("hostile", &appended);
        let state = stream.state().query("version", 1).send().await.json(200);
        assert_eq!(state["state"], expected, "{text}");
    }
}

/// The streams of a text: one that stays in memory, one that is loaded again, one of raw appends.
fn ids(index: usize) -> (String, String, String) {
    let id = |kind| format!("{kind}-{index}");
    (id("hot"), id("cold"), id("appended"))
}

#[derive(Deserialize)]
struct Vectors {
    accepted: Vec<(String, String)>,
    refused: Vec<String>,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../../../wit/canonical-json.json")).unwrap()
}

/// The digest of an event `Kept` in the state of `hostile`.
fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

async fn told(client: &Client, id: &str) -> Value {
    let stream = client.stream("hostile", id);
    let mut told = stream.send("TellState", json!({})).await.accepted();
    told.events.remove(0).data
}

fn command(client: &Client, id: &str, data: &str) -> Request {
    client
        .request(Method::POST, &format!("/v1/deciders/hostile/{id}/commands"))
        .body(
            "application/json",
            format!(r#"{{"command":"Increment","data":{data}}}"#),
        )
}

async fn append(client: &Client, id: &str, event: &str, data: &str) -> Answer {
    let event = format!(r#"{{"event":"{event}","data":{data}}}"#);
    client
        .request(Method::POST, &format!("/v1/deciders/hostile/{id}/events"))
        .body(
            "application/json",
            format!(r#"{{"expected_version":0,"events":[{event}]}}"#),
        )
        .send()
        .await
}
