//! Cases about views: rows that are folded from events, read over HTTP and in SQL.

use std::collections::BTreeMap;

use gavel_tests::{
    Backend, COUNTER, Client, Host, LIMIT, Store, View, component, eventually, on_every_store,
    revision, with_manifest,
};
use serde_json::{Value, json};

on_every_store! {
    rows_are_the_same_over_http_and_in_sql,
    a_reader_sees_what_it_has_written,
    rows_are_found_by_an_index_or_not_at_all,
    a_row_that_faults_waits_alone_and_can_be_tried_again,
    what_waits_is_folded_piece_by_piece_once_the_row_can_be_kept,
    an_event_whose_rows_cannot_be_told_is_parked_and_every_answer_says_so,
    a_changed_view_is_shown_row_by_row_and_refused_until_a_person_accepts_it,
    a_refactored_view_changes_no_row,
    rows_are_those_of_one_module_before_and_after_a_swap_and_a_rollback,
    a_host_that_is_killed_folds_each_event_once,
    a_deactivated_view_has_no_rows_until_it_works_again,
    views_of_two_namespaces_share_nothing,
}

const TALLY: &str = "tally";

/// Sends increments to so many counters, `c-0` first: one to the first, two to the second, and so
/// on, up to five.
async fn count(client: &Client, counters: u64) {
    client.deploy_example(COUNTER).await;
    for number in 0..counters {
        let stream = client.stream(COUNTER, &format!("c-{number}"));
        for _ in 0..=number % 5 {
            stream.increment().await.accepted();
        }
    }
}

/// The totals of those counters.
fn totals(counters: u64) -> BTreeMap<String, u64> {
    (0..counters)
        .map(|number| (format!("c-{number}"), number % 5 + 1))
        .collect()
}

/// The totals as the view has them now.
async fn tallied(view: &View) -> BTreeMap<String, u64> {
    let rows = view.all_now().await.into_iter();
    rows.map(|(key, row)| (key, row["total"].as_u64().unwrap()))
        .collect()
}

async fn rows_are_the_same_over_http_and_in_sql(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example("order").await;
    for number in 0..5 {
        let id = format!("o-{number}");
        let data = json!({ "identifier": id, "restaurant_identifier": "r-1", "line_items": [] });
        client
            .stream("order", &id)
            .send("CreateOrder", data)
            .await
            .accepted();
    }
    let prepare = json!({ "identifier": "o-3" });
    client
        .stream("order", "o-3")
        .send("MarkOrderAsPrepared", prepare)
        .await
        .accepted();

    let orders = client.view("orders");
    let digest = orders.deploy(component("orders_view")).await;

    let rows = orders.all_now().await;
    assert_eq!(rows.len(), 5);
    let texts = |member: &str| {
        rows.iter()
            .map(|(_, row)| row[member].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        texts("status"),
        ["Created", "Created", "Created", "Prepared", "Created"]
    );
    for (key, row) in &rows {
        let answer = orders.row(key).await;
        assert_eq!(answer.json(200), *row);
        assert_eq!(answer.header("gavel-module"), Some(digest.as_str()));
    }
    let in_sql = store.texts_of_rows("SELECT \"key\" || ' ' || status || ' ' || restaurant FROM gavel_views.orders ORDER BY \"key\"").await;
    let expected = rows.iter().map(|(key, row)| {
        format!(
            "{key} {} {}",
            row["status"].as_str().unwrap(),
            row["restaurant"].as_str().unwrap()
        )
    });
    assert_eq!(in_sql, expected.collect::<Vec<_>>());

    let shown = orders.shown().await;
    assert_eq!(shown["rows"]["rows"], 5);
    assert_eq!(shown["rows"]["lag"]["events"], 0);
    assert_eq!(shown["active"]["digest"], json!(digest));
    let list = client.get("/v1/views").send().await.json(200);
    assert_eq!(list["views"][0]["view"], "orders");
    let unknown = orders.row("o-9").await;
    unknown.problem(404, "row-not-found");
    client
        .view("nothing")
        .row("o-1")
        .await
        .problem(404, "view-not-found");
    let tag = orders.row("o-1").await.header("etag").unwrap().to_owned();
    let again = orders
        .get("/rows/o-1")
        .header("If-None-Match", &tag)
        .send()
        .await;
    again.expect(304);
}

async fn a_reader_sees_what_it_has_written(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    count(&client, 1).await;
    let tally = client.view(TALLY);
    tally.deploy(component(TALLY)).await;
    let writers = (0..8).map(|writer| {
        let (client, tally) = (client.clone(), tally.clone());
        tokio::spawn(async move {
            let id = format!("w-{writer}");
            let stream = client.stream(COUNTER, &id);
            for total in 1..=10 {
                let sent = stream.increment().await.accepted();
                let position = sent.events[0].position.clone().unwrap();
                let read = tally
                    .get(&format!("/rows/{id}"))
                    .header("Gavel-After", &position);
                let row = read.send().await.json(200);
                assert_eq!(row["total"], total, "{id}");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let wrong = tally
        .get("/rows/c-0")
        .header("Gavel-After", "soon")
        .send()
        .await;
    wrong.problem(400, "malformed-request");
    let beyond = tally
        .get("/rows/c-0")
        .header("Gavel-After", "gffffffffffffffff00")
        .send()
        .await;
    let problem = beyond.problem(503, "view-behind");
    assert!(problem["position"].is_string(), "{problem}");
}

async fn rows_are_found_by_an_index_or_not_at_all(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    count(&client, 12).await;
    let tally = client.view(TALLY);
    tally.deploy(component(TALLY)).await;
    tally.all_now().await;

    let keys = async |query: &str| -> Vec<String> {
        let page = tally.get(&format!("/rows?{query}")).send().await.json(200);
        let rows = page["rows"].as_array().unwrap().iter();
        rows.map(|row| row["key"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(keys("total=2").await, ["c-1", "c-11", "c-6"]);
    assert_eq!(
        keys("total.gte=4&_order=-total").await,
        ["c-9", "c-4", "c-8", "c-3"]
    );
    assert_eq!(
        keys("total.gt=1&total.lt=3&_limit=2").await,
        ["c-1", "c-11"]
    );
    let mut after = String::new();
    let mut all = Vec::new();
    loop {
        let path = format!("/rows?_order=-total&_limit=5&_after={after}");
        let page = tally.get(&path).send().await.json(200);
        let rows = page["rows"].as_array().unwrap().iter();
        all.extend(rows.map(|row| row["row"]["total"].as_u64().unwrap()));
        let Some(next) = page["next"].as_str() else {
            break;
        };
        next.clone_into(&mut after);
    }
    assert_eq!(all, [5, 5, 4, 4, 3, 3, 2, 2, 2, 1, 1, 1]);

    for (query, fact) in [
        ("resets=0", "indexes"),
        ("_order=resets", "indexes"),
        ("nothing=1", "field"),
    ] {
        let refused = tally.get(&format!("/rows?{query}")).send().await;
        let problem = refused.problem(422, "index-missing");
        assert!(!problem[fact].is_null(), "{query}: {problem}");
    }
    for query in [
        "total=many",
        "total=1&total=2",
        "_limit=0",
        "_after=7",
        "_fields=a",
        "total=1&total.gt=0",
    ] {
        let refused = tally.get(&format!("/rows?{query}")).send().await;
        refused.problem(400, "malformed-request");
    }
}

/// A decider whose events any writer appends as it likes, and the view that misbehaves as they say.
async fn hostile(client: &Client) -> View {
    let manifest = json!({
        "name": "actor", "kind": "decider", "commands": [{ "name": "Act" }], "events": [{ "name": "Acted" }],
    });
    client.deploy("actor", with_manifest(&manifest)).await;
    let view = client.view("hostile");
    view.deploy(component("hostile_view")).await;
    view
}

async fn act(client: &Client, id: &str, data: Value) {
    let stream = client.stream("actor", id);
    let known = stream.events().query("limit", 1_000).send().await;
    let version = match known.status() {
        404 => 0,
        _ => known.json(200)["events"].as_array().unwrap().len(),
    };
    let events = json!([{ "event": "Acted", "data": data }]);
    stream
        .append(version as u64, &events)
        .send()
        .await
        .expect(200);
}

async fn a_row_that_faults_waits_alone_and_can_be_tried_again(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let view = hostile(&client).await;
    act(&client, "good", json!({})).await;
    for fault in [
        "TrapInFold",
        "EvolveError",
        "HugeRow",
        "BreaksSchema",
        "NoJson",
        "HugeInteger",
        "LongText",
    ] {
        act(&client, fault, json!({ "note": "before" })).await;
        act(&client, fault, json!({ "act": fault })).await;
        act(&client, fault, json!({})).await;
    }
    act(&client, "good", json!({})).await;

    assert_eq!(view.row_now("good").await.json(200)["count"], 2);
    let shown = view.shown().await;
    let parked = shown["parked_rows"].as_array().unwrap();
    let keys: Vec<_> = parked
        .iter()
        .map(|row| row["key"].as_str().unwrap())
        .collect();
    assert_eq!(
        keys,
        [
            "BreaksSchema",
            "EvolveError",
            "HugeInteger",
            "HugeRow",
            "LongText",
            "NoJson",
            "TrapInFold"
        ]
    );
    for row in parked {
        let key = row["key"].as_str().unwrap();
        let answer = view.row(key).await;
        let value = answer.json(200);
        assert_eq!(
            (&value["count"], &value["note"]),
            (&json!(1), &json!("before")),
            "{key}"
        );
        assert_eq!(
            answer.header("gavel-parked"),
            row["position"].as_str(),
            "{key}"
        );
        let waiting = view.row_now(key).await;
        waiting.problem(503, "row-parked");
        let path = format!("/v1/views/hostile/rows/{key}/retry");
        let retried = client.post(&path, &json!({})).send().await.json(200);
        assert_eq!(retried["parked"]["event_id"], row["event_id"], "{retried}");
    }
    let path = "/v1/views/hostile/rows/good/retry";
    let answer = client.post(path, &json!({})).send().await;
    answer.problem(404, "row-not-found");
    act(&client, "good", json!({ "act": "End" })).await;
    view.row_now("good").await.problem(404, "row-not-found");
}

async fn what_waits_is_folded_piece_by_piece_once_the_row_can_be_kept(store: Store) {
    let mut host = Host::start(&store).await;
    let client = host.client();
    let view = hostile(&client).await;
    act(&client, "one", json!({})).await;
    act(&client, "one", json!({ "act": "HugeRow" })).await;
    view.row_now("one").await.problem(503, "row-parked");
    let notes = (0..250).map(|number| json!({ "note": number.to_string() }));
    let events: Vec<_> = notes
        .map(|data| json!({ "event": "Acted", "data": data }))
        .collect();
    let stream = client.stream("actor", "one");
    stream.append(2, &json!(events)).send().await.expect(200);
    view.row_now("one").await.problem(503, "row-parked");

    host.configure("[views]\nrow_bytes = 1048576\n");
    host.kill();
    host.restart().await;
    let client = host.client();
    let path = "/v1/views/hostile/rows/one/retry";
    let retried = client.post(path, &json!({})).send().await.json(200);
    assert_eq!(retried["parked"], Value::Null, "{retried}");
    let row = client.view("hostile").row_now("one").await.json(200);
    assert_eq!((&row["count"], &row["note"]), (&json!(252), &json!("249")));
}

async fn an_event_whose_rows_cannot_be_told_is_parked_and_every_answer_says_so(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let view = hostile(&client).await;
    act(&client, "good", json!({})).await;
    assert_eq!(view.row_now("good").await.header("gavel-incomplete"), None);
    for fault in ["TrapInKeys", "EmptyKey", "ControlKey"] {
        act(&client, "bad", json!({ "act": fault })).await;
    }
    act(
        &client,
        "bad",
        json!({ "act": "ManyKeys", "number": 1_001 }),
    )
    .await;
    act(
        &client,
        "bad",
        json!({ "act": "ManyKeys", "number": 10_000_000 }),
    )
    .await;
    act(&client, "good", json!({})).await;

    let answer = view.row_now("good").await;
    assert_eq!(answer.json(200)["count"], 2);
    assert_eq!(answer.header("gavel-incomplete"), Some("1"));
    let shown = view.shown().await;
    assert_eq!(shown["rows"]["parked"], json!({ "rows": 0, "events": 5 }));
    let reasons = shown["parked_events"].to_string();
    for reason in ["views.keys_per_event", "a key is 1 to 255 bytes"] {
        assert!(reasons.contains(reason), "{reasons}");
    }
}

async fn a_changed_view_is_shown_row_by_row_and_refused_until_a_person_accepts_it(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    count(&client, 28).await;
    let tally = client.view(TALLY);
    let former = tally.deploy(component(TALLY)).await;
    let changed = tally.upload(component("tally-changed")).await;

    let report = tally.rehearse(&changed).await["report"].clone();

    assert_eq!(report["passed"], false);
    let steps = report["steps"].as_array().unwrap().iter();
    let compare = steps
        .clone()
        .find(|step| step["step"] == "compare")
        .unwrap();
    let facts = &compare["facts"];
    // `c-7`, `c-17` and `c-27` count twice.
    assert_eq!(
        (&facts["changed"], &facts["equal"]),
        (&json!(3), &json!(25))
    );
    assert_eq!(
        facts["pointers"],
        json!([{ "pointer": "/total", "rows": 3 }])
    );
    let before: u64 = totals(28).values().sum();
    let doubled: u64 = [7, 17, 27].map(|number| number % 5 + 1).iter().sum();
    let sums = json!([{ "column": "total", "before": before, "after": before + doubled }]);
    assert_eq!(facts["sums"], sums);
    assert_eq!(facts["examples"][0]["key"], "c-17");
    let words = compare["summary"].as_str().unwrap();
    assert!(words.contains("3 changed (total 3)"), "{words}");
    let names: Vec<_> = steps.map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "validate",
            "describe",
            "dependents",
            "specs",
            "build",
            "compare",
            "determinism",
            "cost"
        ]
    );

    let listed = tally.get("/rehearsals").send().await.json(200);
    assert_eq!(listed["rehearsals"][0]["status"], "refused");
    let refused = tally.activate(&changed, &[]).await;
    assert_eq!(refused["code"], "gate-refused", "{refused}");
    assert_eq!(tallied(&tally).await, totals(28));
    assert_eq!(tally.shown().await["active"]["digest"], json!(former));
    let activated = tally.activate(&changed, &["rows"]).await;
    assert_eq!(activated["accepted"], json!(["rows"]));
    assert_eq!(tallied(&tally).await["c-27"], 6);
    let back = client
        .post("/v1/views/tally/rollback", &json!({}))
        .send()
        .await;
    assert_eq!(back.json(201)["digest"], json!(former));
    assert_eq!(tallied(&tally).await, totals(28));
}

async fn a_refactored_view_changes_no_row(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    count(&client, 20).await;
    let tally = client.view(TALLY);
    tally.deploy(component(TALLY)).await;
    let digest = tally.upload(revision(component(TALLY), 1)).await;

    let activated = tally.activate(&digest, &[]).await;

    let activated = match activated["report"]["steps"].as_array() {
        Some(_) => activated["report"].clone(),
        None => panic!("{activated}"),
    };
    let steps = activated["steps"].as_array().unwrap().iter();
    let compared = steps.filter(|step| step["step"] == "compare");
    let facts: Vec<_> = compared.map(|step| &step["facts"]).collect();
    assert_eq!(
        (&facts[0]["equal"], &facts[0]["changed"]),
        (&json!(20), &json!(0))
    );
    assert_eq!(activated["findings"], json!([]));
    let row = tally.row_now("c-4").await;
    assert_eq!(row.header("gavel-module"), Some(digest.as_str()));
}

/// Readers and writers go on while the pointer moves to and fro: no read fails, and each answer is
/// that of the module which it names.
async fn rows_are_those_of_one_module_before_and_after_a_swap_and_a_rollback(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    count(&client, 8).await;
    let tally = client.view(TALLY);
    let former = tally.deploy(component(TALLY)).await;
    let changed = tally.upload(component("tally-changed")).await;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let reader = {
        let (tally, former) = (tally.clone(), former.clone());
        let stopped = stopped.clone();
        tokio::spawn(async move {
            let mut seen = [0_u64; 2];
            while !*stopped.borrow() {
                let answer = tally.row("c-7").await;
                let total = answer.json(200)["total"].as_u64().unwrap();
                let is_former = answer.header("gavel-module") == Some(former.as_str());
                assert_eq!(total, if is_former { 3 } else { 6 });
                seen[usize::from(!is_former)] += 1;
            }
            seen
        })
    };
    let writer = {
        let (client, stopped) = (client.clone(), stopped.clone());
        tokio::spawn(async move {
            let mut sent = 0_u64;
            while !*stopped.borrow() {
                client.stream(COUNTER, "c-0").increment().await.accepted();
                sent += 1;
            }
            sent
        })
    };
    for _ in 0..3 {
        let activated = tally.activate(&changed, &["rows"]).await;
        assert!(activated["activation"].is_number(), "{activated}");
        let back = client
            .post("/v1/views/tally/rollback", &json!({}))
            .send()
            .await;
        back.expect(201);
    }
    tally.activate(&changed, &["rows"]).await;
    stop.send_replace(true);
    let (seen, sent) = (reader.await.unwrap(), writer.await.unwrap());
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
    assert_eq!(tallied(&tally).await["c-0"], sent + 1);
}

async fn a_host_that_is_killed_folds_each_event_once(store: Store) {
    let mut host = Host::start(&store).await;
    count(&host.client(), 3).await;
    host.client().view(TALLY).deploy(component(TALLY)).await;
    let mut expected = totals(3);
    for round in 0..4 {
        let client = host.client();
        for number in 0..20 {
            let id = format!("c-{}", (number + round) % 3);
            client.stream(COUNTER, &id).increment().await.accepted();
            *expected.get_mut(&id).unwrap() += 1;
        }
        host.kill();
        host.restart().await;
    }
    assert_eq!(tallied(&host.client().view(TALLY)).await, expected);
    let shown = host.client().view(TALLY).shown().await;
    assert_eq!(shown["rows"]["rows"], 3);
}

async fn a_deactivated_view_has_no_rows_until_it_works_again(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    count(&client, 3).await;
    let tally = client.view(TALLY);
    tally.deploy(component(TALLY)).await;
    client
        .post("/v1/views/tally/deactivations", &json!({}))
        .send()
        .await
        .expect(201);
    eventually("the rows are gone", LIMIT, async || {
        (tally.row("c-1").await.status() == 404).then_some(())
    })
    .await;
    tally.row("c-1").await.problem(404, "view-not-found");
    client.stream(COUNTER, "c-1").increment().await.accepted();
    client
        .post("/v1/views/tally/rollback", &json!({}))
        .send()
        .await
        .expect(201);
    let mut expected = totals(3);
    *expected.get_mut("c-1").unwrap() += 1;
    assert_eq!(tallied(&tally).await, expected);
}

async fn views_of_two_namespaces_share_nothing(store: Store) {
    let host = Host::start(&store).await;
    let (here, there) = (host.client(), host.client().in_namespace("shop"));
    count(&here, 3).await;
    here.view(TALLY).deploy(component(TALLY)).await;
    there
        .view(TALLY)
        .row("c-1")
        .await
        .problem(404, "view-not-found");
    count(&there, 1).await;
    there.view(TALLY).deploy(component("tally-changed")).await;
    assert_eq!(tallied(&there.view(TALLY)).await, totals(1));
    assert_eq!(tallied(&here.view(TALLY)).await, totals(3));
}

/// Rows follow from the log: a file of rows that was lost is made anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_whose_file_was_lost_are_built_anew() {
    let store = Store::new(Backend::Sqlite).await;
    let mut host = Host::start(&store).await;
    count(&host.client(), 5).await;
    host.client().view(TALLY).deploy(component(TALLY)).await;
    host.kill();
    for suffix in ["", "-wal", "-shm"] {
        let file = format!("{}{suffix}", store.rows_path());
        if let Err(error) = std::fs::remove_file(&file) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{file}");
        }
    }
    host.restart().await;
    let tally = host.client().view(TALLY);
    eventually("the rows are there again", LIMIT, async || {
        (tally.row("c-4").await.status() == 200).then_some(())
    })
    .await;
    assert_eq!(tallied(&tally).await, totals(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_whose_columns_or_reads_make_no_sense_is_refused_at_upload() {
    let store = Store::new(Backend::Sqlite).await;
    let host = Host::start(&store).await;
    let client = host.client();
    for (name, reason) in [
        ("view_bad_clashing_columns", "is no column"),
        ("view_bad_many_columns", "201 columns"),
        ("view_bad_index_on_nothing", "no member of the rows' schema"),
        ("view_bad_index_on_list", "is no column"),
        ("view_bad_many_indexes", "17 indexes"),
        ("view_bad_name", "a view's name"),
        ("view_bad_reads_nothing", "reads no event"),
    ] {
        let refused = client.upload(component(name)).await;
        let problem = refused.problem(422, "invalid-module");
        assert!(
            problem["reasons"].to_string().contains(reason),
            "{name}: {problem}"
        );
    }
    client.upload(component("view_plain")).await.expect(201);
}
