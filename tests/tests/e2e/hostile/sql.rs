//! The effects of other sessions on the database: a later release that adds columns, and
//! constraints that refuse a command for ever.

use gavel_tests::{
    Answer, Backend, COUNTER, Client, Consumer, Host, LIMIT, Store, component, eventually,
    on_every_store, revision,
};
use serde_json::{Value, json};

use crate::feed::{Feed, SSE};
use crate::log::read;

on_every_store! {
    columns_that_a_later_release_adds_break_nothing,
    the_character_that_no_column_holds_is_refused_and_pointed_at,
    what_the_database_refuses_for_good_is_no_reason_to_try_again,
}

async fn columns_that_a_later_release_adds_break_nothing(store: Store) {
    let host = Host::start_with(&store, &[("GAVEL_COMMANDS_SNAPSHOT_EVENTS", "4")]).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    let consumer = client.consumer("all");

    // Every connection has prepared every statement, and both plans of a function have been made.
    for round in 1..4 {
        take_every_path(&client, &consumer, round).await;
    }
    assert!(store.expand().await >= 9);
    for round in 4..7 {
        take_every_path(&client, &consumer, round).await;
    }

    // Another host meets the rows that were written before and after.
    let other = Host::start(&store).await;
    take_every_path(&other.client(), &other.client().consumer("all"), 7).await;
}

/// Calls everything that reads or writes a table. All of it is answered with success.
async fn take_every_path(client: &Client, consumer: &Consumer, round: u8) {
    let name = format!("c-{round}");
    let counter = client.stream(COUNTER, &name);
    for replayed in [false, true] {
        let command = counter.command("Increment", json!({})).key(&name);
        assert_eq!(command.send().await.accepted().replayed, replayed);
    }
    let rejected = client.stream(COUNTER, &format!("empty-{round}"));
    for _ in 0..2 {
        let command = rejected
            .command("Decrement", json!({}))
            .key(&format!("r-{round}"));
        command.send().await.problem(422, "command-rejected");
    }
    let appended = json!([{ "event": "Incremented", "data": {} }]);
    counter.append(1, &appended).send().await.expect(200);
    let commands = ["a", "b"].map(|part| {
        let id = format!("{part}-{round}");
        json!({ "decider": COUNTER, "id": id, "command": "Increment", "data": {} })
    });
    let batch = json!({ "atomic": true, "commands": commands });
    client.post("/v1/commands", &batch).send().await.expect(200);
    // Long enough for a snapshot.
    for _ in 0..6 {
        counter.increment().await.accepted();
    }

    let dry = counter
        .command("Increment", json!({}))
        .query("dry_run", "true");
    dry.send().await.expect(200);
    counter.state().send().await.expect(200);
    counter.state().query("version", 1).send().await.expect(200);
    let history = counter.history_json().await;
    assert_eq!(history.len(), 8);
    let event = &history[0];
    for path in [
        "/v1/deciders",
        "/v1/deciders/counter",
        "/v1/deciders/counter/openapi.json",
        "/v1/deciders/counter/streams",
        "/v1/deciders/counter/rehearsals",
        "/v1/events",
        "/v1/events?decider=counter&event=Incremented",
        "/v1/modules",
        "/v1/modules?name=counter",
        "/v1/consumers",
        "/readyz",
        &format!("/v1/events/{}/why", event["event_id"].as_str().unwrap()),
        &format!("/v1/commands/{}/why", event["command_id"].as_str().unwrap()),
    ] {
        client.get(path).send().await.expect(200);
    }
    let verified = client.get("/v1/verify").send().await.expect(200).text();
    assert!(verified.contains(r#""differences":0"#), "{verified}");

    swap(client, round).await;
    consume(consumer).await;
}

/// Takes another module through its life: it is uploaded, rehearsed, activated, and replaced by the
/// one before.
async fn swap(client: &Client, round: u8) {
    let upload = async |number| {
        let uploaded = client.upload(revision(component(COUNTER), number)).await;
        uploaded.json(201)["digest"].as_str().unwrap().to_owned()
    };
    let unused = format!("/v1/modules/{}", upload(100 + round).await);
    client.delete(&unused).send().await.expect(204);
    let digest = upload(round).await;
    let wasm = format!("/v1/modules/{digest}/wasm");
    client.get(&wasm).send().await.expect(200);

    let candidate = json!({ "digest": digest });
    let path = "/v1/deciders/counter/rehearsals";
    let rehearsal = client.post(path, &candidate).send().await.json(202);
    let path = format!(
        "/v1/rehearsals/{}",
        rehearsal["rehearsal"].as_str().unwrap()
    );
    let over = eventually("the rehearsal is over", LIMIT, async || {
        let rehearsal = client.get(&path).send().await.json(200);
        (rehearsal["status"] != "running").then_some(rehearsal)
    });
    assert_eq!(over.await["status"], "passed");
    client.activate(COUNTER, &digest).await.expect(201);
    let path = "/v1/deciders/counter/rollback";
    client.post(path, &json!({})).send().await.expect(201);
}

/// Takes a consumer through its life, at the end of which it has nothing to do, as in the
/// beginning.
async fn consume(consumer: &Consumer) {
    let settings = json!({ "max_attempts": 1, "backoff_ms": 1 });
    let answer = consumer.put(settings.clone()).await;
    assert!([200, 201].contains(&answer.status()), "{}", answer.text());
    consumer.put(settings).await.expect(200);
    let nothing = json!(null);
    for path in ["/pause", "/resume"] {
        consumer.post(path, &nothing).await.expect(200);
    }
    let start = json!({ "start": "beginning" });
    consumer.post("/reset", &start).await.expect(200);
    for unpark in ["retry", "skip"] {
        let lease = consumer.lease_one().await;
        let held = json!({ "lease": lease["lease"] });
        consumer.post("/extend", &held).await.expect(200);
        let nacked = consumer.post("/nack", &held).await.json(200);
        assert_eq!(nacked["parked"], true);
        let parked = consumer.parked().await;
        let id = parked[0]["id"].as_str().unwrap();
        let path = format!("/parked/{COUNTER}/{id}/{unpark}");
        consumer.post(&path, &nothing).await.expect(204);
    }
    eventually("all is done", LIMIT, async || {
        for lease in consumer.leases(json!({})).await {
            consumer.ack(&lease).await.expect(200);
        }
        (consumer.report().await["lag_events"] == 0).then_some(())
    })
    .await;
}

async fn the_character_that_no_column_holds_is_refused_and_pointed_at(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let digest = client.deploy_example(COUNTER).await;

    for (path, parameter) in [
        ("/v1/deciders/counter/streams?after=%00", "after"),
        ("/v1/modules?name=a%00", "name"),
        ("/v1/modules?kind=%00", "kind"),
    ] {
        let problem = refused(&client.get(path).send().await);
        assert_eq!(problem["errors"][0]["parameter"], parameter, "{problem}");
    }
    for (path, body, pointer) in [
        (
            "activations",
            json!({ "digest": digest, "message": "a\0" }),
            "/message",
        ),
        ("rollback", json!({ "message": "\0" }), "/message"),
    ] {
        let path = format!("/v1/deciders/counter/{path}");
        let problem = refused(&client.post(&path, &body).send().await);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    let history = client.get("/v1/deciders/counter").send().await.json(200);
    assert_eq!(history["activations"].as_array().unwrap().len(), 1);
}

async fn what_the_database_refuses_for_good_is_no_reason_to_try_again(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    let counter = client.stream(COUNTER, "c-1");
    counter.increment().await.accepted();

    store.execute(refusal(store.backend())).await;
    let answer = counter.increment().await;
    answer.problem(500, "internal");
    assert_eq!(answer.header("retry-after"), None);
    assert!(!answer.text().contains("forbidden"), "{}", answer.text());
    let code = match store.backend() {
        Backend::Sqlite => "SQLite 1811",
        Backend::Postgres => "SQLSTATE 23514, forbidden",
    };
    assert!(host.log().contains(code), "{}", host.log());
    // It costs nobody else anything.
    client.stream(COUNTER, "c-2").increment().await.accepted();
}

/// The statement that forbids the second event of a stream.
fn refusal(backend: Backend) -> &'static str {
    match backend {
        Backend::Sqlite => {
            "CREATE TRIGGER forbidden BEFORE INSERT ON events WHEN NEW.version = 2 \
             BEGIN SELECT RAISE(ABORT, 'forbidden'); END"
        }
        Backend::Postgres => "ALTER TABLE events ADD CONSTRAINT forbidden CHECK (version <> 2)",
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offset_that_is_taken_is_no_lost_race() {
    let store = Store::new(Backend::Postgres).await;
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    for _ in 0..3 {
        let counter = client.stream(COUNTER, "c-1");
        counter.increment().await.accepted();
    }

    // As a dump that was restored without its sequences.
    let restored = "SELECT setval(pg_get_serial_sequence('events', 'offset'), 1)";
    store.execute(restored).await;
    let counter = client.stream(COUNTER, "c-2");
    counter.increment().await.problem(500, "internal");
    assert!(
        host.log().contains("SQLSTATE 23505, events_pkey"),
        "{}",
        host.log()
    );
    counter.increment().await.problem(500, "internal");
    counter.increment().await.accepted();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_transaction_withholds_events_of_its_own_database_and_that_is_told() {
    let (store, other) = (
        Store::new(Backend::Postgres).await,
        Store::new(Backend::Postgres).await,
    );
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    let counter = client.stream(COUNTER, "c-1");
    let mut elsewhere = other.session();
    elsewhere.run("BEGIN").unwrap();
    elsewhere.row("SELECT pg_current_xact_id()");
    counter.increment().await.accepted();
    let (_, end) = read(&client, "", 10, 1).await;

    let mut here = store.session();
    here.run("BEGIN").unwrap();
    here.row("SELECT pg_current_xact_id()");
    counter.increment().await.accepted();
    let behind = || client.get("/v1/events").query("after", &end);
    let page = behind().send().await.json(200);
    assert_eq!(page["events"], json!([]));
    assert_eq!(
        (&page["next"], &page["caught_up"]),
        (&json!(end), &json!(false))
    );
    let mut feed = Feed::open(behind(), SSE).await;
    let keeper_looks = async |withheld: bool| {
        client.consumer("any").put(json!({})).await;
        eventually("the metric tells", LIMIT, async || {
            let seconds = client.metric("gavel_log_withheld_seconds").await;
            ((seconds > 0.0) == withheld).then_some(())
        })
        .await;
    };
    keeper_looks(true).await;

    here.run("COMMIT").unwrap();
    // What has not come is not the end.
    let first = loop {
        let block = feed.next_block().await.unwrap();
        if !block.event.is_empty() {
            break block;
        }
    };
    assert_eq!(first.event, "Incremented");
    let told = feed.caught_up().await;
    assert_eq!(read(&client, &end, 10, 1).await.1, told);
    keeper_looks(false).await;
    elsewhere.run("COMMIT").unwrap();
}

fn refused(answer: &Answer) -> Value {
    answer.problem(400, "malformed-request")
}
