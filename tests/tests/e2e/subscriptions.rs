//! `GET /v1/events` without an end: catch-up, then live, over a real socket.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use futures::future::join_all;
use gavel_tests::{
    Backend, COUNTER, CliOutput, Client, Event, Host, LIMIT, Store, assert_sound, component,
    eventually, on_every_store,
};
use serde_json::json;

use crate::feed::{Block, Feed, NDJSON, SSE};
use crate::log;

on_every_store! {
    what_is_stored_comes_first_and_then_what_is_appended,
    lines_follow_the_log_when_they_are_asked_to,
    a_reader_goes_on_after_the_last_id_that_it_has_seen,
    a_subscription_is_filtered_as_pages_are,
    subscriptions_of_namespaces_never_mix,
    a_reader_that_is_cut_off_again_and_again_sees_every_event_once,
    a_reader_that_stops_costs_bounded_memory_and_misses_nothing,
    subscriptions_end_when_the_host_drains,
    what_cannot_be_followed_is_refused,
    subscriptions_are_counted,
    the_command_line_follows_the_log,
}

async fn start(store: &Store) -> (Host, Client) {
    let host = Host::start(store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    (host, client)
}

/// Increments counters, `each` times `writers` of them at the same time, spread over the clients.
async fn write(clients: &[Client], name: &str, writers: usize, each: usize) {
    let writing = (0..writers).map(|writer| {
        let client = &clients[writer % clients.len()];
        let counter = client.stream(COUNTER, &format!("{name}-{writer}"));
        async move {
            for _ in 0..each {
                counter.increment().await.accepted();
            }
        }
    });
    join_all(writing).await;
}

/// Follows the log until `count` events have come, over connections each of which is cut after
/// another number of bytes, `bytes` at most, and continues at one of the hosts after the other.
/// Gives the events, and the number of cuts.
async fn follow_with_cuts(clients: Vec<Client>, count: usize, bytes: usize) -> (Vec<Event>, usize) {
    let (mut events, mut cuts) = (Vec::new(), 0);
    let mut last_id = String::new();
    let mut random = 7_usize;
    while events.len() < count {
        let client = &clients[cuts % clients.len()];
        let request = client.get("/v1/events").header("Last-Event-ID", &last_id);
        let mut feed = Feed::open(request, SSE).await;
        random = random.wrapping_mul(1_103_515_245).wrapping_add(12_345) & 0x7fff_ffff;
        feed.cut_after(random % bytes);
        while events.len() < count {
            let Some(block) = feed.next_block().await else {
                cuts += 1;
                break;
            };
            last_id = block.position().unwrap_or(last_id);
            events.extend(block.event());
        }
    }
    (events, cuts)
}

/// Checks that the events are those of `streams` whole streams, each event once and in its order.
fn assert_complete(events: Vec<Event>, streams: usize) {
    assert!(events.is_sorted_by(|one, two| one.position < two.position));
    let mut histories: HashMap<String, Vec<Event>> = HashMap::new();
    for event in events {
        histories.entry(event.id.clone()).or_default().push(event);
    }
    assert_eq!(histories.len(), streams);
    histories.values().for_each(|events| assert_sound(events));
}

async fn what_is_stored_comes_first_and_then_what_is_appended(store: Store) {
    let (_host, client) = start(&store).await;
    let counter = client.stream(COUNTER, "c-1");
    counter.increment().await.accepted();
    counter.increment().await.accepted();
    log::read(&client, "", 10, 2).await;

    let mut feed = Feed::events(&client, "").await;
    let mut blocks = vec![
        feed.next_block().await.unwrap(),
        feed.next_block().await.unwrap(),
    ];
    assert_eq!(feed.caught_up().await, blocks[1].id);
    for _ in 0..3 {
        counter.increment().await.accepted();
        blocks.push(feed.next_block().await.unwrap());
    }

    let history = counter.history_json().await;
    let data: Vec<_> = blocks.iter().map(Block::json).collect();
    assert_eq!(data, history);
    for block in blocks {
        assert_eq!(block.event, "Incremented");
        assert_eq!(block.json()["position"], block.id);
    }
}

async fn lines_follow_the_log_when_they_are_asked_to(store: Store) {
    let (_host, client) = start(&store).await;
    let counter = client.stream(COUNTER, "c-1");
    counter.increment().await.accepted();

    let mut feed = Feed::open(client.get("/v1/events?follow=true"), NDJSON).await;
    let mut lines = vec![feed.next_line().await];
    for _ in 0..3 {
        counter.increment().await.accepted();
        lines.push(feed.next_line().await);
    }

    assert_eq!(lines, counter.history_json().await);
    // With a limit, both formats end after so many events.
    for (media_type, events) in [(SSE, 3), (NDJSON, 3)] {
        let request = client.get("/v1/events?follow=true&limit=3");
        let mut body = Feed::open(request, media_type).await;
        let mut text = String::new();
        while let Some(line) = body.until("\n").await {
            text.push_str(&line);
        }
        assert_eq!(text.matches("event_id").count(), events, "{text}");
    }
}

async fn a_reader_goes_on_after_the_last_id_that_it_has_seen(store: Store) {
    let (_host, client) = start(&store).await;
    let counter = client.stream(COUNTER, "c-1");
    for _ in 0..4 {
        counter.increment().await.accepted();
    }
    log::read(&client, "", 10, 4).await;
    let mut feed = Feed::events(&client, "").await;
    let events = feed.next_events(4).await;
    let end = feed.caught_up().await;
    let position = |index: usize| events[index].position.clone().unwrap();

    for seen in 0..3 {
        let after = position(seen);
        let by_header = client.get("/v1/events").header("Last-Event-ID", &after);
        let by_query = client.get("/v1/events").query("after", &after);
        // The header is what a browser adds when it connects again.
        let by_both = client
            .get("/v1/events")
            .query("after", position(3))
            .header("Last-Event-ID", &after);
        for request in [by_header, by_query, by_both] {
            let mut feed = Feed::open(request, SSE).await;
            assert_eq!(feed.next_event().await, events[seen + 1]);
        }
    }

    // The place where the end was reached is one to go on from as well.
    let request = client.get("/v1/events").header("Last-Event-ID", &end);
    let mut feed = Feed::open(request, SSE).await;
    assert_eq!(feed.next_block().await.unwrap().event, "caught-up");
    let fifth = counter.increment().await.accepted().events.remove(0);
    assert_eq!(feed.next_event().await, fifth);
}

async fn a_subscription_is_filtered_as_pages_are(store: Store) {
    const QUERIES: [&str; 8] = [
        "decider=tally",
        "decider=tally&decider=counter&event=WasReset",
        "event=WasReset&event=Incremented&id=us.nyc.1",
        "id=eu.*.1",
        "id=eu.>",
        "id=*.paris",
        "id=*",
        "id=>&event=WasReset",
    ];
    let (_host, client) = start(&store).await;
    client.deploy("tally", component(COUNTER)).await;
    let fill = async || {
        for id in ["eu.berlin.1", "eu.paris.1", "eu.paris", "us.nyc.1", "eu%"] {
            for decider in [COUNTER, "tally"] {
                let stream = client.stream(decider, id);
                stream.increment().await.accepted();
                stream.send("Reset", json!({})).await.accepted();
            }
        }
    };

    let mut feeds = Vec::new();
    for query in QUERIES {
        let mut feed = Feed::events(&client, query).await;
        feed.caught_up().await;
        feeds.push(feed);
    }
    fill().await;
    let page = async |query: &str| {
        let request = client.get(&format!("/v1/events?limit=1000&{query}"));
        let page = request.send().await.json(200);
        serde_json::from_value::<Vec<Event>>(page["events"].clone()).unwrap()
    };
    let complete = async || (page("").await.len() == 20).then_some(());
    eventually("the log shows all events", LIMIT, complete).await;

    for (query, live) in QUERIES.iter().zip(&mut feeds) {
        let expected = page(query).await;
        assert!(!expected.is_empty(), "{query}");
        assert_eq!(live.next_events(expected.len()).await, expected, "{query}");
        let mut stored = Feed::events(&client, query).await;
        assert_eq!(
            stored.next_events(expected.len()).await,
            expected,
            "{query}"
        );
    }
}

async fn subscriptions_of_namespaces_never_mix(store: Store) {
    let host = Host::start(&store).await;
    let clients = ["a-b", "a-b-c"].map(|name| host.client().in_namespace(name));
    let mut feeds = Vec::new();
    for client in &clients {
        client.deploy_example(COUNTER).await;
        let mut feed = Feed::events(client, "").await;
        feed.caught_up().await;
        feeds.push(feed);
    }

    for round in 1..=5 {
        for (index, client) in clients.iter().enumerate() {
            client
                .stream(COUNTER, &format!("of-{index}"))
                .increment()
                .await
                .accepted();
        }
        for (index, feed) in feeds.iter_mut().enumerate() {
            let event = feed.next_event().await;
            assert_eq!((event.id, event.version), (format!("of-{index}"), round));
        }
    }
}

async fn a_reader_that_is_cut_off_again_and_again_sees_every_event_once(store: Store) {
    const WRITERS: usize = 8;
    const EACH: usize = 375;
    let (_host, client) = start(&store).await;

    let reader = tokio::spawn(follow_with_cuts(
        vec![client.clone()],
        WRITERS * EACH,
        100_000,
    ));
    write(&[client], "c", WRITERS, EACH).await;
    let (events, cuts) = reader.await.unwrap();

    assert!(cuts >= 20, "{cuts} cuts");
    assert_complete(events, WRITERS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_two_hosts_and_a_foreign_append_that_stays_open_nothing_is_skipped() {
    const WRITERS: usize = 6;
    const EACH: usize = 150;
    let store = Store::new(Backend::Postgres).await;
    let (one, client) = start(&store).await;
    let two = Host::start(&store).await;
    let clients = [client, two.client()];
    let mut foreign = store.session();

    let count = 3 * WRITERS * EACH + 1;
    let cut_off = tokio::spawn(follow_with_cuts(clients.to_vec(), count, 100_000));
    let mut feeds = Vec::new();
    for host in [&one, &two] {
        let mut feed = Feed::events(&host.client(), "").await;
        feed.caught_up().await;
        feeds.push(feed);
    }
    write(&clients, "before", WRITERS, EACH).await;
    foreign.rows("BEGIN");
    foreign.rows(
        "SELECT append_event('Incremented', gen_random_uuid(), 'counter', 'foreign', '{\"by\": 1}', gen_random_uuid(), NULL)",
    );
    write(&clients, "meanwhile", WRITERS, EACH).await;
    foreign.rows("COMMIT");
    write(&clients, "after", WRITERS, EACH).await;

    for mut feed in feeds {
        assert_complete(feed.next_events(count).await, 3 * WRITERS + 1);
    }
    let (events, cuts) = cut_off.await.unwrap();
    assert!(cuts >= 15, "{cuts} cuts");
    assert_complete(events, 3 * WRITERS + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_64_writers_on_two_hosts_append_is_seen_once_and_in_order() {
    const WRITERS: usize = 64;
    const BATCHES: usize = 8;
    const COMMANDS: usize = 98;
    const EVENTS: usize = WRITERS * BATCHES * COMMANDS;
    let store = Store::new(Backend::Postgres).await;
    let (_one, client) = start(&store).await;
    let two = Host::start(&store).await;
    let clients = [client.clone(), two.client()];

    let mut live = Feed::events(&client, "").await;
    live.caught_up().await;
    let live = tokio::spawn(async move { live.next_events(EVENTS).await });
    let cut_off = tokio::spawn(follow_with_cuts(clients.to_vec(), EVENTS, 1_000_000));
    let writing = (0..WRITERS).map(|writer| {
        let client = &clients[writer % clients.len()];
        let increment = json!({ "decider": COUNTER, "id": format!("c-{writer}"), "command": "Increment", "data": {} });
        let batch = json!({ "atomic": true, "commands": vec![increment; COMMANDS] });
        async move {
            for _ in 0..BATCHES {
                client.post("/v1/commands", &batch).send().await.expect(200);
            }
        }
    });
    join_all(writing).await;

    assert_complete(live.await.unwrap(), WRITERS);
    let (events, cuts) = cut_off.await.unwrap();
    assert!(cuts >= 20, "{cuts} cuts");
    assert_complete(events, WRITERS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_foreign_session_appends_is_delivered_when_it_commits() {
    let store = Store::new(Backend::Postgres).await;
    let (_host, client) = start(&store).await;
    let mut foreign = store.session();
    let mut feed = Feed::events(&client, "").await;
    feed.caught_up().await;

    for previous in [
        "NULL",
        "(SELECT event_id FROM events ORDER BY version DESC LIMIT 1)",
    ] {
        foreign.rows("BEGIN");
        foreign.rows(&format!(
            "SELECT append_event('Incremented', gen_random_uuid(), 'counter', 'foreign', '{{\"by\": 1}}', gen_random_uuid(), {previous})"
        ));
        // What is acknowledged behind it waits for it, and comes after it.
        let own = client.stream(COUNTER, "own").increment().await.accepted();
        foreign.rows("COMMIT");
        assert_eq!(feed.next_event().await.id, "foreign");
        assert_eq!(feed.next_event().await, own.events[0]);
    }
}

/// Appends events of 100 KB each.
async fn append_large(client: &Client, id: &str, count: u64) {
    let data = json!({ "text": "x".repeat(100_000) });
    for version in 0..count {
        let events = json!([{ "event": "Incremented", "data": data }]);
        client
            .stream(COUNTER, id)
            .append(version, &events)
            .send()
            .await
            .expect(200);
    }
}

async fn a_reader_that_stops_costs_bounded_memory_and_misses_nothing(store: Store) {
    const READERS: usize = 10;
    const EVENTS: u64 = 400;
    let host = Host::start_with(&store, &[("GAVEL_SERVER_WRITE_DEADLINE_MS", "600000")]).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    append_large(&client, "before", EVENTS / 2).await;

    let mut stuck = Vec::new();
    for _ in 0..READERS {
        stuck.push(Feed::events(&client, "").await);
    }
    let mut live = Feed::events(&client, "").await;
    let before = host.memory_bytes();
    append_large(&client, "later", EVENTS / 2).await;
    live.next_events(usize::try_from(EVENTS).unwrap()).await;
    let after = host.memory_bytes();

    // All that they have not taken would be 400 MB.
    assert!(
        after < before + 150_000_000,
        "{before} before, {after} after"
    );
    for mut feed in stuck {
        let events = feed.next_events(usize::try_from(EVENTS).unwrap()).await;
        assert_complete(events, 2);
    }
}

async fn subscriptions_end_when_the_host_drains(store: Store) {
    let (mut host, client) = start(&store).await;
    let mut feed = Feed::events(&client, "").await;
    feed.caught_up().await;
    let mut lines = Feed::open(client.get("/v1/events?follow=true"), NDJSON).await;

    host.ask_to_end();

    // An end as any other: what was cut would be an error.
    assert_eq!(feed.response.chunk().await.unwrap(), None);
    assert_eq!(lines.response.chunk().await.unwrap(), None);
    assert!(host.ended().await.success());
}

async fn what_cannot_be_followed_is_refused(store: Store) {
    let host = Host::start_with(&store, &[("GAVEL_SERVER_MAX_SUBSCRIPTIONS", "1")]).await;
    let client = host.client();
    for (name, value) in [("Last-Event-ID", "7x"), ("Last-Event-ID", "-1")] {
        let request = client.get("/v1/events").header("Accept", SSE);
        let answer = request.header(name, value).send().await;
        answer.problem(400, "malformed-request");
    }
    for query in ["id=eu.>.1", "after=x", "limit=0", "follow=perhaps"] {
        let request = client.get(&format!("/v1/events?{query}"));
        let answer = request.header("Accept", SSE).send().await;
        answer.problem(400, "malformed-request");
    }
    client
        .get("/v1/events?follow=true")
        .send()
        .await
        .problem(400, "malformed-request");

    let _first = Feed::events(&client, "").await;
    let second = client.get("/v1/events").header("Accept", SSE).send().await;
    second.problem(503, "overloaded");
    assert!(second.header("retry-after").is_some());
    client.get("/v1/events").send().await.expect(200);
}

async fn subscriptions_are_counted(store: Store) {
    const LIVE: &str = "gavel_subscriptions{format=\"sse\"}";
    let (_host, client) = start(&store).await;
    let mut feed = Feed::events(&client, "").await;
    feed.caught_up().await;
    client.stream(COUNTER, "c-1").increment().await.accepted();
    feed.next_event().await;
    let live = client.metric(LIVE).await;
    let sent = client
        .metric("gavel_subscription_events_total{format=\"sse\"}")
        .await;
    let lag = client.metric("gavel_log_tail_lag_seconds_count").await;
    assert_eq!([live, sent, lag], [1.0; 3]);

    drop(feed);
    let is_gone = async || (client.metric(LIVE).await == 0.0).then_some(());
    eventually("the host notices that the reader has gone", LIMIT, is_gone).await;
}

async fn the_command_line_follows_the_log(store: Store) {
    let (host, client) = start(&store).await;
    let (one, other) = (client.stream(COUNTER, "a.1"), client.stream(COUNTER, "b.1"));
    one.increment().await.accepted();

    let writing = async {
        // Until it has seen what it waits for, however late it has begun.
        loop {
            other.increment().await.accepted();
            one.increment().await.accepted();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let arguments = [
        "events", COUNTER, "a.*", "--follow", "--limit", "5", "-o", "json",
    ];
    let followed = tokio::task::spawn_blocking(move || {
        let output = CliOutput::of(Some(&host), Path::new("."), &arguments);
        (output.exits_with(0).stdout(), host)
    });
    let (shown, _host) = tokio::select! {
        followed = followed => followed.unwrap(),
        () = writing => unreachable!("it is written without end"),
    };

    let shown: Vec<Event> = shown
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(shown, one.history().await[..5]);
    let ids: HashSet<_> = shown.iter().map(|event| event.event_id).collect();
    assert_eq!(ids.len(), 5);
}
