//! Cases about another module under a view's name: what would change, the swap, and the way back.

use gavel_tests::{COUNTER, Host, LIMIT, Store, component, eventually, on_every_store, revision};
use serde_json::json;

use crate::views::{TALLY, count, tallied, totals};

on_every_store! {
    a_changed_view_is_shown_row_by_row_and_refused_until_a_person_accepts_it,
    a_refactored_view_changes_no_row,
    rows_are_those_of_one_module_before_and_after_a_swap_and_a_rollback,
    a_deactivated_view_has_no_rows_until_it_works_again,
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
