//! Tests of hot states against a full replay, under faults, evictions and races.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gavel_engine::command::{CommandSettings, Error, SnapshotPolicy};
use gavel_model::StreamId;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::json;

use crate::support::{Host, folded, newest, send};

const STREAMS: u32 = 60;
const SENDERS: u64 = 20;
const COMMANDS_EACH: usize = 500;

/// Settings with so little memory that states are evicted all the time.
fn cramped() -> CommandSettings {
    CommandSettings {
        conflict_retries: 1_000,
        hot_streams: 24,
        hot_bytes: 8 << 20,
        snapshots: SnapshotPolicy {
            events: 5,
            replay: Duration::from_secs(3600),
        },
        ..CommandSettings::default()
    }
}

/// The number of events of each stream, by the answers to senders.
type Counts = Arc<Mutex<HashMap<StreamId, u64>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hot_states_equal_a_full_replay_after_faults_evictions_and_races() {
    let host = Host::start("hostile", cramped()).await;
    let rival = host.beside(cramped());
    let counts = Counts::default();
    let mut senders = tokio::task::JoinSet::new();
    for seed in 0..SENDERS {
        let commands = if seed % 4 == 0 {
            &rival
        } else {
            &host.commands
        }
        .clone();
        let streams: Vec<_> = (0..STREAMS)
            .map(|number| host.stream(&format!("s-{number}")))
            .collect();
        let counts = counts.clone();
        senders.spawn(async move {
            let mut random = StdRng::seed_from_u64(seed);
            for _ in 0..COMMANDS_EACH {
                // Some streams are used far more often than others.
                let number = random
                    .random_range(0..STREAMS)
                    .min(random.random_range(0..STREAMS));
                let stream = &streams[number as usize];
                let command = match random.random_range(0..100) {
                    0..70 => "Increment",
                    70..80 => "Ok",
                    80..90 => "Reject",
                    90..97 => "Trap",
                    _ => "Panic",
                };
                let outcome = send(&commands, stream, command, json!({})).await;
                match (command, outcome) {
                    ("Increment", Ok(answer)) => {
                        *counts.lock().unwrap().entry(stream.clone()).or_default() += 1;
                        let state = answer.state.unwrap().to_value();
                        assert_eq!(state, json!(answer.version.get()), "{stream}");
                    }
                    ("Ok", Ok(answer)) => {
                        let state = answer.state.unwrap().to_value();
                        assert_eq!(state, json!(answer.version.get()), "{stream}");
                    }
                    ("Reject", Err(Error::Rejected { .. }))
                    | ("Trap" | "Panic", Err(Error::Fault { .. })) => {}
                    (command, outcome) => panic!("{command}: {outcome:?}"),
                }
            }
        });
    }
    while let Some(ended) = senders.join_next().await {
        ended.unwrap();
    }

    let counts = counts.lock().unwrap().clone();
    assert!(counts.len() > 24, "more streams were used than are kept");
    for (stream, count) in counts {
        let hot = send(&host.commands, &stream, "Ok", json!({}))
            .await
            .unwrap();
        assert_eq!(hot.version.get(), count, "{stream}");
        assert_eq!(hot.state.unwrap().to_value(), json!(count), "{stream}");
        let (state, version) = newest(&rival, &stream).await;
        assert_eq!((state, version.get()), (json!(count), count), "{stream}");
        assert_eq!(
            folded(&rival, &stream, version).await,
            json!(count),
            "{stream}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_streams_commands_are_decided_ahead_and_none_is_lost() {
    let host = Host::start("hostile", CommandSettings::default()).await;
    let stream = host.stream("hot");
    let sent = (0..2_000).map(|number| {
        // What fails is among what is decided ahead and stored together.
        let command = if number % 50 == 7 {
            "Trap"
        } else {
            "Increment"
        };
        send(&host.commands, &stream, command, json!({}))
    });
    let outcomes = futures::future::join_all(sent).await;
    let mut versions: Vec<u64> = outcomes
        .iter()
        .flatten()
        .map(|answer| answer.version.get())
        .collect();
    versions.sort_unstable();
    let accepted = versions.len() as u64;
    assert_eq!(accepted, 1_960);
    assert_eq!(versions, (1..=accepted).collect::<Vec<_>>());
    let (state, version) = newest(&host.commands, &stream).await;
    assert_eq!((state, version.get()), (json!(accepted), accepted));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_beyond_the_queue_are_turned_away_and_the_others_are_carried_out() {
    let queue = 8;
    let settings = CommandSettings {
        queue,
        ..CommandSettings::default()
    };
    let host = Host::start("hostile", settings).await;
    let stream = host.stream("s-1");
    let sent = (0..100).map(|_| send(&host.commands, &stream, "Increment", json!({})));
    let outcomes = futures::future::join_all(sent).await;
    let accepted = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert!(accepted >= queue, "{accepted} were carried out");
    for outcome in outcomes {
        assert!(
            matches!(outcome, Ok(_) | Err(Error::NotRun(_))),
            "{outcome:?}"
        );
    }
    let (_, version) = newest(&host.commands, &stream).await;
    assert_eq!(version.get(), accepted as u64);
}
