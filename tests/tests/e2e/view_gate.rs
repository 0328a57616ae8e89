//! Views at the gate: what a candidate would change, who accepts it, and the moment of the swap,
//! alone and together with deciders.

use gavel_tests::{
    Answer, Backend, COUNTER, CliOutput, Client, Host, LIMIT, Store, View, component, eventually,
    on_every_store, revision,
};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::gate::{facts, finding};

on_every_store! {
    deciders_and_views_become_active_together,
    of_deciders_and_views_none_becomes_active_if_one_is_refused,
    a_set_of_deciders_and_views_is_swapped_under_load,
    a_change_of_one_field_in_412_rows_is_told_exactly,
    rows_are_accepted_up_to_a_number,
    a_rollback_says_which_rows_are_others,
    a_rollback_is_compared_as_of_now_on_every_host,
    events_of_several_streams_lead_to_the_same_rows_live_and_rebuilt,
}

const TALLY: &str = "tally";

/// Sends an increment to each counter, in batches.
async fn count(client: &Client, counters: impl Iterator<Item = String>) {
    let counters: Vec<String> = counters.collect();
    for batch in counters.chunks(64) {
        let commands = batch
            .iter()
            .map(|id| json!({ "decider": COUNTER, "id": id, "command": "Increment", "data": {} }));
        let body = json!({ "atomic": true, "commands": commands.collect::<Vec<_>>() });
        client.post("/v1/commands", &body).send().await.expect(200);
    }
}

/// Counters of which the changed view counts those twice that end in `-7`.
fn counters(plain: usize, sevens: usize) -> impl Iterator<Item = String> {
    let plain = (0..plain).map(|number| format!("c-{number}-0"));
    plain.chain((0..sevens).map(|number| format!("c-{number}-7")))
}

async fn uploaded(client: &Client, component: Vec<u8>) -> String {
    let module = client.upload(component).await;
    let module = module.json(module.status());
    module["digest"].as_str().unwrap().to_owned()
}

/// Asks for modules to become active together: kind, name and digest of each.
async fn activate(client: &Client, modules: &[(&str, &str, &str)], accept: &[&str]) -> Answer {
    let activations = modules
        .iter()
        .map(|(kind, name, digest)| json!({ "kind": kind, "name": name, "digest": digest }));
    let body = json!({ "activations": activations.collect::<Vec<_>>(), "accept": accept });
    client.post("/v1/activations", &body).send().await
}

async fn roll_back(client: &Client, view: &str) -> Value {
    let path = format!("/v1/views/{view}/rollback");
    client.post(&path, &json!({})).send().await.json(201)
}

async fn totals(view: &View) -> Vec<(String, u64)> {
    let rows = view.all_now().await.into_iter();
    rows.map(|(key, row)| (key, row["total"].as_u64().unwrap()))
        .collect()
}

async fn deciders_and_views_become_active_together(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let decider = uploaded(&client, component(COUNTER)).await;
    let plain = uploaded(&client, component(TALLY)).await;
    let changed = uploaded(&client, component("tally-changed")).await;
    let set = [
        ("view", "doubled", &*changed),
        ("decider", COUNTER, &decider),
        ("view", TALLY, &plain),
    ];

    let begun = activate(&client, &set, &[]).await.json(201);
    count(&client, counters(1, 1)).await;
    let next = uploaded(&client, revision(component(COUNTER), 2)).await;
    let again = [
        ("decider", COUNTER, &*next),
        ("view", TALLY, &changed),
        ("view", "doubled", &plain),
    ];
    let swapped = activate(&client, &again, &["rows:1"]).await.json(201);

    for (answer, set, number) in [(&begun, set, 1), (&swapped, again, 2)] {
        let activations = answer["activations"].as_array().unwrap();
        // In the order of the request.
        for (activation, (kind, name, digest)) in activations.iter().zip(set) {
            assert_eq!(activation["kind"], kind);
            assert_eq!(activation[kind], name);
            assert_eq!(activation["digest"], digest);
            assert_eq!(activation["activation"], number);
            assert_eq!(activation["report"]["passed"], true, "{activation}");
        }
        assert_eq!(activations.len(), set.len());
    }
    for (name, digest, total) in [(TALLY, &changed, 2), ("doubled", &plain, 1)] {
        let answer = client.view(name).row("c-0-7").await;
        assert_eq!(answer.header("gavel-module"), Some(digest.as_str()));
        assert_eq!(answer.json(200)["total"], total);
    }
    let joined = "SELECT t.key || ' ' || t.total || ' ' || d.total FROM gavel_views.tally AS t \
                  JOIN gavel_views.doubled AS d ON d.key = t.key ORDER BY t.key";
    assert_eq!(
        store.texts_of_rows(joined).await,
        ["c-0-0 1 1", "c-0-7 2 1"]
    );
    let answer = client.stream(COUNTER, "c-0-0").increment().await.accepted();
    assert_eq!(answer.module, next);
}

async fn of_deciders_and_views_none_becomes_active_if_one_is_refused(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let decider = client.deploy_example(COUNTER).await;
    count(&client, counters(1, 1)).await;
    let tally = client.view(TALLY);
    let former = tally.deploy(component(TALLY)).await;
    let next = uploaded(&client, revision(component(COUNTER), 2)).await;
    let account = uploaded(&client, component("account")).await;
    let changed = uploaded(&client, component("tally-changed")).await;

    for (decider, view, passed) in [
        (&next, &changed, [true, false]),
        (&account, &former, [false, true]),
    ] {
        let set = [("decider", COUNTER, &**decider), ("view", TALLY, &**view)];
        let refused = activate(&client, &set, &[]).await;
        let reports = refused.problem(422, "gate-refused")["reports"].clone();
        assert_eq!(reports[0]["decider"], COUNTER);
        assert_eq!(reports[1]["view"], TALLY);
        let verdicts = [&reports[0]["passed"], &reports[1]["passed"]];
        assert_eq!(verdicts, [&json!(passed[0]), &json!(passed[1])]);
    }

    let answer = client.stream(COUNTER, "c-0-0").increment().await.accepted();
    assert_eq!(answer.module, decider);
    let row = tally.row_now("c-0-7").await;
    assert_eq!(row.header("gavel-module"), Some(former.as_str()));
    assert_eq!(row.json(200)["total"], 1);
    let twice = [("decider", TALLY, &*next), ("view", TALLY, &changed)];
    let twice = activate(&client, &twice, &["rows"]).await;
    twice.problem(400, "malformed-request");
}

/// Commands and reads go on while a decider and a view change together: none fails, and each answer
/// is that of the module which it names.
async fn a_set_of_deciders_and_views_is_swapped_under_load(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let decider = client.deploy_example(COUNTER).await;
    count(&client, counters(0, 1)).await;
    let tally = client.view(TALLY);
    let former = tally.deploy(component(TALLY)).await;
    let next = uploaded(&client, revision(component(COUNTER), 2)).await;
    let changed = uploaded(&client, component("tally-changed")).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let reader = tokio::spawn({
        let (tally, former, stopped) = (tally.clone(), former.clone(), stopped.clone());
        async move {
            while !*stopped.borrow() {
                let answer = tally.row("c-0-7").await;
                let total = answer.json(200)["total"].as_u64().unwrap();
                let is_former = answer.header("gavel-module") == Some(former.as_str());
                assert_eq!(total, if is_former { 1 } else { 2 });
            }
        }
    });
    let writer = tokio::spawn({
        let client = client.clone();
        async move {
            let mut sent = 0_u64;
            while !*stopped.borrow() {
                client.stream(COUNTER, "c-1").increment().await.accepted();
                sent += 1;
            }
            sent
        }
    });

    for round in 0..4 {
        let (decider, view) = match round % 2 {
            0 => (&next, &changed),
            _ => (&decider, &former),
        };
        let set = [("decider", COUNTER, &**decider), ("view", TALLY, &**view)];
        activate(&client, &set, &["rows"]).await.expect(201);
        let answer = client.stream(COUNTER, "c-2").increment().await.accepted();
        assert_eq!(answer.module, **decider);
        let row = tally.row("c-0-7").await;
        assert_eq!(row.header("gavel-module"), Some(view.as_str()));
    }
    stop.send_replace(true);
    reader.await.unwrap();
    let sent = writer.await.unwrap();
    let expected = [("c-0-7", 1), ("c-1", sent), ("c-2", 4)];
    let expected = expected.map(|(key, total)| (key.to_owned(), total));
    assert_eq!(totals(&tally).await, expected);
}

async fn a_change_of_one_field_in_412_rows_is_told_exactly(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    count(&client, counters(88, 412)).await;
    let tally = client.view(TALLY);
    let former = tally.deploy(component(TALLY)).await;
    let changed = tally.upload(component("tally-changed")).await;

    let report = tally.rehearse(&changed).await["report"].clone();

    let compared = facts(&report, "compare");
    let numbers = ["equal", "changed", "only_before", "only_after"].map(|name| &compared[name]);
    assert_eq!(numbers, [&json!(88), &json!(412), &json!(0), &json!(0)]);
    let pointers = json!([{ "pointer": "/total", "rows": 412 }]);
    assert_eq!(compared["pointers"], pointers);
    let sums = json!([{ "column": "total", "before": 500, "after": 912 }]);
    assert_eq!(compared["sums"], sums);
    let example = &compared["examples"][0];
    assert_eq!(example["key"], "c-0-7");
    assert_eq!(
        (&example["before"]["total"], &example["after"]["total"]),
        (&json!(1), &json!(2))
    );
    let words = "500 rows: 88 equal · 412 changed (total 412) · 0 only before · 0 only after. \
                 Sum of total 500 -> 912 (+82.4 %). First: row c-0-7 /total: 1 -> 2.";
    assert!(report["summary"].to_string().contains(words), "{report}");
    assert_eq!(finding(&report, "rows")["details"]["rows"], 412);

    let refused = tally.activate(&changed, &[]).await;
    assert_eq!(refused["code"], "gate-refused", "{refused}");
    assert_eq!(tally.shown().await["active"]["digest"], json!(former));
    let row = tally.row("c-0-7").await;
    assert_eq!(row.json(200)["total"], 1);

    let refactored = tally.upload(revision(component(TALLY), 1)).await;
    let activated = tally.activate(&refactored, &[]).await;
    let compared = facts(&activated["report"], "compare");
    assert_eq!(
        (&compared["equal"], &compared["changed"]),
        (&json!(500), &json!(0))
    );
    assert_eq!(activated["report"]["findings"], json!([]));
}

async fn rows_are_accepted_up_to_a_number(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    count(&client, counters(3, 3)).await;
    let tally = client.view(TALLY);
    let former = tally.deploy(component(TALLY)).await;
    let changed = tally.upload(component("tally-changed")).await;

    for wrong in [
        "rows:",
        "rows:some",
        "rows:-1",
        "rows:1.5",
        "rows:99999999999999999999",
    ] {
        for path in ["/v1/views/tally/activations", "/v1/views/tally/rehearsals"] {
            let body = json!({ "digest": changed, "accept": ["columns", wrong] });
            let problem = client.post(path, &body).send().await;
            let problem = problem.problem(400, "malformed-request");
            assert_eq!(
                problem["errors"][0]["pointer"], "/accept/1",
                "{wrong}: {problem}"
            );
        }
        let set = activate(&client, &[("view", TALLY, &changed)], &[wrong]).await;
        let problem = set.problem(400, "malformed-request");
        assert_eq!(
            problem["errors"][0]["pointer"], "/accept/0",
            "{wrong}: {problem}"
        );
    }

    // The table of the candidate is built, and its comparison is known.
    let report = tally.rehearse(&changed).await["report"].clone();
    assert_eq!(finding(&report, "rows")["details"]["rows"], 3);
    for few in [&["rows:2"][..], &["columns", "rows:0"]] {
        let refused = tally.activate(&changed, few).await;
        assert_eq!(refused["code"], "gate-refused", "{refused}");
    }
    // What was accepted is beyond what there is by now.
    count(&client, ["c-new-7".to_owned()].into_iter()).await;
    tally.row_now("c-new-7").await.expect(200);
    let refused = tally.activate(&changed, &["rows:3"]).await;
    assert_eq!(refused["code"], "gate-refused", "{refused}");
    assert_eq!(finding(&refused["report"], "rows")["details"]["rows"], 4);
    let row = tally.row("c-new-7").await;
    assert_eq!(row.header("gavel-module"), Some(former.as_str()));

    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tally.wasm"), component("tally-changed")).unwrap();
    let deploy = |accept: &str| {
        let arguments = ["deploy", "tally.wasm", "--accept", accept];
        CliOutput::of(Some(&host), folder.path(), &arguments)
    };
    let refused = deploy("rows:3").exits_with(3);
    assert!(
        refused.stdout().contains("blocks      rows: 4 rows"),
        "{refused:?}"
    );
    deploy("rows:many").exits_with(1);
    let deployed = deploy("rows:4").exits_with(0);
    assert!(deployed.stdout().contains("tally now runs"), "{deployed:?}");
    let row = tally.row("c-new-7").await;
    assert_eq!(row.header("gavel-module"), Some(changed.as_str()));
}

async fn a_rollback_says_which_rows_are_others(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    count(&client, counters(3, 2)).await;
    let tally = client.view(TALLY);
    let former = tally.deploy(component(TALLY)).await;
    let changed = tally.upload(component("tally-changed")).await;
    let activated = tally.activate(&changed, &["rows"]).await;
    assert!(activated["activation"].is_number(), "{activated}");
    // The former table has followed the log.
    count(
        &client,
        ["c-new-7", "c-new-0", "c-0-7"]
            .map(str::to_owned)
            .into_iter(),
    )
    .await;
    let doubled = totals(&tally).await;

    let back = roll_back(&client, TALLY).await;

    assert_eq!(back["digest"], json!(former));
    let report = &back["report"];
    let compared = facts(report, "compare");
    assert_eq!(
        (&compared["equal"], &compared["changed"]),
        (&json!(4), &json!(3))
    );
    let sums = json!([{ "column": "total", "before": 12, "after": 8 }]);
    assert_eq!(compared["sums"], sums);
    let rows = finding(report, "rows");
    assert_eq!(
        (&rows["blocks"], &rows["details"]["rows"]),
        (&json!(false), &json!(3))
    );
    let words = "7 rows: 4 equal · 3 changed (total 3)";
    assert!(report["summary"].to_string().contains(words), "{report}");
    let halved: Vec<_> = doubled
        .into_iter()
        .map(|(key, total)| {
            (
                key.clone(),
                if key.ends_with('7') { total / 2 } else { total },
            )
        })
        .collect();
    assert_eq!(totals(&tally).await, halved);

    // Forth again, which goes on from the same comparison, and back on the command line.
    let activated = tally.activate(&changed, &["rows:3"]).await;
    assert!(activated["activation"].is_number(), "{activated}");
    let folder = tempfile::tempdir().unwrap();
    let back = CliOutput::of(Some(&host), folder.path(), &["rollback", TALLY]).exits_with(0);
    for shown in [
        words,
        "note        rows: 3 rows would be another.",
        "c-0-7: /total: 4 -> 2",
    ] {
        assert!(back.stdout().contains(shown), "{shown}: {}", back.stdout());
    }
}

/// A host that has not made a comparison makes one.
async fn a_rollback_is_compared_as_of_now_on_every_host(store: Store) {
    let mut host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    count(&client, counters(2, 2)).await;
    let tally = client.view(TALLY);
    tally.deploy(component(TALLY)).await;
    let changed = tally.upload(component("tally-changed")).await;
    tally.activate(&changed, &["rows"]).await;
    host.kill();
    host.restart().await;
    let client = host.client();
    count(&client, counters(1, 3)).await;
    client.view(TALLY).all_now().await;

    let back = roll_back(&client, TALLY).await;

    let compared = facts(&back["report"], "compare");
    assert_eq!(
        (&compared["equal"], &compared["changed"]),
        (&json!(2), &json!(3))
    );
}

/// Events of several streams are folded in the order of the log into one row, in a table that
/// follows the log as in one that is built from it; so is a row that ends and comes again.
async fn events_of_several_streams_lead_to_the_same_rows_live_and_rebuilt(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let view = crate::view_faults::hostile(&client).await;
    let mut versions = [0_u64; 4];
    for step in 0..120_usize {
        // A walk over streams and rows that does not repeat soon.
        let (stream, row) = ((step + step / 7) % 4, step * 7 % 5);
        let act = match step % 11 {
            3 => "End",
            5 => "Flag",
            _ => "Ok",
        };
        let data = json!({ "act": act, "key": format!("row-{row}"), "note": step.to_string() });
        let events = json!([{ "event": "Acted", "data": data }]);
        let of = client.stream("actor", &format!("s-{stream}"));
        let appended = of.append(versions[stream], &events).send().await;
        appended.expect(200);
        versions[stream] += 1;
    }
    let live = view.all_now().await;
    assert!(live.len() > 1, "{live:?}");

    let rebuilt = view.upload(revision(component("hostile_view"), 1)).await;
    let activated = view.activate(&rebuilt, &[]).await;

    let compared = facts(&activated["report"], "compare");
    assert_eq!(compared["equal"], live.len());
    assert_eq!(activated["report"]["findings"], json!([]));
    assert_eq!(view.all_now().await, live);
}

/// A swap waits for nobody who reads rows in SQL, and lets nobody wait: a reader keeps the rows
/// that it has seen, and others read those of the new module meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swap_behind_a_long_reader_in_sql_delays_nobody() {
    let store = Store::new(Backend::Postgres).await;
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    count(&client, counters(1, 1)).await;
    let tally = client.view(TALLY);
    let former = tally.deploy(component(TALLY)).await;
    let changed = tally.upload(component("tally-changed")).await;
    let total = "SELECT total FROM gavel_views.tally WHERE key = 'c-0-7'";
    let mut reader = store.session();
    // A reader while the table of the candidate is added to the SQL view: that waits, and steps
    // back from others again and again.
    reader.rows("BEGIN");
    assert_eq!(reader.row(total), "1");
    let mut others = store.session();
    // Ten times the goal of 250 ms.
    others.rows("SET statement_timeout = '2500ms'");
    let begun = client.post("/v1/views/tally/rehearsals", &json!({ "digest": changed }));
    let building = begun.send().await.json(202);
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'CREATE OR REPLACE VIEW%' AND wait_event_type = 'Lock'";
    let mut watcher = store.session();
    eventually("the SQL view is to be written", LIMIT, async || {
        (watcher.row(waits) != "0").then_some(())
    })
    .await;
    for _ in 0..20 {
        assert_eq!(others.row(total), "1");
        tally.row("c-0-7").await.expect(200);
    }
    reader.rows("COMMIT");
    let built = tally.over(&building).await;
    assert_eq!(facts(&built["report"], "compare")["changed"], 1);

    // A reader while the pointer moves to and fro.
    reader.rows("BEGIN ISOLATION LEVEL REPEATABLE READ");
    assert_eq!(reader.row(total), "1");
    for (digest, expected) in [(&changed, "2"), (&former, "1"), (&changed, "2")] {
        let swapping = tally.activate(digest, &["rows"]);
        let activated = timeout(LIMIT, swapping).await.unwrap();
        assert!(activated["activation"].is_number(), "{activated}");
        assert_eq!(others.row(total), expected);
        let row = tally.row("c-0-7").await;
        assert_eq!(row.header("gavel-module"), Some(digest.as_str()));
        count(&client, ["c-1-0".to_owned()].into_iter()).await;
        assert_eq!(reader.row(total), "1");
    }
    reader.rows("COMMIT");
    assert_eq!(reader.row(total), "2");
}
