//! Health, metrics, and what the API says of itself.

use gavel_tests::{COUNTER, Host, LIMIT, Store, eventually, on_every_store};
use serde_json::json;

on_every_store! {
    a_host_tells_how_it_is,
    commands_are_counted,
    states_in_memory_are_bounded,
    a_decider_describes_itself_as_a_typed_api,
    a_request_id_is_taken_over_and_given_back,
}

async fn a_host_tells_how_it_is(store: Store) {
    let host = Host::start(&store).await;
    host.client().get("/livez").send().await.expect(200);
    host.client().get("/readyz").send().await.expect(200);
    assert!(
        host.client()
            .get("/v1/info")
            .send()
            .await
            .json(200)
            .is_object()
    );
}

async fn commands_are_counted(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    host.client()
        .stream(COUNTER, "c-1")
        .increment()
        .await
        .accepted();

    let metrics = host.client().get("/metrics").send().await;
    assert!(
        metrics
            .header("content-type")
            .unwrap()
            .starts_with("text/plain")
    );
    let counted = metrics.expect(200).text();
    let line = counted
        .lines()
        .find(|line| line.starts_with("gavel_commands_total") && line.contains("accepted"));
    assert!(line.is_some_and(|line| line.ends_with(" 1")), "{counted}");
}

async fn states_in_memory_are_bounded(store: Store) {
    let host = Host::start_with(&store, &[("GAVEL_COMMANDS_HOT_STREAMS", "20")]).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    for round in 1..=2 {
        for number in 0..60 {
            let stream = client.stream(COUNTER, &format!("c-{number}"));
            assert_eq!(stream.increment().await.accepted().version, round);
        }
    }
    let is_bounded = async || (client.metric("gavel_hot_streams").await <= 20.0).then_some(());
    eventually("no more states than allowed are kept", LIMIT, is_bounded).await;
    assert!(client.metric("gavel_hot_evictions_total").await > 0.0);
    assert!(client.metric("gavel_hot_loads_total").await >= 60.0);
}

async fn a_decider_describes_itself_as_a_typed_api(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example("account").await;

    let document = host
        .client()
        .get("/v1/deciders/account/openapi.json")
        .send()
        .await
        .json(200);

    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let text = document.to_string();
    for word in ["Deposit", "Withdraw", "amount", "owner"] {
        assert!(text.contains(word), "the document speaks of {word}");
    }
    host.client()
        .get("/v1/deciders/nobody/openapi.json")
        .send()
        .await
        .problem(404, "decider-not-found");
}

async fn a_request_id_is_taken_over_and_given_back(store: Store) {
    let host = Host::start(&store).await;
    let request = host
        .client()
        .get("/v1/deciders/nobody")
        .header("Request-Id", "abc-123");
    let answer = request.send().await;
    assert_eq!(
        answer.problem(404, "decider-not-found")["instance"],
        json!("abc-123")
    );
}
