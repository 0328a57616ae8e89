//! Cases about views and a log that is written by others: appends that stay open, and such as are
//! taken back.

use gavel_tests::{Backend, COUNTER, Host, LIMIT, Store, component, eventually, revision};

use crate::views::{TALLY, count, tallied, totals};

fn append(id: &str) -> String {
    format!(
        "SELECT append_event('Incremented', gen_random_uuid(), '{COUNTER}', '{id}', '{{}}', gen_random_uuid(), NULL)"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_event_of_an_append_that_stays_open_is_skipped() {
    let store = Store::new(Backend::Postgres).await;
    let host = Host::start(&store).await;
    let client = host.client();
    count(&client, 3).await;
    let tally = client.view(TALLY);
    tally.deploy(component(TALLY)).await;
    // The others come later than the open one began, and are committed before it ends.
    let mut sessions = Vec::new();
    let mut expected = totals(3);
    for round in 0..5 {
        let mut session = store.session();
        session.run("BEGIN").unwrap();
        session.rows(&append(&format!("open-{round}")));
        sessions.push(session);
        for _ in 0..10 {
            client.stream(COUNTER, "c-0").increment().await.accepted();
        }
    }
    for (round, mut session) in sessions.into_iter().enumerate().rev() {
        let end = if round == 3 { "ROLLBACK" } else { "COMMIT" };
        session.run(end).unwrap();
        if round != 3 {
            expected.insert(format!("open-{round}"), 1);
        }
    }
    expected.insert("c-0".to_owned(), 51);
    assert_eq!(tallied(&tally).await, expected);
    // A table that is built now is the same.
    let built = client.view(TALLY);
    let next = built.upload(revision(component(TALLY), 1)).await;
    let activated = built.activate(&next, &[]).await;
    assert!(activated["activation"].is_number(), "{activated}");
    assert_eq!(tallied(&tally).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_that_are_rolled_back_hold_no_view_up() {
    let store = Store::new(Backend::Postgres).await;
    let host = Host::start(&store).await;
    let client = host.client();
    count(&client, 1).await;
    let tally = client.view(TALLY);
    tally.deploy(component(TALLY)).await;
    let mut session = store.session();
    for round in 0..10 {
        // The numbers that they have taken stay gaps in the log.
        let one = format!("BEGIN; {}; ROLLBACK;\n", append("gone"));
        session.run(&one.repeat(100)).unwrap();
        client.stream(COUNTER, "c-0").increment().await.accepted();
        assert_eq!(tallied(&tally).await["c-0"], round + 2);
    }
    let lag = eventually("the view has caught up", LIMIT, async || {
        let shown = tally.shown().await;
        let lag = shown["rows"]["lag"].clone();
        (lag["events"] == 0).then_some(lag)
    })
    .await;
    assert_eq!(lag["seconds"], 0.0, "{lag}");
    tally.row("gone").await.problem(404, "row-not-found");
}
