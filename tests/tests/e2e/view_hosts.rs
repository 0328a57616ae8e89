//! Hosts that share the tables of views: each view is folded by one of them, and by another one
//! once that is gone.

use std::collections::BTreeMap;

use futures::future::join_all;
use gavel_tests::{Backend, COUNTER, Client, Host, LIMIT, Store, component, eventually};

use serde_json::json;

use crate::load::{Load, Outcome};

const TALLY: &str = "tally";
/// So many that hardly ever all of them belong to one host.
const VIEWS: usize = 12;

/// Reads wait for as long as it takes until a view has another host.
const PATIENT: [(&str, &str); 1] = [("GAVEL_VIEWS_WAIT_MS", "30000")];

fn names() -> impl Iterator<Item = String> {
    (0..VIEWS).map(|number| format!("t-{number}"))
}

/// Waits until a host has heard how many there are.
async fn hears(host: &Host, hosts: usize) {
    let said = format!("\"hosts\":{hosts}}}");
    eventually("the host hears of the others", LIMIT, async || {
        let log = host.log();
        let mut news = log.lines().filter(|line| line.contains("hosts that share"));
        news.next_back()
            .is_some_and(|line| line.contains(&said))
            .then_some(())
    })
    .await;
}

/// Activates one module under all names.
async fn deploy_all(client: &Client) {
    let digest = client.view(TALLY).upload(component(TALLY)).await;
    let activations = names().map(|name| {
        let body = json!({ "digest": digest });
        async move {
            let path = format!("/v1/views/{name}/activations");
            // The others of the namespace come first.
            while client.post(&path, &body).send().await.status() == 409 {}
        }
    });
    join_all(activations).await;
    let list = client.get("/v1/views").send().await.json(200);
    assert_eq!(list["views"].as_array().unwrap().len(), VIEWS, "{list}");
}

/// The number of events that a host has folded for each view.
async fn folded(client: &Client) -> BTreeMap<String, u64> {
    let metrics = client.get("/metrics").send().await.expect(200).text();
    let mut folded = BTreeMap::new();
    for line in metrics.lines() {
        let Some(counter) = line.strip_prefix("gavel_view_events_total{") else {
            continue;
        };
        let (labels, count) = counter.split_once("} ").unwrap();
        let name = labels.split('"').nth(3).unwrap();
        // As a candidate, and then as the active one.
        *folded.entry(name.to_owned()).or_default() += count.parse::<u64>().unwrap();
    }
    folded
}

/// Checks that on both hosts each view has counted what was sent, neither more nor less.
async fn assert_counted(hosts: &[&Host], sent: &BTreeMap<String, u64>) {
    for host in hosts {
        let client = host.client();
        let reads = names().map(|name| {
            let view = client.view(&name);
            async move { (name, view.all_now().await) }
        });
        for (name, rows) in join_all(reads).await {
            let rows = rows.into_iter();
            let totals: BTreeMap<_, _> = rows
                .map(|(key, row)| (key, row["total"].as_u64().unwrap()))
                .collect();
            assert_eq!(totals, *sent, "{name} on {}", host.address());
        }
    }
}

/// Sends increments to both hosts until each has acknowledged some, with `meanwhile` in between.
async fn send(hosts: &[&Host], sent: &mut BTreeMap<String, u64>, meanwhile: impl AsyncFnOnce()) {
    let loads = hosts
        .iter()
        .map(|host| Load::start(&host.client(), "c", 2, 5));
    let loads: Vec<_> = loads.collect();
    for load in &loads {
        load.acknowledges(10).await;
    }
    meanwhile().await;
    for load in &loads {
        load.acknowledges(25).await;
    }
    for load in loads {
        for command in load.finish().await {
            if let Outcome::Acknowledged(_) = command.outcome {
                *sent.entry(command.stream).or_default() += 1;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_view_is_folded_by_one_host_and_by_another_when_that_is_gone() {
    let store = Store::new(Backend::Postgres).await;
    let one = Host::start_with(&store, &PATIENT).await;
    let mut two = Host::start_with(&store, &PATIENT).await;
    hears(&one, 2).await;
    hears(&two, 2).await;
    let client = one.client();
    client.deploy_example(COUNTER).await;
    deploy_all(&client).await;
    let mut sent = BTreeMap::new();
    send(&[&one, &two], &mut sent, async || {}).await;
    assert_counted(&[&one, &two], &sent).await;

    // Each view is one host's, and each host has some.
    let all: u64 = sent.values().sum();
    let (of_one, of_two) = eventually("the hosts count what they fold", LIMIT, async || {
        let counts = [folded(&client).await, folded(&two.client()).await];
        let counted: u64 = counts.iter().flat_map(BTreeMap::values).sum();
        let [of_one, of_two] = counts;
        (counted == all * VIEWS as u64).then_some((of_one, of_two))
    })
    .await;
    assert!(
        of_one.len() + of_two.len() == VIEWS,
        "{of_one:?} {of_two:?}"
    );
    assert!(
        !of_one.is_empty() && !of_two.is_empty(),
        "{of_one:?} {of_two:?}"
    );
    assert!(of_one.keys().all(|view| !of_two.contains_key(view)));

    // What has to be built first is built, on whatever host.
    let former = client.view("late").deploy(component(TALLY)).await;
    let late = two.client().view("late").all_now().await;
    assert_eq!(late.len(), sent.len());
    // A host can swap a view that another one folds.
    let changed = client.view("late").upload(component("tally-changed")).await;
    for (host, digest) in [(&one, &changed), (&two, &former), (&one, &changed)] {
        let activated = host.client().view("late").activate(digest, &[]).await;
        assert!(activated["activation"].is_number(), "{activated}");
    }

    // It is killed, and nothing is lost or doubled.
    send(&[&one], &mut sent, async || two.kill()).await;
    assert_counted(&[&one], &sent).await;
    hears(&one, 1).await;
    two.restart().await;
    hears(&one, 2).await;
    hears(&two, 2).await;

    // It is frozen in the middle of whatever it does, and comes back.
    send(&[&one, &two], &mut sent, async || {}).await;
    two.freeze();
    send(&[&one], &mut sent, async || hears(&one, 1).await).await;
    assert_counted(&[&one], &sent).await;
    two.thaw();
    hears(&one, 2).await;
    send(&[&one, &two], &mut sent, async || {}).await;
    assert_counted(&[&one, &two], &sent).await;

    // It says that it ends.
    let newest = "SELECT '''' || host || '''' FROM hosts ORDER BY seen_at DESC LIMIT 2";
    let both = store.texts(newest).await.join(", ");
    two.ask_to_end();
    assert!(two.ended().await.success());
    let left = format!("SELECT count(*)::TEXT FROM hosts WHERE host IN ({both})");
    assert_eq!(store.texts(&left).await, ["1"]);
    send(&[&one], &mut sent, async || hears(&one, 1).await).await;
    assert_counted(&[&one], &sent).await;
}

/// Hosts that have their rows in different places share none, and each folds all views.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_with_rows_in_different_places_fold_all_views_each() {
    let (store, elsewhere) = (
        Store::new(Backend::Postgres).await,
        Store::new(Backend::Postgres).await,
    );
    let one = Host::start_with(&store, &PATIENT).await;
    let settings = [PATIENT[0], ("GAVEL_VIEWS_STORE", elsewhere.url())];
    let two = Host::start_with(&store, &settings).await;
    let client = one.client();
    client.deploy_example(COUNTER).await;
    deploy_all(&client).await;
    let mut sent = BTreeMap::new();
    send(&[&one, &two], &mut sent, async || {}).await;
    for name in names() {
        eventually("the other host builds the rows, too", LIMIT, async || {
            (two.client().view(&name).row("c-0").await.status() == 200).then_some(())
        })
        .await;
    }
    assert_counted(&[&one, &two], &sent).await;
}

/// A host that has folded events which another one has committed meanwhile, to the same position,
/// may have folded them into rows of the other's. It goes on from the rows as they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_another_host_was_faster_with_are_read_again() {
    let store = Store::new(Backend::Postgres).await;
    let mut host = Host::start(&store).await;
    host.client().deploy_example(COUNTER).await;
    host.client().view(TALLY).deploy(component(TALLY)).await;
    let counter = |host: &Host, id| host.client().stream(COUNTER, id);
    counter(&host, "c-1").increment().await.accepted();
    // A host that has built the table knows what is not in it; this one does not.
    host.ask_to_end();
    assert!(host.ended().await.success());
    host.restart().await;
    counter(&host, "c-1").increment().await.accepted();
    let tally = host.client().view(TALLY);
    assert_eq!(tally.row_now("c-1").await.json(200)["total"], 2);

    // The event and its row come at once, as they do for a host that is late.
    let mut other = store.session();
    other.rows("BEGIN");
    other.rows(&format!(
        "SELECT append_event('Incremented', gen_random_uuid(), '{COUNTER}', 'c-2', '{{}}', gen_random_uuid(), NULL)"
    ));
    let digits = |number| format!("length(to_hex({number})) || to_hex({number})");
    let (transaction, offset) = (digits("transaction_id::TEXT::BIGINT"), digits("\"offset\""));
    let position = other.row(&format!(
        "SELECT '0' || {transaction} || {offset} FROM events ORDER BY \"offset\" DESC LIMIT 1"
    ));
    let row = json!({ "total": 1, "resets": 0 });
    let row = json!({ "key": "c-2", "position": position, "row": row, "total": 1 });
    other.rows(&format!(
        "INSERT INTO gavel_rows.v_1 SELECT (jsonb_populate_record(r, '{row}')).* FROM gavel_rows.v_1 AS r"
    ));
    other.rows(&format!(
        "UPDATE gavel_rows.tables SET position = '{position}', row_count = row_count + 1"
    ));
    other.rows("COMMIT");

    let read = tally.get("/rows/c-2").header("Gavel-After", &position);
    assert_eq!(read.send().await.json(200)["total"], 1);
    counter(&host, "c-2").increment().await.accepted();
    assert_eq!(tally.row_now("c-2").await.json(200)["total"], 2);
}
