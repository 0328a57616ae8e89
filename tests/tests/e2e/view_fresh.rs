//! Cases about rows that show all that is stored, however far their view has come.

use gavel_tests::{Backend, COUNTER, Host, LIMIT, Store, component, eventually, on_every_store};
use serde_json::json;

use crate::view_history::{Standstill, fresh, serve_guests};
use crate::views::TALLY;

on_every_store! {
    a_fresh_row_has_what_is_stored_while_nobody_moves_the_view,
    a_fresh_row_is_never_older_than_what_its_reader_has_written,
}

/// The number of clients that write and read at the same time.
const CLIENTS: usize = 32;

async fn a_fresh_row_has_what_is_stored_while_nobody_moves_the_view(store: Store) {
    let mut host = Host::start_with(&store, &[("GAVEL_VIEWS_WAIT_MS", "100")]).await;
    let client = host.client();
    for decider in [COUNTER, "restaurant", "order"] {
        client.deploy_example(decider).await;
    }
    let (tally, kitchen) = (client.view(TALLY), client.view("kitchen"));
    tally.deploy(component(TALLY)).await;
    kitchen.deploy(component("kitchen_view")).await;
    client.stream(COUNTER, "c-0").increment().await.accepted();
    tally.row_now("c-0").await.expect(200);

    let standstill = Standstill::of(&store);
    let mut position = String::new();
    for total in 2..=5 {
        let sent = client.stream(COUNTER, "c-0").increment().await.accepted();
        assert_eq!(fresh(&tally, "c-0").await["total"], total);
        position = sent.events[0].position.clone().unwrap();
    }
    client.stream(COUNTER, "new").increment().await.accepted();
    assert_eq!(fresh(&tally, "new").await["total"], 1);
    serve_guests(&client).await;
    let row = fresh(&kitchen, "r-1").await;
    assert_eq!(row["open"], json!(["o-1", "o-4"]), "{row}");
    // All others are as far as the view, and say so.
    assert_eq!(tally.row("c-0").await.json(200)["total"], 1);
    tally.row("new").await.problem(404, "row-not-found");
    let why = tally.get("/rows/c-0/why").send().await.json(200);
    assert_eq!(why["steps"].as_array().unwrap().len(), 1);
    let behind = tally.get("/rows/c-0").header("Gavel-After", &position);
    behind.send().await.problem(503, "view-behind");

    // A host that has just been started knows it as well. It needs the file of the rows to start.
    if store.backend() == Backend::Postgres {
        host.kill();
        host.restart().await;
    }
    let tally = host.client().view(TALLY);
    assert_eq!(fresh(&tally, "c-0").await["total"], 5);
    drop(standstill);
    // The host waits for a moment only.
    eventually("the view has caught up", LIMIT, async || {
        (tally.row_now("new").await.status() == 200).then_some(())
    })
    .await;
    assert_eq!(tally.all_now().await.len(), 2);
    assert_eq!(fresh(&tally, "c-0").await["total"], 5);
    assert_eq!(tally.row("c-0").await.json(200)["total"], 5);
}

async fn a_fresh_row_is_never_older_than_what_its_reader_has_written(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    let tally = client.view(TALLY);
    tally.deploy(component(TALLY)).await;
    for is_still in [false, true] {
        let _standstill = is_still.then(|| Standstill::of(&store));
        let clients = (0..CLIENTS).map(|number| {
            let (client, tally) = (client.clone(), tally.clone());
            tokio::spawn(async move {
                // Each counter has several writers, and nothing else than increments.
                let id = format!("w-{}", number % CLIENTS.div_ceil(4));
                for _ in 0..4 {
                    let sent = client.stream(COUNTER, &id).increment().await.accepted();
                    let total = fresh(&tally, &id).await["total"].as_u64().unwrap();
                    assert!(total >= sent.version, "{total} < {}", sent.version);
                }
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.unwrap();
        }
    }
    let all: u64 = tally
        .all_now()
        .await
        .iter()
        .map(|(_, row)| row["total"].as_u64().unwrap())
        .sum();
    assert_eq!(all, 2 * 4 * CLIENTS as u64);
}

/// Rows in another database than the log: the row is read first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_row_is_folded_from_another_database_than_the_log() {
    let (store, rows) = (
        Store::new(Backend::Postgres).await,
        Store::new(Backend::Postgres).await,
    );
    let host = Host::start_with(&store, &[("GAVEL_VIEWS_STORE", rows.url())]).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    let tally = client.view(TALLY);
    tally.deploy(component(TALLY)).await;
    let _standstill = Standstill::of(&store);
    for total in 1..=3 {
        client.stream(COUNTER, "c-0").increment().await.accepted();
        assert_eq!(fresh(&tally, "c-0").await["total"], total);
    }
}
