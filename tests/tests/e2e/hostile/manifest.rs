//! Modules whose schemas keep a host busy: too expensive ones are refused, and the most expensive
//! one that is accepted blocks no other request.

use std::cell::Cell;
use std::thread::available_parallelism;

use futures::future::{join, join_all};
use gavel_tests::{Backend, COUNTER, Client, Host, LIMIT, Store, with_manifest};
use serde_json::{Value, json};
use tokio::time::timeout;

/// The number of checks that each sender has made while signs of life are counted.
const CHECKS: usize = 3;

/// A manifest with one command, `Do`, of this schema.
fn manifest(schema: &Value) -> Value {
    json!({
        "name": "dear", "kind": "decider", "sdk": "none", "commands": [{ "name": "Do", "schema": schema }],
        "events": [{ "name": "Done", "schema_version": 1, "schema": true }],
        "state_schema": true, "rejections": [], "specs": [],
    })
}

/// Schemas that each refer to the one below, in this way; the lowest is an integer.
fn tower(levels: usize, level: impl Fn(Value) -> Value) -> Value {
    let mut definitions = json!({ "d0": { "type": "integer" } });
    for number in 1..=levels {
        let below = json!({ "$ref": format!("#/$defs/d{}", number - 1) });
        definitions[format!("d{number}")] = level(below);
    }
    json!({ "$ref": format!("#/$defs/d{levels}"), "$defs": definitions })
}

fn patterns(count: usize) -> Value {
    let pattern = |number| json!({ "pattern": format!(r"\p{{L}}{{200}}{number}") });
    json!({ "anyOf": (0..count).map(pattern).collect::<Vec<_>>() })
}

/// Sends another client's command, and asks for a sign of life.
async fn others_are_served(client: &Client) {
    client.get("/livez").send().await.expect(200);
    client.stream(COUNTER, "c-1").increment().await.accepted();
}

#[tokio::test]
async fn schemas_that_cost_too_much_are_refused_by_name_and_hold_up_nobody() {
    let store = Store::new(Backend::Sqlite).await;
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    let twice = |keyword: &'static str| move |below: Value| json!({ keyword: [below, below] });
    let unevaluated =
        |below: Value| json!({ "allOf": [below, below], "unevaluatedProperties": false });
    for (schema, reason) in [
        (tower(30, twice("oneOf")), "more than 10000 paths"),
        (tower(18, twice("anyOf")), "more than 10000 paths"),
        (tower(20_000, |below| below), "without descending"),
        (tower(12, unevaluated), "`unevaluatedProperties`"),
        (patterns(150), "more than 100 patterns"),
        (patterns(100), "more than 65536 bytes"),
    ] {
        let module = with_manifest(&manifest(&schema));
        let (refused, ()) = join(client.upload(module), others_are_served(&client)).await;
        let problem = refused.problem(422, "invalid-module");
        let reasons = problem["reasons"].to_string();
        assert!(
            reasons.contains("command `Do`") && reasons.contains(reason),
            "{reasons}"
        );
        others_are_served(&client).await;
    }
}

#[tokio::test]
async fn checking_commands_against_a_dear_schema_holds_up_nobody() {
    let store = Store::new(Backend::Sqlite).await;
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    let mut schema = tower(10, |below| json!({ "allOf": [below, below] }));
    schema = json!({ "items": { "$ref": "#/$defs/d10" }, "$defs": schema["$defs"] });
    client
        .deploy("dear", with_manifest(&manifest(&schema)))
        .await;

    let stream = client.stream("dear", "d-1");
    stream.send("Do", json!([1, 2])).await.accepted();
    let unfit = stream.send("Do", json!([1, "x", "y"])).await;
    let problem = unfit.problem(422, "invalid-command-data");
    let errors = problem["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 20, "{problem}");
    assert_eq!(errors[0]["pointer"], "/data/1", "{problem}");
    let unfit = stream
        .command("Do", json!(["x"]))
        .query("dry_run", "true")
        .send()
        .await;
    unfit.problem(422, "invalid-command-data");
    stream.assert_absent().await;

    // More of them at any time than threads that serve connections: if they were checked there,
    // each sign of life would wait for one of them at least, and there would be no more signs of
    // life than checks. There are hundreds for each.
    let senders = 4 * available_parallelism().map_or(1, usize::from);
    let unfit = &Value::Array([vec![json!(1); 4_000], vec![json!("x")]].concat());
    let answered = &Cell::new(0);
    let checks = (0..senders).map(|number| {
        let stream = client.stream("dear", &format!("u-{number}"));
        async move {
            loop {
                let unfit = stream.send("Do", unfit.clone()).await;
                unfit.problem(422, "invalid-command-data");
                answered.set(answered.get() + 1);
            }
        }
    });
    let mut signs_of_life = 0;
    let others = async {
        while answered.get() < (1 + CHECKS) * senders {
            client.get("/livez").send().await.expect(200);
            // By then all of them have come, and none goes away.
            signs_of_life += usize::from(answered.get() >= senders);
        }
    };
    tokio::select! {
        _ = join_all(checks) => {}
        () = others => {}
    }
    assert!(
        signs_of_life > CHECKS * senders,
        "{signs_of_life} signs of life beside {CHECKS} checks for each of {senders} senders"
    );

    // Nor do the many steps of serving others each wait for some of them.
    let dear = &Value::Array(vec![json!(1); 2_000]);
    let checks = (0..senders).map(|number| {
        let stream = client.stream("dear", &format!("d-{number}"));
        async move {
            loop {
                stream.send("Do", dear.clone()).await.accepted();
            }
        }
    });
    let others = async {
        for _ in 0..100 {
            others_are_served(&client).await;
        }
    };
    tokio::select! {
        _ = join_all(checks) => {}
        served = timeout(LIMIT, others) => served.expect("others are served beside dear commands"),
    }
}

#[tokio::test]
async fn what_a_sender_can_make_dear_is_counted_before_it_is_checked() {
    let store = Store::new(Backend::Sqlite).await;
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    // Lists of nothing but lists, each another one, of which a hash sees only that nothing is in
    // them.
    let shape = |number: u32| {
        (0..12).fold(json!([]), |inner, bit| match number >> bit & 1 {
            0 => json!([inner]),
            _ => json!([[], inner]),
        })
    };
    let shapes: Vec<_> = (0..3_500).map(shape).collect();
    let often = |schema: Value| {
        let all = vec![json!({ "$ref": "#/$defs/it" }); 2_000];
        json!({ "allOf": all, "$defs": { "it": schema } })
    };
    for (number, (schema, data)) in [
        (json!({ "uniqueItems": true }), json!(shapes)),
        (
            json!({ "items": { "multipleOf": 1e-300 } }),
            json!(vec![0.5; 20_000]),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let dear = format!("dear{number}");
        client
            .deploy(&dear, with_manifest(&manifest(&often(schema))))
            .await;
        let stream = client.stream(&dear, "d-1");
        stream.send("Do", json!([1, 2])).await.accepted();
        let (refused, ()) = join(stream.send("Do", data), others_are_served(&client)).await;
        let problem = refused.problem(422, "invalid-command-data");
        let errors = problem["errors"].to_string();
        assert!(errors.contains("too large to be checked"), "{errors}");
    }
}
