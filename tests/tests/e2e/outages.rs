//! The database goes away and comes back. What happens to a file is left to `crashes`.

use gavel_tests::{Backend, COUNTER, Host, LIMIT, Store, eventually};

use crate::load::{Load, Outcome, assert_agrees, retry};

const CUT: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_break_lose_nothing_and_double_nothing() {
    let store = Store::new(Backend::Postgres).await;
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;

    let load = Load::start(&client, "c", 16, 8);
    for _ in 0..20 {
        load.acknowledges(20).await;
        store.administer(CUT).await;
    }
    load.acknowledges(20).await;
    let mut journal = load.finish().await;

    for sent in &journal {
        if let Outcome::Refused(code) = &sent.outcome {
            assert_eq!(code, "store-unavailable");
        }
    }
    assert_agrees(&client, &journal).await;
    retry(&client, &mut journal).await;
    assert_agrees(&client, &journal).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_away_the_host_says_so_and_then_goes_on() {
    let store = Store::new(Backend::Postgres).await;
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    let counter = client.stream(COUNTER, "c-1");
    counter.increment().await.accepted();

    store
        .administer("ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        .await;
    store.administer(CUT).await;
    // Its statement may have gone into a connection that was cut.
    let refused = counter.increment().await.expect(503).text();
    let is_told = ["store-unavailable", "outcome-unknown"].map(|code| refused.contains(code));
    assert!(is_told.contains(&true), "{refused}");
    counter.increment().await.problem(503, "store-unavailable");
    let answer = counter.state().send().await;
    answer.problem(503, "store-unavailable");
    assert!(answer.header("retry-after").is_some());
    client
        .get("/readyz")
        .send()
        .await
        .problem(503, "store-unavailable");
    client.get("/livez").send().await.expect(200);
    store
        .administer("ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        .await;

    let is_ready = async || (client.get("/readyz").send().await.status() == 200).then_some(());
    eventually("the host is ready again", LIMIT, is_ready).await;
    assert_eq!(counter.increment().await.accepted().version, 2);
}
