//! Increments sent by many at once, each under a key of its own, and a journal of what became of
//! them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gavel_tests::{Accepted, COUNTER, Client, LIMIT, assert_sound, eventually};
use serde_json::json;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// A command that was sent.
#[derive(Debug)]
pub(crate) struct Sent {
    /// The idempotency key, from which the command id follows.
    pub(crate) key: Uuid,
    pub(crate) stream: String,
    pub(crate) outcome: Outcome,
}

#[derive(Debug)]
pub(crate) enum Outcome {
    Acknowledged(Accepted),
    /// The request was refused with a code by which nothing was stored.
    Refused(String),
    /// The connection broke, or the host does not know either.
    Unknown,
}

/// A number of senders, each of which sends one command after the other.
#[derive(Debug)]
pub(crate) struct Load {
    senders: Vec<JoinHandle<Vec<Sent>>>,
    acknowledged: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Load {
    /// Starts `senders` that increment the counters `<name>-0` to `<name>-<streams - 1>`. Each ends
    /// when its connection breaks.
    pub(crate) fn start(client: &Client, name: &str, senders: usize, streams: usize) -> Self {
        let (acknowledged, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let senders = (0..senders).map(|sender| {
            let (client, name, acknowledged, stop) = (
                client.clone(),
                name.to_owned(),
                acknowledged.clone(),
                stop.clone(),
            );
            tokio::spawn(async move {
                let mut journal = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let stream = format!("{name}-{}", (sender + journal.len()) % streams);
                    let key = Uuid::new_v4();
                    let command = client
                        .stream(COUNTER, &stream)
                        .command("Increment", json!({}))
                        .key(&key.to_string());
                    let answer = command.try_send().await;
                    let is_broken = answer.is_err();
                    let outcome = match answer {
                        Ok(answer) if answer.status() == 200 => {
                            acknowledged.fetch_add(1, Ordering::Relaxed);
                            Outcome::Acknowledged(answer.accepted())
                        }
                        Ok(answer) => match answer.code().as_deref() {
                            Some("outcome-unknown") => Outcome::Unknown,
                            Some(code) if answer.status() != 500 => {
                                Outcome::Refused(code.to_owned())
                            }
                            _ => panic!("{}: {}", answer.status(), answer.text()),
                        },
                        Err(_) => Outcome::Unknown,
                    };
                    journal.push(Sent {
                        key,
                        stream,
                        outcome,
                    });
                    if is_broken {
                        break;
                    }
                }
                journal
            })
        });
        Self {
            senders: senders.collect(),
            acknowledged,
            stop,
        }
    }

    /// The number of commands that were acknowledged so far.
    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until `more` have been acknowledged from now on.
    pub(crate) async fn acknowledges(&self, more: usize) {
        let goal = self.acknowledged() + more;
        let reached = async || {
            assert!(
                self.senders.iter().any(|sender| !sender.is_finished()),
                "nobody sends any more"
            );
            (self.acknowledged() >= goal).then_some(())
        };
        eventually("commands are acknowledged", LIMIT, reached).await;
    }

    /// Lets each sender finish its command, and gives what was sent by all.
    pub(crate) async fn finish(self) -> Vec<Sent> {
        self.stop.store(true, Ordering::Relaxed);
        let mut journal = Vec::new();
        for sender in self.senders {
            journal.extend(sender.await.unwrap());
        }
        journal
    }
}

/// Holds what is stored against the journal: each acknowledged command is there once, as it was
/// answered; none that was refused is; and of the others each is there once or not at all. Gives
/// how many of these are there.
pub(crate) async fn assert_agrees(client: &Client, journal: &[Sent]) -> usize {
    let mut streams: HashMap<&str, HashMap<Uuid, &Sent>> = HashMap::new();
    for sent in journal {
        streams
            .entry(&sent.stream)
            .or_default()
            .insert(sent.key, sent);
    }
    let mut found = 0;
    for (id, mut sent) in streams {
        let is_absent = client.stream(COUNTER, id).state().send().await.status() == 404;
        let history = if is_absent {
            Vec::new()
        } else {
            client.stream(COUNTER, id).history().await
        };
        assert_sound(&history);
        for event in &history {
            let sent = sent.remove(&event.command_id);
            match &sent
                .unwrap_or_else(|| panic!("{} was stored twice, or never sent", event.command_id))
                .outcome
            {
                Outcome::Acknowledged(answer) => {
                    assert_eq!(answer.events, std::slice::from_ref(event))
                }
                Outcome::Refused(code) => panic!(
                    "{} was stored although it was refused: {code}",
                    event.command_id
                ),
                Outcome::Unknown => found += 1,
            }
        }
        for missing in sent.values() {
            let Outcome::Acknowledged(answer) = &missing.outcome else {
                continue;
            };
            panic!("{} was acknowledged and is lost: {answer:?}", missing.key);
        }
        if let Some(newest) = history.last() {
            let state = client.stream(COUNTER, id).state().send().await.json(200);
            assert_eq!(state["state"], json!({ "value": newest.version }));
        }
    }
    found
}

/// Sends again, under the same key, each command that was not acknowledged, until it is: each
/// command then is stored once.
pub(crate) async fn retry(client: &Client, journal: &mut [Sent]) {
    for sent in journal {
        if !matches!(sent.outcome, Outcome::Acknowledged(_)) {
            let command = client
                .stream(COUNTER, &sent.stream)
                .command("Increment", json!({}));
            let answer = command.key(&sent.key.to_string()).send().await.accepted();
            sent.outcome = Outcome::Acknowledged(answer);
        }
    }
}
