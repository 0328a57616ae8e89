//! A module that takes what its neighbours need, without breaking any limit of a single call.

use futures::future::join_all;
use gavel_tests::{COUNTER, Host, Store, component, on_every_store};
use serde_json::{Value, json};

on_every_store! {
    streams_that_break_their_instances_do_not_use_up_the_address_space,
    the_streams_of_a_batch_share_instances,
    a_host_without_address_space_says_so_and_blames_no_module,
    large_reads_and_writes_are_whole_beside_commands,
}

/// Checks that the streams do not use up the address space: each gets an instance of its own once
/// it has broken one, and each instance reserves gigabytes.
async fn streams_that_break_their_instances_do_not_use_up_the_address_space(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example("hostile").await;
    let break_and_go_on = async |numbers: std::ops::Range<u32>| {
        let streams = numbers.map(|number| {
            let stream = client.stream("hostile", &format!("suspect-{number}"));
            async move {
                stream
                    .send("Trap", json!({}))
                    .await
                    .problem(500, "module-trapped");
                stream.increment().await.accepted();
            }
        });
        join_all(streams).await;
    };

    break_and_go_on(0..40).await;
    let after_40 = host.address_space_bytes();
    break_and_go_on(40..120).await;
    let after_120 = host.address_space_bytes();
    assert!(
        after_120 < after_40 * 3 / 2,
        "{after_40} bytes after 40 streams, {after_120} after 120"
    );

    // Whose instance has been thrown away goes on from where it was.
    let first = client.stream("hostile", "suspect-0");
    assert_eq!(first.increment().await.accepted().version, 2);
}

async fn the_streams_of_a_batch_share_instances(store: Store) {
    const STREAMS: u64 = 300;
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    client.stream(COUNTER, "first").increment().await.accepted();
    let before = host.peak_address_space_bytes();
    let batch = |name: &str| -> Vec<Value> {
        let ids = (0..STREAMS).map(|number| format!("{name}-{number}"));
        ids.map(|id| json!({ "decider": COUNTER, "id": id, "command": "Increment", "data": {} }))
            .collect()
    };
    let sent = ["a", "b"].map(|name| {
        let body = json!({ "atomic": true, "commands": batch(name) });
        let sent = client.post("/v1/commands", &body);
        async move { sent.send().await.expect(200).text() }
    });
    join_all(sent).await;
    // An instance reserves 4 GiB at least.
    let reserved = host.peak_address_space_bytes() - before;
    assert!(
        reserved < STREAMS * (1 << 30),
        "{reserved} bytes for two batches"
    );
    for id in ["a-0", "b-299"] {
        assert_eq!(client.stream(COUNTER, id).history().await.len(), 1);
    }
}

async fn a_host_without_address_space_says_so_and_blames_no_module(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    let candidate = client.upload(component("account")).await.json(201);
    let candidate = candidate["digest"].as_str().unwrap().to_owned();
    let counter = client.stream(COUNTER, "new");
    // By another module: a stream of the same one may have an instance that others can share.
    client.deploy_example("hostile").await;
    let other = client.stream("hostile", "old");
    let decided = other.increment().await.accepted();
    let why = format!("/v1/commands/{}/why", decided.command_id);
    let batch = json!({ "atomic": true, "commands": [
        { "decider": COUNTER, "id": "a", "command": "Increment", "data": {} },
        { "decider": COUNTER, "id": "b", "command": "Increment", "data": {} },
    ] });

    // Enough for all but an instance.
    host.limit_address_space(Some(host.address_space_bytes() + (1 << 30)));
    counter.increment().await.problem(503, "overloaded");
    let refused = client.post("/v1/commands", &batch).send().await;
    refused.problem(503, "overloaded");
    let refused = client.activate("account", &candidate).await;
    refused.problem(503, "overloaded");
    let refused = client.upload(component("order")).await;
    refused.problem(503, "overloaded");
    // What cannot be decided again for want of room is no difference.
    let refused = client.get(&why).send().await;
    refused.problem(503, "overloaded");
    let verified = client.get("/v1/verify").send().await.text();
    assert!(verified.contains(r#""code":"overloaded""#), "{verified}");
    assert!(!verified.contains(r#""recorded""#), "{verified}");

    host.limit_address_space(None);
    counter.increment().await.accepted();
    let explained = client.get(&why).send().await.json(200);
    assert_eq!(explained["equal"], true, "{explained}");
    client.post("/v1/commands", &batch).send().await.expect(200);
    client.activate("account", &candidate).await.expect(201);
    client.upload(component("order")).await.expect(201);
}

/// Checks that large reads and writes take turns with commands: a stream is read in parts, and
/// large appends rest after each.
async fn large_reads_and_writes_are_whole_beside_commands(store: Store) {
    const EVENTS: u64 = 2_500;
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example("hostile").await;
    let long = client.stream("hostile", "long");
    let write = async {
        for number in [101, 999, 700, 700] {
            long.send("Burst", json!({ "number": number }))
                .await
                .accepted();
        }
    };
    let read = async {
        for version in [1, 99, 100, 101, 1_099, 1_100, 1_101, EVENTS] {
            let state = client
                .get("/v1/deciders/hostile/long")
                .query("version", version);
            assert_eq!(state.send().await.json(200)["state"], version);
        }
        let page = client.get("/v1/events").query("limit", 1_000);
        let events = page.send().await.json(200)["events"].clone();
        assert!(events.as_array().unwrap().len() > 100);
    };
    let beside = async |work: &mut (dyn Future<Output = ()> + Unpin)| {
        let neighbour = client.stream("hostile", "neighbour");
        let commands = async {
            loop {
                neighbour.increment().await.accepted();
            }
        };
        tokio::select! {
            () = work => {}
            () = commands => {}
        }
    };
    beside(&mut Box::pin(write)).await;
    beside(&mut Box::pin(read)).await;
}
