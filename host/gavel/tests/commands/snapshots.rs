//! The law of snapshots: one and the events after it give what all events give.

use std::time::Duration;

use gavel_engine::command::{CommandSettings, SnapshotPolicy};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::support::{Host, folded, newest, send};

fn every(events: u64) -> CommandSettings {
    CommandSettings {
        snapshots: SnapshotPolicy {
            events,
            replay: Duration::from_secs(3600),
        },
        ..CommandSettings::default()
    }
}

fn command(random: &mut StdRng) -> (&'static str, Value) {
    let amount = random.random_range(1..1_000);
    match random.random_range(0..100) {
        0..10 => ("Open", json!({ "owner": format!("owner-{amount}") })),
        10..60 => ("Deposit", json!({ "amount": amount })),
        60..99 => ("Withdraw", json!({ "amount": amount })),
        _ => ("Close", json!({})),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_and_the_events_after_it_give_what_all_events_give() {
    let host = Host::start("account", every(1)).await;
    for seed in 0..60 {
        let mut random = StdRng::seed_from_u64(seed);
        let stream = host.stream(&format!("acc-{seed}"));
        // A host of its own each time: it begins with what the last one has left.
        for _ in 0..random.random_range(1..6) {
            let commands = host.beside(every(random.random_range(1..5)));
            for _ in 0..random.random_range(1..15) {
                let (name, data) = command(&mut random);
                // What is rejected is part of the history of commands, and changes nothing.
                let _ = send(&commands, &stream, name, data).await;
            }
        }
        let fresh = host.beside(every(1));
        let _ = send(&fresh, &stream, "Open", json!({ "owner": "Ann" })).await;
        let (state, version) = newest(&fresh, &stream).await;
        assert_eq!(state, folded(&fresh, &stream, version).await, "seed {seed}");
    }
}
