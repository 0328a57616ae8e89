//! Waits for rows: of senders, who name the views that are to show what follows from a command, of
//! readers, who name a position; and views that are paused.

use futures::future::join_all;
use gavel_tests::postgres::Session;
use gavel_tests::{
    Answer, Backend, COUNTER, Client, Host, LIMIT, Store, View, component, eventually,
    on_every_store, revision,
};
use rusqlite::Connection;
use serde_json::{Value, json};

on_every_store! {
    who_waits_never_reads_an_older_row,
    a_view_that_is_not_there_is_told_before_anything_is_decided,
    what_has_no_events_is_answered_at_once_and_a_repeat_waits_as_well,
    a_sender_who_waits_takes_no_place_and_is_answered_when_the_host_ends,
    a_paused_view_stays_as_it_is_until_it_is_resumed,
    a_paused_view_is_compared_with_nothing_but_can_go_back,
}

const TALLY: &str = "tally";
/// The number of clients that send and read at the same time.
const CLIENTS: usize = 64;

async fn tally(client: &Client) -> View {
    client.deploy_example(COUNTER).await;
    let tally = client.view(TALLY);
    tally.deploy(component(TALLY)).await;
    tally
}

async fn increment(client: &Client, id: &str, awaited: &str) -> Answer {
    let command = client.stream(COUNTER, id).command("Increment", json!({}));
    command.query("await", awaited).send().await
}

fn position(answer: &Value) -> String {
    let position = answer["events"][0]["position"].as_str();
    position.unwrap().to_owned()
}

/// The counters of a client, whose rows are never older than what it has sent.
async fn count(client: Client, number: usize) {
    let (id, tally) = (format!("c-{number}"), client.view(TALLY));
    for total in 1..=4 {
        let is_awaited = total % 2 == number % 2;
        let sent = increment(&client, &id, if is_awaited { TALLY } else { "" }).await;
        let sent = sent.json(200);
        assert_eq!(sent["behind"], Value::Null, "{sent}");
        let mut read = tally.get(&format!("/rows/{id}"));
        if !is_awaited {
            read = read.header("Gavel-After", &position(&sent));
        }
        assert_eq!(read.send().await.json(200)["total"], total, "{id}");
    }
}

/// An order whose row is too large: the sender and the reader are told.
async fn order(client: Client, number: usize) {
    let (id, orders) = (format!("o-{number}"), client.view("orders"));
    let is_large = number.is_multiple_of(2);
    // In JSON, a control character has six bytes.
    let restaurant = if is_large { "\u{1}" } else { "r" }.repeat(200);
    let data = json!({ "identifier": id, "restaurant_identifier": restaurant, "line_items": [] });
    let stream = client.stream("order", &id);
    let create = stream.command("CreateOrder", data);
    let sent = create.query("await", "orders,tally").send().await.json(200);
    let read = orders.get(&format!("/rows/{id}"));
    let read = read.header("Gavel-After", &position(&sent)).send().await;
    if is_large {
        let parked = json!([{ "view": "orders", "reason": "parked" }]);
        assert_eq!(sent["behind"], parked, "{sent}");
        read.problem(503, "row-parked");
    } else {
        assert_eq!(sent["behind"], Value::Null, "{sent}");
        assert_eq!(read.json(200)["status"], "Created");
    }
}

async fn who_waits_never_reads_an_older_row(store: Store) {
    let settings = "[views]\nrow_bytes = 1024\nwait_ms = 60000\n";
    let (one, other) = (
        Host::start_configured(&store, settings).await,
        Host::start_configured(&store, settings).await,
    );
    let client = one.client();
    tally(&client).await;
    client.deploy_example("order").await;
    client.view("orders").deploy(component("orders_view")).await;
    let clients = (0..CLIENTS).map(|number| {
        let client = [&one, &other][number / 2 % 2].client();
        async move {
            count(client.clone(), number).await;
            if number < CLIENTS / 2 {
                order(client, number).await;
            }
        }
    });
    join_all(clients).await;
    let commands = json!([
        { "decider": COUNTER, "id": "c-0", "command": "Increment" },
        { "decider": COUNTER, "id": "new", "command": "Increment" },
        { "decider": COUNTER, "id": "none", "command": "Decrement" },
    ]);
    for (atomic, totals) in [(false, [5, 1]), (true, [6, 2])] {
        let commands = &commands.as_array().unwrap()[..if atomic { 2 } else { 3 }];
        let batch = json!({ "atomic": atomic, "commands": commands });
        let sent = client.post("/v1/commands?await=tally,orders", &batch);
        let sent = sent.send().await.json(200);
        assert_eq!(sent["behind"], Value::Null, "{sent}");
        for (id, total) in ["c-0", "new"].into_iter().zip(totals) {
            let row = client.view(TALLY).row(id).await.json(200);
            assert_eq!(row["total"], total, "{id}");
        }
    }
}

async fn a_view_that_is_not_there_is_told_before_anything_is_decided(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    tally(&client).await;
    let nothing = increment(&client, "c-1", "tally,nothing").await;
    let problem = nothing.problem(404, "view-not-found");
    assert_eq!(problem["view"], "nothing");
    let many: Vec<_> = (0..17).map(|number| format!("v{number}")).collect();
    for wrong in ["Tally", "tally,", &many.join(",")] {
        let refused = increment(&client, "c-1", wrong).await;
        let problem = refused.problem(400, "malformed-request");
        assert_eq!(problem["errors"][0]["parameter"], "await", "{wrong}");
    }
    let commands = json!([{ "decider": COUNTER, "id": "c-1", "command": "Increment" }]);
    for atomic in [false, true] {
        let batch = json!({ "atomic": atomic, "commands": commands });
        let sent = client.post("/v1/commands?await=nothing", &batch);
        sent.send().await.problem(404, "view-not-found");
    }
    let elsewhere = client.in_namespace("elsewhere");
    elsewhere.deploy_example(COUNTER).await;
    let other = increment(&elsewhere, "c-1", TALLY).await;
    other.problem(404, "view-not-found");
    client.stream(COUNTER, "c-1").assert_absent().await;
    elsewhere.stream(COUNTER, "c-1").assert_absent().await;
}

async fn what_has_no_events_is_answered_at_once_and_a_repeat_waits_as_well(store: Store) {
    let settings = "[views]\nwait_ms = 60000\n";
    let host = Host::start_configured(&store, settings).await;
    let client = host.client();
    let tally = tally(&client).await;
    client
        .post("/v1/views/tally/pause", &json!({}))
        .send()
        .await
        .expect(200);
    let stream = client.stream(COUNTER, "c-1");
    let awaiting = |command: &str| stream.command(command, json!({})).query("await", TALLY);
    let rejected = awaiting("Decrement").send().await;
    rejected.problem(422, "command-rejected");
    let nothing = awaiting("Reset").send().await.json(200);
    assert_eq!(
        (&nothing["events"], &nothing["behind"]),
        (&json!([]), &Value::Null)
    );
    let tried = awaiting("Increment").query("dry_run", "true").send().await;
    assert_eq!(tried.json(200)["behind"], Value::Null);

    let paused = json!([{ "view": TALLY, "reason": "paused" }]);
    let first = awaiting("Increment").key("once").send().await.json(200);
    assert_eq!(first["behind"], paused);
    let again = awaiting("Increment").key("once").send().await.json(200);
    assert_eq!(
        (&again["replayed"], &again["behind"]),
        (&json!(true), &paused)
    );
    client
        .post("/v1/views/tally/resume", &json!({}))
        .send()
        .await
        .expect(200);
    let again = awaiting("Increment").key("once").send().await.json(200);
    assert_eq!(again["behind"], Value::Null);
    assert_eq!(tally.row("c-1").await.json(200)["total"], 1);
}

/// Keeps all rows from being written until it is dropped.
enum Stall {
    File(Connection),
    Server(Session),
}

impl Stall {
    async fn begin(store: &Store) -> Self {
        match store.backend() {
            Backend::Sqlite => {
                let file = Connection::open(store.rows_path()).unwrap();
                file.busy_timeout(LIMIT).unwrap();
                file.execute_batch("BEGIN IMMEDIATE").unwrap();
                Self::File(file)
            }
            Backend::Postgres => {
                let mut session = store.session();
                session.rows("BEGIN");
                session.rows("LOCK TABLE gavel_rows.tables IN EXCLUSIVE MODE");
                Self::Server(session)
            }
        }
    }

    fn end(self) {
        match self {
            Self::File(file) => file.execute_batch("ROLLBACK").unwrap(),
            Self::Server(mut session) => drop(session.rows("ROLLBACK")),
        }
    }
}

async fn a_sender_who_waits_takes_no_place_and_is_answered_when_the_host_ends(store: Store) {
    let settings = "[views]\nwait_ms = 60000\n[server]\nmax_requests_in_flight = 1\n";
    let mut host = Host::start_configured(&store, settings).await;
    let client = host.client();
    let tally = tally(&client).await;
    let late = json!([{ "view": TALLY, "reason": "late" }]);
    let send = |id: &'static str| {
        let client = client.clone();
        tokio::spawn(async move { increment(&client, id, TALLY).await })
    };
    // The one place is free once the command is decided.
    let decided = async |id: &str| {
        eventually("it is stored", LIMIT, async || {
            let stored = store.texts("SELECT decider_id FROM events").await;
            stored.iter().any(|stored| stored == id).then_some(())
        })
        .await;
        eventually("it is decided, and the place is free", LIMIT, async || {
            let state = client.stream(COUNTER, id).state().send().await;
            (state.status() == 200).then_some(())
        })
        .await;
    };
    let stall = Stall::begin(&store).await;
    let sent = send("c-1");
    decided("c-1").await;
    assert!(!sent.is_finished());
    tally.row("c-1").await.problem(404, "row-not-found");
    stall.end();
    assert_eq!(sent.await.unwrap().json(200)["behind"], Value::Null);

    let stall = Stall::begin(&store).await;
    let sent = send("c-2");
    decided("c-2").await;
    host.ask_to_end();
    assert_eq!(sent.await.unwrap().json(200)["behind"], late);
    stall.end();
    assert!(host.ended().await.success());
}

async fn set_paused(client: &Client, how: &str) -> Value {
    let path = format!("/v1/views/tally/{how}");
    client.post(&path, &json!({})).send().await.json(200)
}

async fn a_paused_view_stays_as_it_is_until_it_is_resumed(store: Store) {
    let settings = "[views]\nwait_ms = 60000\n";
    let mut host = Host::start_configured(&store, settings).await;
    let client = host.client();
    let tally = tally(&client).await;
    increment(&client, "c-1", TALLY).await.accepted();
    for path in ["pause", "resume"] {
        let nothing = client.post(&format!("/v1/views/nothing/{path}"), &json!({}));
        nothing.send().await.problem(404, "view-not-found");
    }

    assert_eq!(set_paused(&client, "pause").await["paused"], true);
    assert_eq!(set_paused(&client, "pause").await["paused"], true);
    let sent = increment(&client, "c-1", TALLY).await.json(200);
    let paused = json!([{ "view": TALLY, "reason": "paused" }]);
    assert_eq!(sent["behind"], paused);
    let behind = tally.row_now("c-1").await;
    let problem = behind.problem(503, "view-behind");
    assert_eq!(problem["paused"], true);
    let all = tally.get("/rows").header("Gavel-After", &position(&sent));
    all.send().await.problem(503, "view-behind");
    assert_eq!(tally.row("c-1").await.json(200)["total"], 1);

    host.kill();
    host.restart().await;
    let client = host.client();
    let tally = client.view(TALLY);
    let list = client.get("/v1/views").send().await.json(200);
    assert_eq!(list["views"][0]["paused"], true);
    assert_eq!(tally.shown().await["rows"]["lag"]["events"], 1);
    let sent = increment(&client, "c-1", TALLY).await.json(200);
    assert_eq!(sent["behind"], paused);
    assert_eq!(tally.row("c-1").await.json(200)["total"], 1);

    assert_eq!(set_paused(&client, "resume").await["paused"], false);
    assert_eq!(tally.row_now("c-1").await.json(200)["total"], 3);
}

async fn a_paused_view_is_compared_with_nothing_but_can_go_back(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let tally = tally(&client).await;
    increment(&client, "c-7", TALLY).await.accepted();
    let changed = tally.upload(component("tally-changed")).await;
    tally.activate(&changed, &["rows"]).await;
    set_paused(&client, "pause").await;
    client.stream(COUNTER, "c-7").increment().await.accepted();

    let next = tally.upload(revision(component("tally-changed"), 1)).await;
    let refused = tally.activate(&next, &[]).await;
    assert_eq!(refused["status"], "failed", "{refused}");
    // It was built all the same.
    let body = json!({ "digest": next });
    let refused = client.post("/v1/views/tally/activations", &body);
    refused.send().await.problem(409, "view-paused");

    eventually("the former rows have followed", LIMIT, async || {
        let shown = tally.shown().await;
        (shown["former"][0]["lag"]["events"] == 0).then_some(())
    })
    .await;
    let back = client.post("/v1/views/tally/rollback", &json!({}));
    back.send().await.expect(201);
    let shown = tally.shown().await;
    assert_eq!(
        (&shown["paused"], &shown["active"]["activation"]),
        (&json!(true), &json!(3))
    );
    assert_eq!(tally.row("c-7").await.json(200)["total"], 2);
    set_paused(&client, "resume").await;
    client.stream(COUNTER, "c-7").increment().await.accepted();
    assert_eq!(tally.row_now("c-7").await.json(200)["total"], 3);
}
