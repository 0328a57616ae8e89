//! Views at the size that the campaign asks for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream;
use gavel_tests::{
    Backend, COUNTER, Client, Host, LIMIT, Store, View, component, eventually, on_every_store,
};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::{rounds, size};

on_every_store! {
    no_read_fails_or_mixes_modules_while_a_view_is_built_and_swapped,
    hosts_that_are_killed_count_each_event_of_one_row_once,
}

const TALLY: &str = "tally";
/// The readers at the same time.
const READERS: u64 = 64;
/// The commands of a request.
const BATCH: u64 = 500;
/// The requests at the same time.
const REQUESTS: usize = 8;
/// The events of an append.
const APPEND: u64 = 1_000;

/// Readers go on while another module's rows are built, while the pointer moves to them, and while
/// it moves back. No read fails, and each answer is that of the module which it names.
async fn no_read_fails_or_mixes_modules_while_a_view_is_built_and_swapped(store: Store) {
    let host = Host::start(&store).await;
    let rows = size(300);
    for (seed, _) in rounds() {
        let client = host.client().in_namespace(&format!("round-{seed}"));
        client.deploy_example(COUNTER).await;
        increment_each(&client, rows).await;
        let view = client.view(TALLY);
        let former = view.upload(component(TALLY)).await;
        activate(&client, &view, &former, rows).await;
        let changed = view.upload(component("tally-changed")).await;
        let readers = Readers::start(&view, rows, former.clone(), seed);
        activate(&client, &view, &changed, rows).await;
        readers.see_each(&changed).await;
        let back = client.post("/v1/views/tally/rollback", &json!({}));
        back.send().await.expect(201);
        let former_reads = readers.reads_of(&former);
        eventually("the former rows are read again", LIMIT, async || {
            (readers.reads_of(&former) > former_reads + READERS).then_some(())
        })
        .await;
        readers.stop().await;
    }
}

/// All events are of one row, the view is kept while they are appended, and hosts, two of them on
/// PostgreSQL, are killed meanwhile.
async fn hosts_that_are_killed_count_each_event_of_one_row_once(store: Store) {
    let mut hosts = vec![Host::start(&store).await];
    if store.backend() == Backend::Postgres {
        hosts.push(Host::start(&store).await);
    }
    let events = size(5_000);
    for (seed, mut random) in rounds() {
        let namespace = format!("round-{seed}");
        let within = |host: &Host| host.client().in_namespace(&namespace);
        within(&hosts[0]).deploy_example(COUNTER).await;
        within(&hosts[0]).view(TALLY).deploy(component(TALLY)).await;
        let (mut sent, mut kills) = (0, 0);
        while sent < events {
            let place = random.random_range(0..hosts.len());
            let count = random.random_range(1..=APPEND).min(events - sent);
            let increment = json!({ "event": "Incremented", "data": {} });
            let all = vec![increment; usize::try_from(count).unwrap()];
            let stream = within(&hosts[place]).stream(COUNTER, "one");
            stream.append(sent, &json!(all)).send().await.expect(200);
            sent += count;
            if random.random_ratio(1, 8) {
                hosts[place].kill();
                hosts[place].restart().await;
                kills += 1;
            }
        }
        eprintln!("{sent} events of one row, {kills} kills");
        for host in &hosts {
            let view = within(host).view(TALLY);
            let row = eventually("all events are in the row", longest(events), async || {
                let answer = view.row_now("one").await;
                (answer.status() == 200).then(|| answer.json(200))
            });
            assert_eq!(row.await["total"], events);
        }
    }
}

/// Activates a module whose rows are to be built.
async fn activate(client: &Client, view: &View, digest: &str, rows: u64) {
    let begun = view.begin_activation(digest, &["rows"]).await;
    let path = format!("/v1/rehearsals/{}", begun["rehearsal"].as_str().unwrap());
    let ended = eventually("the module is activated", longest(rows), async || {
        let rehearsal = client.get(&path).send().await.json(200);
        (rehearsal["status"] != "running").then_some(rehearsal)
    });
    let ended = ended.await;
    assert!(ended["activation"].is_number(), "{ended}");
}

/// The limit of time for something that is done with so many rows or events.
fn longest(size: u64) -> Duration {
    LIMIT + Duration::from_millis(size)
}

/// Increments as many counters once each.
async fn increment_each(client: &Client, counters: u64) {
    let batches = (0..counters.div_ceil(BATCH)).map(|batch| {
        let first = batch * BATCH;
        let commands = (first..counters.min(first + BATCH)).map(
            |number| json!({ "decider": COUNTER, "id": format!("c-{number}"), "command": "Increment", "data": {} }),
        );
        let body = json!({ "commands": commands.collect::<Vec<Value>>() });
        async move {
            let answer = client.post("/v1/commands", &body).send().await.json(200);
            let results = answer["results"].as_array().unwrap();
            assert!(results.iter().all(|result| result["version"] == 1), "{answer}");
        }
    });
    let mut sent = stream::iter(batches).buffer_unordered(REQUESTS);
    while sent.next().await.is_some() {}
}

/// Clients that read rows of one module or the other, of which one counts double in each tenth row.
struct Readers {
    reads: Arc<Reads>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    begun: Instant,
}

struct Reads {
    former: String,
    of_former: AtomicU64,
    of_other: AtomicU64,
    is_over: AtomicBool,
}

impl Readers {
    fn start(view: &View, rows: u64, former: String, seed: u64) -> Self {
        let reads = Arc::new(Reads {
            former,
            of_former: AtomicU64::new(0),
            of_other: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        let task = |reader: u64| {
            let (view, reads) = (view.clone(), Arc::clone(&reads));
            let mut random = StdRng::seed_from_u64(seed ^ reader << 32);
            async move {
                while !reads.is_over.load(Ordering::Relaxed) {
                    reads.read(&view, random.random_range(0..rows)).await;
                }
            }
        };
        Self {
            tasks: (0..READERS)
                .map(|reader| tokio::spawn(task(reader)))
                .collect(),
            reads,
            begun: Instant::now(),
        }
    }

    fn reads_of(&self, digest: &str) -> u64 {
        self.reads.of(digest).load(Ordering::Relaxed)
    }

    /// Waits until each reader may have read rows of a module.
    async fn see_each(&self, digest: &str) {
        eventually("rows of the module are read", LIMIT, async || {
            (self.reads_of(digest) > READERS).then_some(())
        })
        .await;
    }

    async fn stop(self) {
        self.reads.is_over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        let [former, other] = [&self.reads.of_former, &self.reads.of_other];
        let all = former.load(Ordering::Relaxed) + other.load(Ordering::Relaxed);
        let seconds = self.begun.elapsed().as_secs_f64();
        eprintln!("{all} reads in {seconds:.1} s, {other:?} of them of the other module");
    }
}

impl Reads {
    fn of(&self, digest: &str) -> &AtomicU64 {
        if digest == self.former {
            &self.of_former
        } else {
            &self.of_other
        }
    }

    async fn read(&self, view: &View, number: u64) {
        let answer = view.row(&format!("c-{number}")).await;
        let total = &answer.json(200)["total"];
        let module = answer.header("gavel-module").unwrap();
        let counts_double = module != self.former && number % 10 == 7;
        assert_eq!(*total, if counts_double { 2 } else { 1 }, "c-{number}");
        self.of(module).fetch_add(1, Ordering::Relaxed);
    }
}
