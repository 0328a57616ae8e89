//! A module that misbehaves on command: it harms that command, and nothing else.

use std::time::{Duration, Instant};

use futures::future::join_all;
use gavel_tests::{COUNTER, Client, Host, Store, on_every_store};
use serde_json::{Value, json};

/// The decider whose commands are named after what they do; `Increment` works as it should.
const HOSTILE: &str = "hostile";

on_every_store! {
    a_module_that_traps_harms_its_command_only,
    a_module_that_does_not_end_harms_its_command_only,
    a_module_that_takes_too_much_harms_its_command_only,
    a_module_that_answers_too_much_harms_its_command_only,
    a_module_that_breaks_its_contract_harms_its_command_only,
    a_stream_that_traps_again_and_again_does_not_make_its_neighbours_load,
    others_are_answered_while_modules_loop,
    a_fault_within_an_atomic_batch_stores_nothing_of_it,
    a_history_that_cannot_be_folded_harms_its_stream_only,
    what_a_fault_left_behind_is_not_seen_by_the_next_command,
}

/// A command and the expected answer: a status, and one of these codes.
type Misdeed = (&'static str, Value, u16, &'static [&'static str]);

const NEVER_ENDING: &[&str] = &["module-out-of-fuel", "module-deadline"];

async fn harms_its_command_only(store: Store, misdeeds: &[Misdeed]) {
    let host = Host::start(&store).await;
    let client = host.client();
    let digest = client.deploy_example(HOSTILE).await;
    let (stream, other) = (client.stream(HOSTILE, "h-1"), client.stream(HOSTILE, "h-2"));
    stream.increment().await.accepted();

    for (version, (command, data, status, codes)) in (2..).zip(misdeeds) {
        let answer = stream.send(command, data.clone()).await;
        let code = answer.code().unwrap_or_default();
        assert!(
            codes.contains(&code.as_str()),
            "{command} answers {}: {}",
            answer.status(),
            answer.text()
        );
        let problem = answer.problem(*status, &code);
        assert_eq!(problem["module"], json!(digest), "{command}");
        if *status == 504 {
            assert!(problem.get("limit").is_some(), "{command}: {problem}");
        }

        // Nothing was stored, on a stream with a history as on a new one, and both take the next
        // command.
        let new = client.stream(HOSTILE, &format!("new-{command}"));
        new.send(command, data.clone()).await.expect(*status);
        new.assert_absent().await;
        assert_eq!(
            other.increment().await.accepted().version,
            version - 1,
            "{command}"
        );
        assert_eq!(
            stream.increment().await.accepted().version,
            version,
            "{command}"
        );
    }
    let stored = u64::try_from(misdeeds.len() + 1).unwrap();
    assert_eq!(
        stream.state().send().await.json(200)["state"],
        json!(stored)
    );
    let events = stream.history().await;
    assert!(events.iter().all(|event| event.event == "Incremented"));
}

async fn a_module_that_traps_harms_its_command_only(store: Store) {
    let trapped = &["module-trapped"];
    let misdeeds: [Misdeed; 6] = [
        ("Trap", json!({}), 500, trapped),
        (
            "Panic",
            json!({ "text": "no stack of ours in the answer" }),
            500,
            trapped,
        ),
        ("Abort", json!({}), 500, trapped),
        ("Exit", json!({}), 500, trapped),
        ("Recurse", json!({}), 500, trapped),
        ("PoisonedEvent", json!({}), 500, trapped),
    ];
    harms_its_command_only(store, &misdeeds).await;
}

async fn a_stream_that_traps_again_and_again_does_not_make_its_neighbours_load(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(HOSTILE).await;
    let (traps, neighbours) = (20, 10);
    let bad = client.stream(HOSTILE, "bad");
    for _ in 0..traps {
        bad.send("Trap", json!({}))
            .await
            .problem(500, "module-trapped");
        for number in 0..neighbours {
            let good = client.stream(HOSTILE, &format!("good-{number}"));
            good.increment().await.accepted();
        }
    }
    let loads = client.metric("gavel_hot_loads_total").await;
    // The first trap takes the neighbours of that moment along, and no later one does.
    let most = f64::from(traps + 2 * neighbours);
    assert!(loads <= most, "{loads} loads, at most {most} are needed");
}

async fn a_module_that_does_not_end_harms_its_command_only(store: Store) {
    let misdeeds: [Misdeed; 4] = [
        ("Loop", json!({}), 504, NEVER_ENDING),
        ("SlowEvent", json!({}), 504, NEVER_ENDING),
        ("Print", json!({}), 504, NEVER_ENDING),
        ("FillMemory", json!({}), 504, NEVER_ENDING),
    ];
    harms_its_command_only(store, &misdeeds).await;
}

async fn a_module_that_takes_too_much_harms_its_command_only(store: Store) {
    let misdeeds: [Misdeed; 2] = [
        ("EatMemory", json!({}), 504, &["module-out-of-memory"]),
        // Ten million events do not fit into the memory of the module, to begin with.
        (
            "ManyEvents",
            json!({ "number": 10_000_000 }),
            504,
            &["module-out-of-memory"],
        ),
    ];
    harms_its_command_only(store, &misdeeds).await;
}

async fn a_module_that_answers_too_much_harms_its_command_only(store: Store) {
    let broken = &["module-broke-contract"];
    let misdeeds: [Misdeed; 4] = [
        ("ManyEvents", json!({ "number": 100_000 }), 500, broken),
        ("HugeEvent", json!({ "number": 2_000_000 }), 500, broken),
        ("AliasedEvents", json!({ "number": 1_000 }), 500, broken),
        ("HugeRejection", json!({ "number": 2_000_000 }), 500, broken),
    ];
    harms_its_command_only(store, &misdeeds).await;
}

async fn a_module_that_breaks_its_contract_harms_its_command_only(store: Store) {
    let broken = &["module-broke-contract"];
    let misdeeds: [Misdeed; 8] = [
        ("UndeclaredEvent", json!({}), 500, broken),
        ("UndeclaredVersion", json!({}), 500, broken),
        ("RefusedEvent", json!({}), 500, broken),
        ("InvalidJson", json!({}), 500, broken),
        ("NulCharacter", json!({}), 500, broken),
        ("NulInName", json!({}), 500, broken),
        ("DeepJson", json!({ "number": 100_000 }), 500, broken),
        ("InvalidRejectionData", json!({}), 500, broken),
    ];
    harms_its_command_only(store, &misdeeds).await;
}

async fn others_are_answered_while_modules_loop(store: Store) {
    let host = Host::start_with(&store, &[("GAVEL_SANDBOX_DEADLINE_MS", "500")]).await;
    let client = host.client();
    client.deploy_example(HOSTILE).await;
    client.deploy_example(COUNTER).await;

    let loops = (0..12).map(|number| {
        let stream = client.stream(HOSTILE, &format!("loop-{number}"));
        tokio::spawn(async move { stream.send("Loop", json!({})).await })
    });
    let loops: Vec<_> = loops.collect();
    let start = Instant::now();
    let others = join_all((0..20).map(|number| increments(&client, number))).await;
    let took = start.elapsed();

    assert_eq!(others, [3; 20]);
    assert!(took < Duration::from_secs(20), "others waited for {took:?}");
    for looping in loops {
        let answer = looping.await.unwrap();
        assert_eq!(answer.status(), 504, "{}", answer.text());
    }
}

async fn increments(client: &Client, number: usize) -> u64 {
    let stream = client.stream(
        if number.is_multiple_of(2) {
            COUNTER
        } else {
            HOSTILE
        },
        &format!("c-{number}"),
    );
    stream.increment().await.accepted();
    stream.increment().await.accepted();
    stream.increment().await.accepted().version
}

async fn a_fault_within_an_atomic_batch_stores_nothing_of_it(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(HOSTILE).await;
    client.deploy_example(COUNTER).await;

    let body = json!({ "atomic": true, "commands": [
        { "decider": COUNTER, "id": "c-1", "command": "Increment" },
        { "decider": HOSTILE, "id": "h-1", "command": "Increment" },
        { "decider": HOSTILE, "id": "h-1", "command": "Trap" },
    ] });
    let problem = client
        .post("/v1/commands", &body)
        .send()
        .await
        .problem(500, "module-trapped");

    assert_eq!(problem["command_index"], 2);
    for (decider, id) in [(COUNTER, "c-1"), (HOSTILE, "h-1")] {
        client.stream(decider, id).assert_absent().await;
        client.stream(decider, id).increment().await.accepted();
    }
}

async fn a_history_that_cannot_be_folded_harms_its_stream_only(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(HOSTILE).await;

    let histories = [
        ("Poisoned", 500, "module-trapped"),
        ("Refused", 500, "module-broke-contract"),
    ];
    for (event, status, code) in histories {
        let stream = client.stream(HOSTILE, event);
        stream
            .append(0, &json!([{ "event": event, "data": {} }]))
            .send()
            .await
            .json(200);

        stream.state().send().await.problem(status, code);
        stream.increment().await.problem(status, code);

        // What is stored can be read all the same, and others are as they were.
        assert_eq!(stream.history().await.len(), 1);
        client
            .stream(HOSTILE, &format!("beside-{event}"))
            .increment()
            .await
            .accepted();
    }
}

async fn what_a_fault_left_behind_is_not_seen_by_the_next_command(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(HOSTILE).await;

    // It counts the calls in its memory: in an instance of its own, each is the first.
    for id in ["h-1", "h-1", "h-2"] {
        let counted = client
            .stream(HOSTILE, id)
            .send("Count", json!({}))
            .await
            .accepted();
        assert_eq!(counted.events[0].data, json!(0));
        client
            .stream(HOSTILE, id)
            .send("Trap", json!({}))
            .await
            .problem(500, "module-trapped");
    }
}
