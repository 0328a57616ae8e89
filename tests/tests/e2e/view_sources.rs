//! Cases about views whose sources are none, too many, or not what their keys say.

use gavel_tests::{Host, Store, component, on_every_store, with_manifest};
use serde_json::json;

use crate::view_history::{Standstill, act, acting, fresh};

on_every_store! {
    a_view_without_sources_says_so,
    a_long_history_is_read_up_to_the_limit,
    sources_that_misbehave_harm_nobody,
    sources_that_disagree_with_keys_are_refused,
}

async fn a_view_without_sources_says_so(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let view = acting(&client, "hostile", "hostile_view").await;
    let other = client
        .view("hostile-sources")
        .upload(component("hostile_sources"))
        .await;
    act(&client, "one", 0, json!({})).await;
    let digest = view
        .row_now("one")
        .await
        .header("gavel-module")
        .unwrap()
        .to_owned();
    for path in [
        "/rows/one/why",
        "/rows/one?_at=2026-01-01T00:00:00Z",
        "/rows/one?_fresh=true",
        &format!("/rows/one?_module={digest}"),
    ] {
        let problem = view.get(path).send().await.problem(422, "sources-missing");
        assert_eq!(problem["module"], json!(digest), "{path}");
    }
    let request = view.get("/rows/one").query("_module", other);
    assert_eq!(request.send().await.json(200), json!({ "count": 1 }));
    let path = "/rows/one?_fresh=true";
    client
        .view("nothing")
        .get(path)
        .send()
        .await
        .problem(404, "view-not-found");
}

async fn a_long_history_is_read_up_to_the_limit(store: Store) {
    let host = Host::start_with(&store, &[("GAVEL_VIEWS_HISTORY_EVENTS", "10")]).await;
    let client = host.client();
    let view = acting(&client, "hostile-sources", "hostile_sources").await;
    for version in 0..12 {
        act(&client, "one", version, json!({})).await;
    }
    view.row_now("one").await.expect(200);
    let history = client.stream("actor", "one").history().await;
    let at = async |time: &str| view.get("/rows/one").query("_at", time).send().await;
    let early = at(&history[4].created_at).await.json(200);
    assert!(early["count"].as_u64() >= Some(5), "{early}");
    let late = at("9999-01-01T00:00:00Z").await;
    assert_eq!(late.problem(422, "history-too-long")["limit"], 10);
    let mut after = String::new();
    for count in [4, 8, 10] {
        let page = view
            .get("/rows/one/why")
            .query("limit", 4)
            .query("after", &after);
        let page = page.send().await.json(200);
        let last = page["steps"].as_array().unwrap().last().unwrap();
        assert_eq!(last["row"]["count"], count);
        page["next"].as_str().unwrap().clone_into(&mut after);
    }
    let page = view
        .get("/rows/one/why")
        .query("after", &after)
        .send()
        .await;
    page.problem(422, "history-too-long");
    // What the view still has to fold becomes less, and it is worth trying again.
    assert_eq!(fresh(&view, "one").await["count"], 12);
    let _standstill = Standstill::of(&store);
    for version in 12..23 {
        act(&client, "one", version, json!({})).await;
    }
    let request = view.get("/rows/one").query("_fresh", true);
    request.send().await.problem(503, "view-behind");
}

async fn sources_that_misbehave_harm_nobody(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let view = acting(&client, "hostile-sources", "hostile_sources").await;
    let keys = [
        "good",
        "two.x",
        "Nothing",
        "Wide",
        "Trap",
        "Loop",
        "ManyItems",
        "ManyEmptyItems",
        "ManyStreams",
        "NoEvents",
        "NoPlace",
    ];
    for key in keys {
        for part in ["a", "b"] {
            act(&client, &format!("{key}.{part}"), 0, json!({ "key": key })).await;
        }
        act(&client, key, 0, json!({})).await;
    }
    for key in keys {
        assert_eq!(
            view.row_now(key).await.json(200),
            json!({ "count": 3 }),
            "{key}"
        );
    }
    for (key, status, codes) in [
        ("Trap", 500, &["module-trapped"][..]),
        ("Loop", 504, &["module-out-of-fuel", "module-deadline"]),
        ("ManyItems", 504, &["module-out-of-memory"]),
        ("ManyEmptyItems", 500, &["module-broke-contract"]),
        ("ManyStreams", 500, &["module-broke-contract"]),
        ("NoEvents", 500, &["module-broke-contract"]),
        ("NoPlace", 500, &["module-broke-contract"]),
    ] {
        for path in ["/why", "?_fresh=true", "?_at=9999-01-01T00:00:00Z"] {
            let answer = view.get(&format!("/rows/{key}{path}")).send().await;
            assert_eq!(answer.status(), status, "{key}{path}: {}", answer.text());
            let code = answer.code().unwrap();
            assert!(codes.contains(&code.as_str()), "{key}{path}: {code}");
        }
        assert_eq!(view.row(key).await.json(200), json!({ "count": 3 }));
    }
    // What `keys` does not say is not the row's, and what `sources` does not say is not found.
    for (key, count) in [("two.x", 2), ("Wide", 1), ("good", 1)] {
        let why = view.get(&format!("/rows/{key}/why")).send().await.json(200);
        assert_eq!(why["steps"].as_array().unwrap().len(), count, "{why}");
        assert_eq!(fresh(&view, key).await, json!({ "count": 3 }));
    }
    view.get("/rows/Nothing/why")
        .send()
        .await
        .problem(404, "row-not-found");
}

async fn sources_that_disagree_with_keys_are_refused(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let manifest = json!({
        "name": "actor", "kind": "decider", "commands": [{ "name": "Act" }], "events": [{ "name": "Acted" }],
    });
    client.deploy("actor", with_manifest(&manifest)).await;
    let view = client.view("hostile-sources");
    let digest = view.upload(component("hostile_sources")).await;
    let disagreements = async || {
        let report = view.rehearse(&digest).await["report"].clone();
        let steps = report["steps"].as_array().unwrap().iter();
        let step = steps
            .clone()
            .find(|step| step["step"] == "determinism")
            .unwrap();
        let facts = &step["facts"];
        assert_eq!(facts["different"], 0, "{facts}");
        assert_eq!(report["passed"], facts["misnamed"] == 0, "{report}");
        (
            facts["misnamed"].as_u64().unwrap(),
            facts["example"].to_string(),
        )
    };
    act(&client, "good", 0, json!({})).await;
    assert_eq!(disagreements().await.0, 0);
    act(&client, "Nothing", 0, json!({})).await;
    let (count, example) = disagreements().await;
    assert_eq!(count, 1);
    assert!(example.contains("has the key Nothing"), "{example}");
    act(&client, "Wide", 0, json!({})).await;
    let (count, example) = disagreements().await;
    assert_eq!(count, 2);
    assert!(
        example.contains("among the sources of row Wide"),
        "{example}"
    );
    for key in ["ManyItems", "Loop"] {
        act(&client, key, 0, json!({})).await;
        let (_, example) = disagreements().await;
        assert!(
            example.contains(&format!("row {key} has no sources")),
            "{example}"
        );
    }
    let refused = view.activate(&digest, &[]).await;
    let findings = refused["report"]["findings"].to_string();
    assert!(
        findings.contains("`sources` and `keys` disagree"),
        "{refused}"
    );
    let activated = view.activate(&digest, &["determinism"]).await;
    assert!(activated["activation"].is_number(), "{activated}");
}
