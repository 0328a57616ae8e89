//! `GET /v1/events`: the log of all streams.

use std::collections::HashMap;

use gavel_tests::{
    COUNTER, Client, Event, Host, LIMIT, Request, Store, assert_sound, component, eventually,
    on_every_store,
};
use serde_json::{Value, json};

on_every_store! {
    pages_of_the_log_hold_every_event_once_and_in_order,
    the_log_can_be_followed_from_where_it_was_left,
    the_log_can_be_filtered_by_decider_stream_and_event,
    tags_are_shown_and_filter_the_log_however_it_is_read,
    ids_match_patterns_by_token,
    an_event_looks_the_same_wherever_it_is_read,
    readers_miss_nothing_while_others_write,
    a_position_that_nobody_gave_is_refused,
}

/// The events of one page, and the position to continue from when it is not the last.
async fn page(request: Request) -> (Vec<Event>, String, bool) {
    let page = request.send().await.json(200);
    let events = serde_json::from_value(page["events"].clone()).unwrap();
    (
        events,
        page["next"].as_str().unwrap().to_owned(),
        page["caught_up"].as_bool().unwrap(),
    )
}

/// The log behind a position, by pages of `limit`, and where it ends: as soon as `count` events can
/// be seen.
///
/// That can be a moment after they were acknowledged: readers wait for transactions that began
/// earlier, lest they skip one.
pub(crate) async fn read(
    client: &Client,
    after: &str,
    limit: usize,
    count: usize,
) -> (Vec<Event>, String) {
    let (mut events, mut after) = (Vec::new(), after.to_owned());
    let what = format!("the log shows {count} events");
    let complete = async || {
        let request = client.get("/v1/events");
        let request = request.query("after", &after).query("limit", limit);
        let (found, next, caught_up) = page(request).await;
        assert!(found.len() <= limit);
        events.extend(found);
        after = next;
        (caught_up && events.len() >= count).then_some(())
    };
    eventually(&what, LIMIT, complete).await;
    (events, after)
}

/// The ids of the streams on the one page that a query has, once all of it can be seen.
async fn ids(client: &Client, query: &str) -> Vec<String> {
    let path = format!("/v1/events?{query}");
    let events = eventually("the page is whole", LIMIT, async || {
        let (events, _, caught_up) = page(client.get(&path)).await;
        caught_up.then_some(events)
    });
    events.await.into_iter().map(|event| event.id).collect()
}

async fn pages_of_the_log_hold_every_event_once_and_in_order(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    let mut appended = Vec::new();
    for number in 0..25 {
        let answer = client
            .stream(COUNTER, &format!("c-{}", number % 4))
            .increment()
            .await
            .accepted();
        appended.extend(answer.events);
    }

    for limit in [1, 7, 25, 1000] {
        let (events, _) = read(&client, "", limit, appended.len()).await;
        assert_eq!(events, appended, "by pages of {limit}");
        assert!(events.is_sorted_by(|one, two| one.position < two.position));
    }
}

async fn the_log_can_be_followed_from_where_it_was_left(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    let counter = client.stream(COUNTER, "c-1");
    let (nothing, start) = read(&client, "", 10, 0).await;
    assert_eq!(nothing, []);

    counter.increment().await.accepted();
    let (first, middle) = read(&client, &start, 10, 1).await;
    counter.increment().await.accepted();
    let (second, end) = read(&client, &middle, 10, 1).await;

    let both = [first.clone(), second.clone()].concat();
    assert_eq!(both, counter.history().await);
    let position = |events: &[Event]| events[0].position.clone().unwrap();
    assert_eq!(read(&client, &end, 10, 0).await.0, []);
    // The place of an event is where reading goes on behind it.
    assert_eq!(read(&client, &position(&second), 10, 0).await.0, []);
    assert_eq!(read(&client, &position(&first), 10, 1).await.0, second);
}

async fn the_log_can_be_filtered_by_decider_stream_and_event(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    client.deploy("tally", component(COUNTER)).await;
    for (decider, id) in [(COUNTER, "a"), ("tally", "b"), (COUNTER, "c")] {
        client.stream(decider, id).increment().await.accepted();
        client
            .stream(decider, id)
            .send("Reset", json!({}))
            .await
            .accepted();
    }

    read(&client, "", 100, 6).await;

    assert_eq!(ids(&client, "decider=tally").await, ["b", "b"]);
    assert_eq!(
        ids(&client, "decider=tally&decider=counter&event=WasReset").await,
        ["a", "b", "c"]
    );
    assert_eq!(
        ids(&client, "event=WasReset&event=Incremented&id=c").await,
        ["c", "c"]
    );
    assert_eq!(ids(&client, "decider=counter&id=b").await, [""; 0]);
}

async fn tags_are_shown_and_filter_the_log_however_it_is_read(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    let append = async |id, tags: Value| {
        let events = json!([{ "event": "Incremented", "data": {}, "tags": tags }]);
        client.stream(COUNTER, id).append(0, &events).send().await
    };
    append("a", json!(["customer:c-1", "x"])).await.json(200);
    append("b", json!([])).await.json(200);
    let answered = append("c", json!(["customer:c-2"])).await.json(200);
    for unfit in [
        json!(["x", "y", "x"]),
        json!(["x", "\u{0}"]),
        json!(["x", 1]),
        json!(["x", "y".repeat(256)]),
        (0..=64).map(|tag| tag.to_string()).collect(),
    ] {
        let last = unfit.as_array().unwrap().len() - 1;
        let problem = append("d", unfit).await.problem(400, "malformed-request");
        let pointer = format!("/events/0/tags/{last}");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    read(&client, "", 100, 3).await;

    assert_eq!(answered["events"][0]["tags"], json!(["customer:c-2"]));
    assert_eq!(ids(&client, "tag=customer:c-1").await, ["a"]);
    assert_eq!(ids(&client, "tag=x&tag=customer:c-1").await, ["a"]);
    assert_eq!(ids(&client, "tag=customer:c-2&tag=x").await, [""; 0]);
    let many: String = (0..65).map(|tag| format!("&tag={tag}")).collect();
    let refused = client.get(&format!("/v1/events?{many}")).send().await;
    refused.problem(400, "malformed-request");
    assert_eq!(ids(&client, "tag=x&id=c").await, [""; 0]);
    for (accept, query) in [
        ("application/x-ndjson", ""),
        ("application/x-ndjson", "&follow=true&limit=1"),
        ("text/event-stream", "&limit=1"),
    ] {
        let followed = client
            .get(&format!("/v1/events?tag=customer:c-2{query}"))
            .header("Accept", accept)
            .send()
            .await;
        let text = followed.text();
        let shown = text
            .lines()
            .map(|line| line.strip_prefix("data: ").unwrap_or(line))
            .filter(|line| line.contains("event_id"));
        let shown: Vec<Value> = shown
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(shown, [answered["events"][0].clone()], "{accept}: {text}");
    }
}

async fn ids_match_patterns_by_token(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    for id in [
        "eu.berlin.1",
        "eu.paris.1",
        "eu.paris",
        "us.nyc.1",
        "eu%",
        "eu_paris",
    ] {
        client.stream(COUNTER, id).increment().await.accepted();
    }

    read(&client, "", 100, 6).await;

    assert_eq!(
        ids(&client, "id=eu.*.1").await,
        ["eu.berlin.1", "eu.paris.1"]
    );
    assert_eq!(
        ids(&client, "id=eu.>").await,
        ["eu.berlin.1", "eu.paris.1", "eu.paris"]
    );
    assert_eq!(ids(&client, "id=*.paris").await, ["eu.paris"]);
    assert_eq!(ids(&client, "id=eu%25").await, ["eu%"]);
    assert_eq!(ids(&client, "id=*").await, ["eu%", "eu_paris"]);
    client
        .get("/v1/events?id=eu.>.1")
        .send()
        .await
        .problem(400, "malformed-request");
}

async fn an_event_looks_the_same_wherever_it_is_read(store: Store) {
    const MEMBERS: [&str; 14] = [
        "command_id",
        "created_at",
        "data",
        "decider",
        "event",
        "event_id",
        "final",
        "id",
        "metadata",
        "position",
        "previous_id",
        "schema_version",
        "tags",
        "version",
    ];
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example("account").await;
    let account = client.stream("account", "acc-1");

    let answered = account
        .send("Open", json!({ "owner": "Ann \u{1f98a} \"O'Neil\" \\ ☃" }))
        .await
        .json(200);
    let answered = &answered["events"][0];
    let in_stream = &account.history_json().await[0];
    // A transaction of another test may hold back for a moment what was shown before.
    let in_log = eventually("the page shows it", LIMIT, async || {
        let page = client.get("/v1/events").send().await.json(200);
        page["events"].get(0).is_some().then_some(page)
    })
    .await;
    let lines: Vec<Value> = eventually("the lines show it", LIMIT, async || {
        let request = client.get("/v1/events");
        let request = request.header("Accept", "application/x-ndjson");
        let lines = request
            .send()
            .await
            .text()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect::<Vec<_>>();
        (!lines.is_empty()).then_some(lines)
    })
    .await;

    assert_eq!(in_stream, answered);
    assert_eq!(&in_log["events"][0], answered);
    assert_eq!(lines, std::slice::from_ref(answered));
    for member in MEMBERS {
        assert!(
            answered.get(member).is_some(),
            "an event has a {member}: {answered}"
        );
    }
    let created_at = answered["created_at"].as_str().unwrap();
    assert!(created_at.ends_with('Z'), "times are UTC: {created_at}");
}

async fn readers_miss_nothing_while_others_write(store: Store) {
    const WRITERS: usize = 8;
    const EACH: usize = 40;
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;

    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let counter = client.stream(COUNTER, &format!("c-{writer}"));
            tokio::spawn(async move {
                for _ in 0..EACH {
                    counter.increment().await.accepted();
                }
            })
        })
        .collect();
    // Tails the log while it grows, always from where it was left.
    let (seen, _) = read(&client, "", 50, WRITERS * EACH).await;
    for writer in writers {
        writer.await.unwrap();
    }

    assert!(seen.is_sorted_by(|one, two| one.position < two.position));
    let mut streams: HashMap<String, Vec<Event>> = HashMap::new();
    for event in seen {
        streams.entry(event.id.clone()).or_default().push(event);
    }
    assert!(streams.values().all(|events| events.len() == EACH));
    streams.values().for_each(|events| assert_sound(events));
}

async fn a_position_that_nobody_gave_is_refused(store: Store) {
    let host = Host::start(&store).await;
    for after in ["7x", "-1", "0x1", "999999999999999999999"] {
        host.client()
            .get("/v1/events")
            .query("after", after)
            .send()
            .await
            .problem(400, "malformed-request");
    }
    for limit in ["0", "1001", "-1", "x"] {
        host.client()
            .get("/v1/events")
            .query("limit", limit)
            .send()
            .await
            .problem(400, "malformed-request");
    }
}
