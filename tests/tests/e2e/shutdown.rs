//! SIGTERM: nothing that was accepted is dropped.

use std::time::{Duration, Instant};

use gavel_tests::{COUNTER, Host, Store, on_every_store};

use crate::load::{Load, Outcome, assert_agrees, retry};

on_every_store! {
    a_host_that_is_asked_to_end_answers_what_it_has_accepted,
    an_idle_host_ends_at_once,
}

async fn a_host_that_is_asked_to_end_answers_what_it_has_accepted(store: Store) {
    let mut host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    let load = Load::start(&host.client(), "c", 24, 12);
    load.acknowledges(100).await;

    host.ask_to_end();
    let asked = Instant::now();
    let status = host.ended().await;
    let took = asked.elapsed();
    let mut journal = load.finish().await;
    host.restart().await;

    assert!(status.success(), "the host ended with {status}");
    assert!(
        took < Duration::from_secs(10),
        "the host took {took:?} to end"
    );
    for sent in &journal {
        if let Outcome::Refused(code) = &sent.outcome {
            assert_eq!(code, "draining");
        }
    }
    // Whose connection broke was never let in: of these, nothing is stored.
    let stored_unanswered = assert_agrees(&host.client(), &journal).await;
    assert_eq!(stored_unanswered, 0, "what was carried out was answered");
    retry(&host.client(), &mut journal).await;
    assert_agrees(&host.client(), &journal).await;
}

async fn an_idle_host_ends_at_once(store: Store) {
    let mut host = Host::start(&store).await;
    // A connection that is kept open does not keep the host.
    host.client().get("/livez").send().await.expect(200);

    host.ask_to_end();
    let asked = Instant::now();
    let status = host.ended().await;

    assert!(status.success(), "the host ended with {status}");
    assert!(asked.elapsed() < Duration::from_secs(5));
}
