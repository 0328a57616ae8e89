//! Web pages that try to operate a host: foreign ones change nothing, ours and allowed ones go on.

use gavel_tests::{COUNTER, Client, Host, Store, component, on_every_store, revision};
use reqwest::Method;
use serde_json::{Value, json};

on_every_store! {
    a_foreign_web_page_cannot_operate_a_host,
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
    for (name, value) in [
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Host", "evil.example"),
    ] {
        for path in [pause, rollback] {
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
    client
        .request(Method::POST, rollback)
        .send()
        .await
        .expect(201);
}

/// What a page would change.
async fn operated(client: &Client) -> (Value, Value) {
    let decider = client.get("/v1/deciders/counter").send().await.json(200);
    (decider, client.consumer("mailer").report().await)
}
