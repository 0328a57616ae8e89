//! Rows of generated histories, built and kept by hosts that are killed at any moment.

use std::collections::BTreeMap;

use gavel_tests::postgres::Session;
use gavel_tests::{
    Backend, COUNTER, Client, Host, LIMIT, Store, View, component, eventually, on_every_store,
};
use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use crate::rounds;

on_every_store! {
    rows_are_the_fold_of_the_log_whatever_is_killed,
    a_thousand_clients_read_what_they_have_written,
}

/// The clients that send and read at the same time.
const CLIENTS: usize = 1_000;

const TALLY: &str = "tally";

/// A history is appended before a view of it is built and while that is kept. Hosts, two of them
/// on PostgreSQL, are killed before, within and after each, and other writers keep appends open; in
/// the end the rows are those of a fold by hand.
async fn rows_are_the_fold_of_the_log_whatever_is_killed(store: Store) {
    let mut hosts = vec![Host::start(&store).await];
    if store.backend() == Backend::Postgres {
        hosts.push(Host::start(&store).await);
    }
    for (seed, mut random) in rounds() {
        let namespace = format!("round-{seed}");
        let within = |host: &Host| host.client().in_namespace(&namespace);
        within(&hosts[0]).deploy_example(COUNTER).await;
        let mut history = History::new(&mut random);
        for _ in 0..random.random_range(0..8) {
            history.append(&within(&hosts[0]), &mut random).await;
        }
        let digest = within(&hosts[0]).view(TALLY).upload(component(TALLY)).await;
        let mut kills = random.random_range(0..4);
        // A rehearsal ends with its host; what it has built stays.
        loop {
            let place = random.random_range(0..hosts.len());
            let view = within(&hosts[place]).view(TALLY);
            let begun = view.begin_activation(&digest, &[]).await;
            if kills > 0 && begun["progress"].is_object() {
                kills -= 1;
                for _ in 0..random.random_range(0..10) {
                    view.get("").send().await;
                }
                kill(&mut hosts[place]).await;
                continue;
            }
            if begun["progress"].is_object() {
                let ended = view.over(&begun).await;
                assert!(ended["activation"].is_number(), "{ended}");
            }
            break;
        }
        let mut expected_kills = 0;
        let mut open = Vec::new();
        for step in 0..random.random_range(5..40) {
            let place = random.random_range(0..hosts.len());
            history.append(&within(&hosts[place]), &mut random).await;
            if store.backend() == Backend::Postgres && random.random_ratio(1, 3) {
                open.push(OpenAppend::begin(&store, &namespace, step));
            }
            if !open.is_empty() && random.random_ratio(1, 3) {
                let append = open.swap_remove(random.random_range(0..open.len()));
                append.end(random.random(), &mut history);
            }
            if random.random_ratio(1, 4) {
                let place = random.random_range(0..hosts.len());
                kill(&mut hosts[place]).await;
                expected_kills += 1;
            }
        }
        for append in open {
            append.end(random.random(), &mut history);
        }
        eprintln!("{} events, {expected_kills} kills", history.events);
        for host in &hosts {
            assert_eq!(rows(&within(host).view(TALLY)).await, history.rows());
        }
    }
}

/// Clients send and read at once, in each of the three ways of reading what one has written, and
/// never see an older row.
async fn a_thousand_clients_read_what_they_have_written(store: Store) {
    let host = Host::start_configured(&store, "[views]\nwait_ms = 60000\n").await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    client.view(TALLY).deploy(component(TALLY)).await;
    for (seed, _) in rounds() {
        let clients = (0..CLIENTS).map(|number| {
            let client = client.clone();
            tokio::spawn(async move {
                let (id, view) = (format!("c-{seed}-{number}"), client.view(TALLY));
                let (stream, path) = (client.stream(COUNTER, &id), format!("/rows/{id}"));
                let increment = || stream.command("Increment", json!({}));
                let sent = increment().query("await", TALLY).send().await.json(200);
                assert_eq!(sent["behind"], Value::Null, "{sent}");
                assert_eq!(view.row(&id).await.json(200)["total"], 1, "{id}");
                let sent = increment().send().await.json(200);
                let position = sent["events"][0]["position"].as_str().unwrap();
                let read = view.get(&path).header("Gavel-After", position);
                assert_eq!(read.send().await.json(200)["total"], 2, "{id}");
                increment().send().await.expect(200);
                let fresh = view.get(&path).query("_fresh", "true").send().await;
                assert_eq!(fresh.json(200)["total"], 3, "{id}");
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.unwrap();
        }
    }
}

async fn kill(host: &mut Host) {
    host.kill();
    host.restart().await;
}

/// The rows that show all that was stored until now, once they can be read.
async fn rows(view: &View) -> BTreeMap<String, Value> {
    eventually("the rows can be read", LIMIT, async || {
        (view.row_now("none").await.status() == 404).then_some(())
    })
    .await;
    view.all_now().await.into_iter().collect()
}

/// An append by another writer, which keeps what comes after it from all readers.
struct OpenAppend {
    session: Session,
    id: String,
}

impl OpenAppend {
    fn begin(store: &Store, namespace: &str, step: usize) -> Self {
        let (mut session, id) = (store.session(), format!("open-{step}"));
        session.run("BEGIN").unwrap();
        session.rows(&format!(
            "SELECT append_event('Incremented', gen_random_uuid(), '{COUNTER}', '{id}', '{{}}', gen_random_uuid(), NULL, namespace => '{namespace}')"
        ));
        Self { session, id }
    }

    fn end(mut self, is_kept: bool, history: &mut History) {
        let end = if is_kept { "COMMIT" } else { "ROLLBACK" };
        self.session.run(end).unwrap();
        if is_kept {
            history.events += 1;
            history.foreign.push(self.id);
        }
    }
}

/// The events that were appended to some streams.
struct History {
    streams: Vec<Vec<&'static str>>,
    /// The streams of other writers, with an increment each.
    foreign: Vec<String>,
    events: usize,
}

impl History {
    fn new(random: &mut StdRng) -> Self {
        Self {
            streams: vec![Vec::new(); random.random_range(1..30)],
            foreign: Vec::new(),
            events: 0,
        }
    }

    /// Appends some events to one of the streams: mostly a few, and sometimes many pages of them.
    async fn append(&mut self, client: &Client, random: &mut StdRng) {
        let place = random.random_range(0..self.streams.len());
        let count = match random.random_range(0..10) {
            0 => random.random_range(500..2_500),
            _ => random.random_range(1..8),
        };
        let kinds = (0..count).map(|_| match random.random_range(0..10) {
            0 => "WasReset",
            1 | 2 => "Decremented",
            _ => "Incremented",
        });
        let kinds: Vec<_> = kinds.collect();
        let events = kinds
            .iter()
            .map(|kind| json!({ "event": kind, "data": {} }));
        let events: Vec<_> = events.collect();
        let stream = client.stream(COUNTER, &format!("c-{place}"));
        let version = self.streams[place].len() as u64;
        let appended = stream.append(version, &json!(events)).send().await;
        appended.expect(200);
        self.events += kinds.len();
        self.streams[place].extend(kinds);
    }

    /// The rows as a fold by hand gives them.
    fn rows(&self) -> BTreeMap<String, Value> {
        let streams = self.streams.iter().enumerate();
        let streams = streams.filter(|(_, events)| !events.is_empty());
        let row = |events: &Vec<&str>| {
            let (mut total, mut resets) = (0_i64, 0_u64);
            for event in events {
                match *event {
                    "Incremented" => total += 1,
                    "Decremented" => total -= 1,
                    _ => (total, resets) = (0, resets + 1),
                }
            }
            json!({ "total": total, "resets": resets })
        };
        let foreign = self.foreign.iter();
        let foreign = foreign.map(|id| (id.clone(), row(&vec!["Incremented"])));
        streams
            .map(|(place, events)| (format!("c-{place}"), row(events)))
            .chain(foreign)
            .collect()
    }
}
