//! `GET …/events` and `GET …/streams`: pages of what is stored.

use gavel_tests::{COUNTER, Host, Store, assert_sound, on_every_store};
use serde_json::{Value, json};

on_every_store! {
    a_long_stream_is_read_by_pages,
    streams_are_listed_by_pages,
    what_is_not_there_is_not_found,
}

async fn a_long_stream_is_read_by_pages(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let counter = host.client().stream(COUNTER, "c-1");
    let events: Vec<_> = (0..1200)
        .map(|_| json!({ "event": "Incremented", "data": {} }))
        .collect();
    for (part, version) in events.chunks(400).zip([0, 400, 800]) {
        counter.append(version, &json!(part)).send().await.json(200);
    }

    let history = counter.history().await;
    assert_eq!(history.len(), 1200);
    assert_sound(&history);
    let page = counter
        .events()
        .query("after_version", 1190)
        .query("limit", 10)
        .send()
        .await
        .json(200);
    assert_eq!(
        (
            page["events"].as_array().unwrap().len(),
            &page["next_after_version"]
        ),
        (10, &Value::Null)
    );
    let page = counter
        .events()
        .query("after_version", 1189)
        .query("limit", 10)
        .send()
        .await
        .json(200);
    assert_eq!(
        (
            page["events"].as_array().unwrap().len(),
            &page["next_after_version"]
        ),
        (10, &json!(1199))
    );
    let beyond = counter
        .events()
        .query("after_version", 5000)
        .send()
        .await
        .json(200);
    assert_eq!(beyond["events"], json!([]));
    // A history of several pages is folded as a whole.
    assert_eq!(counter.increment().await.accepted().version, 1201);
    assert_eq!(
        counter.state().send().await.json(200)["state"],
        json!({ "value": 1201 })
    );
}

async fn streams_are_listed_by_pages(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    let path = format!("/v1/deciders/{COUNTER}/streams");
    assert_eq!(
        client.get(&path).send().await.json(200)["streams"],
        json!([])
    );
    for id in ["b", "a", "ä", "a/1", "Z"] {
        client.stream(COUNTER, id).increment().await.accepted();
    }
    client.stream(COUNTER, "a").increment().await.accepted();

    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = client
            .get(&path)
            .query("after", &after)
            .query("limit", 2)
            .send()
            .await
            .json(200);
        found.extend_from_slice(page["streams"].as_array().unwrap());
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    let ids: Vec<_> = found
        .iter()
        .map(|stream| stream["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["Z", "a", "a/1", "b", "ä"]);
    assert_eq!(
        (&found[1]["version"], &found[1]["final"]),
        (&json!(2), &json!(false))
    );
    assert!(found[1]["updated_at"].is_string());
}

async fn what_is_not_there_is_not_found(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;

    client
        .stream(COUNTER, "c-1")
        .events()
        .send()
        .await
        .problem(404, "stream-not-found");
    client
        .get("/v1/deciders/nobody/streams")
        .send()
        .await
        .problem(404, "decider-not-found");
    client
        .get("/v1/deciders/nobody")
        .send()
        .await
        .problem(404, "decider-not-found");
    client
        .stream("nobody", "c-1")
        .increment()
        .await
        .problem(404, "decider-not-found");
}
