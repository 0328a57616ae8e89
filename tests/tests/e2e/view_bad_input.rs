//! Views that are told or given what they should not have: modules, rows, roles and readers that
//! stand in the way. Rows that fault one by one are in `view_faults`.

use gavel_tests::{
    Backend, COUNTER, Client, Host, LIMIT, Store, component, eventually, on_every_store, revision,
    with_manifest,
};
use serde_json::{Value, json};

use crate::gate::{facts, finding};
use crate::view_faults::hostile;

on_every_store! {
    a_view_that_imports_anything_is_refused_by_the_name_of_the_import,
    rows_and_keys_that_depend_on_hidden_state_are_told_from_one_instance_to_the_next,
    a_candidate_that_cannot_fold_a_row_is_refused_with_the_row,
    a_row_past_its_limit_is_parked_with_its_size,
}

/// A decider whose events any writer appends as it likes.
async fn actor(client: &Client) {
    let manifest = json!({
        "name": "actor", "kind": "decider", "commands": [{ "name": "Act" }], "events": [{ "name": "Acted" }],
    });
    client.deploy("actor", with_manifest(&manifest)).await;
}

/// Appends acts to a stream that is empty.
async fn act(client: &Client, id: &str, acts: &[Value]) {
    let events = acts
        .iter()
        .map(|data| json!({ "event": "Acted", "data": data }));
    let events: Vec<_> = events.collect();
    let appended = client.stream("actor", id).append(0, &json!(events)).send();
    appended.await.expect(200);
}

/// A component with other bytes in the place of those that it holds, wherever it does.
fn patched(name: &str, from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut wasm = component(name);
    let places = (0..wasm.len()).filter(|at| wasm[*at..].starts_with(from.as_bytes()));
    let places: Vec<_> = places.collect();
    assert!(!places.is_empty(), "{name} has no {from}");
    for place in places {
        wasm[place..place + to.len()].copy_from_slice(to.as_bytes());
    }
    wasm
}

async fn a_view_that_imports_anything_is_refused_by_the_name_of_the_import(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    for (known, import) in [
        ("wasi:cli/stdout@0.2.6", "wasi:tcp/create@0.2.6"),
        ("wasi:io/poll@0.2.6", "wasi:io/http@0.2.6"),
    ] {
        let refused = client.upload(patched("tally", known, import)).await;
        let problem = refused.problem(422, "invalid-module");
        let reasons = problem["reasons"].to_string();
        assert!(reasons.contains(import), "{reasons}");
    }
    let stored = client.get("/v1/modules").send().await.json(200);
    assert_eq!(stored["modules"], json!([]));
    client.upload(component("tally")).await.expect(201);
}

async fn rows_and_keys_that_depend_on_hidden_state_are_told_from_one_instance_to_the_next(
    store: Store,
) {
    let host = Host::start(&store).await;
    let client = host.client();
    actor(&client).await;
    for (act_name, id) in [("HiddenKeys", "keys"), ("HiddenRow", "row")] {
        let client = client.in_namespace(id);
        actor(&client).await;
        act(&client, "good", &[json!({}), json!({})]).await;
        act(&client, id, &[json!({ "act": act_name })]).await;
        let view = client.view("hostile");
        let digest = view.upload(component("hostile_view")).await;

        let refused = view.activate(&digest, &[]).await;

        let found = finding(&refused["report"], "determinism");
        assert_eq!(found["blocks"], true, "{refused}");
        let example = found["details"]["example"].to_string();
        assert!(example.contains(id), "{act_name}: {example}");
        view.row("good").await.problem(404, "view-not-found");
    }
}

async fn a_candidate_that_cannot_fold_a_row_is_refused_with_the_row(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    actor(&client).await;
    let fault = |act: &str| json!({ "act": act });
    act(&client, "good", &[json!({}), json!({})]).await;
    act(&client, "bad", &[json!({}), fault("TrapInFold"), json!({})]).await;
    act(&client, "lie", &[fault("BreaksSchema")]).await;
    act(
        &client,
        "many",
        &[json!({ "act": "ManyKeys", "number": 1_001 })],
    )
    .await;
    let view = client.view("hostile");
    let digest = view.upload(component("hostile_view")).await;

    let refused = view.activate(&digest, &[]).await;

    let found = finding(&refused["report"], "build");
    assert_eq!(
        (&found["blocks"], &found["details"]["rows"]),
        (&json!(true), &json!(2))
    );
    assert_eq!(found["details"]["events"], 1);
    let example = found["details"]["example"].to_string();
    for named in ["row bad: ", "row lie: ", "views.keys_per_event"] {
        assert!(example.contains(named), "{named}: {example}");
    }
    let activated = view.activate(&digest, &["build"]).await;
    assert_eq!(activated["accepted"], json!(["build"]));
    let row = view.row_now("good").await;
    assert_eq!(row.json(200)["count"], 2);
    assert_eq!(row.header("gavel-incomplete"), Some("1"));
    let row = view.row("bad").await;
    assert_eq!(row.json(200)["count"], 1);
    assert!(row.header("gavel-parked").is_some());
    // Both have the same rows, and cannot fold the same.
    let next = view.upload(revision(component("hostile_view"), 1)).await;
    let activated = view.activate(&next, &["build"]).await;
    let compared = facts(&activated["report"], "compare");
    assert_eq!(
        (&compared["equal"], &compared["changed"]),
        (&json!(2), &json!(0))
    );
    // Nobody has to accept what was so before.
    let path = "/v1/views/hostile/rollback";
    let back = client.post(path, &json!({})).send().await.json(201);
    let found = finding(&back["report"], "build");
    assert_eq!(found["blocks"], false, "{back}");
}

async fn a_row_past_its_limit_is_parked_with_its_size(store: Store) {
    let limit = [("GAVEL_VIEWS_ROW_BYTES", "2048")];
    let host = Host::start_with(&store, &limit).await;
    let client = host.client();
    let view = hostile(&client).await;
    act(&client, "small", &[json!({ "note": "x".repeat(900) })]).await;
    act(&client, "large", &[json!({}), json!({ "act": "HugeRow" })]).await;

    view.row_now("small").await.expect(200);
    let problem = view.row_now("large").await.problem(503, "row-parked");

    let reason = problem["parked"]["reason"].as_str().unwrap();
    assert!(reason.contains("of at most 2048"), "{reason}");
    assert!(reason.contains("views.row_bytes"), "{reason}");
}

/// A host does without all that it may not do in the database of the rows, and says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_without_create_keeps_rows_in_one_table_and_the_report_says_so() {
    let store = Store::new(Backend::Postgres).await;
    let rows = Store::new(Backend::Postgres).await;
    let other_rows = [("GAVEL_VIEWS_STORE", rows.url())];
    drop(Host::start_with(&store, &other_rows).await);
    let role = format!("gavel_weak_{}", std::process::id());
    let (_, address) = rows.url().rsplit_once('@').unwrap();
    let url = format!("postgres://{role}:weak@{address}");
    rows.execute(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'weak'; GRANT USAGE ON SCHEMA gavel_rows TO {role}; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA gavel_rows TO {role}"
    ))
    .await;
    let host = Host::start_with(&store, &[("GAVEL_VIEWS_STORE", &url)]).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    for id in ["c-1", "c-7"] {
        client.stream(COUNTER, id).increment().await.accepted();
    }
    let tally = client.view("tally");
    let digest = tally.upload(component("tally")).await;

    let activated = tally.activate(&digest, &[]).await;

    let summary = activated["report"]["summary"].to_string();
    assert!(
        summary.contains("lacks CREATE on the schema `gavel_rows`"),
        "{summary}"
    );
    let rows_now = tally.all_now().await;
    assert_eq!(rows_now.len(), 2);
    let changed = tally.upload(component("tally-changed")).await;
    let refused = tally.activate(&changed, &[]).await;
    assert_eq!(facts(&refused["report"], "compare")["changed"], 1);
    assert_eq!(tally.all_now().await, rows_now);
    drop(host);
    rows.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}"))
        .await;
}

/// A column cannot change its type under an SQL view of somebody else, whatever is accepted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_sql_view_of_others_that_depends_on_a_column_is_named_and_stays() {
    let store = Store::new(Backend::Postgres).await;
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    client.stream(COUNTER, "c-1").increment().await.accepted();
    let tally = client.view("tally");
    let former = tally.deploy(component("tally")).await;
    store
        .execute("CREATE VIEW of_others AS SELECT key, total FROM gavel_views.tally")
        .await;
    let retyped = patched("tally", "\"integer\"", "\"number\" ");
    let retyped = tally.upload(retyped).await;

    for accept in [&[][..], &["columns"], &["columns", "rows"]] {
        let refused = tally.activate(&retyped, accept).await;
        let found = finding(&refused["report"], "columns");
        assert_eq!(found["details"]["dependents"], json!(["public.of_others"]));
        assert_eq!(found["details"]["columns"], json!(["resets", "total"]));
        assert!(
            found["summary"]
                .as_str()
                .unwrap()
                .contains("public.of_others")
        );
    }
    let shown = "SELECT total::TEXT FROM of_others";
    assert_eq!(store.texts(shown).await, ["1"]);
    assert_eq!(tally.shown().await["active"]["digest"], json!(former));

    store.execute("DROP VIEW of_others").await;
    let refused = tally.activate(&retyped, &[]).await;
    assert_eq!(finding(&refused["report"], "columns")["blocks"], true);
    let activated = tally.activate(&retyped, &["columns"]).await;
    assert!(activated["activation"].is_number(), "{activated}");
    let typed = "SELECT pg_typeof(total)::TEXT FROM gavel_views.tally";
    assert_eq!(store.texts(typed).await, ["double precision"]);
    // To go back nobody has to accept anything.
    let back = client
        .post("/v1/views/tally/rollback", &json!({}))
        .send()
        .await
        .json(201);
    assert_eq!(finding(&back["report"], "columns")["blocks"], false);
    let texts = store
        .texts("SELECT total::TEXT FROM gavel_views.tally")
        .await;
    assert_eq!(texts, ["1"]);
}

/// The activation log is the truth: where a pointer cannot be moved with it, it follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pointer_in_another_database_follows_the_activation() {
    let store = Store::new(Backend::Postgres).await;
    let rows = Store::new(Backend::Postgres).await;
    let host = Host::start_with(&store, &[("GAVEL_VIEWS_STORE", rows.url())]).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    client.stream(COUNTER, "c-7").increment().await.accepted();
    let tally = client.view("tally");
    let former = tally.deploy(component("tally")).await;
    let changed = tally.upload(component("tally-changed")).await;
    rows.execute(
        "CREATE FUNCTION refuse() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now'; END $$; \
         CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON gavel_rows.pointers FOR EACH ROW EXECUTE FUNCTION refuse()",
    )
    .await;

    let activated = tally.activate(&changed, &["rows"]).await;

    assert_eq!(activated["digest"], json!(changed), "{activated}");
    let module = async || {
        tally
            .row("c-7")
            .await
            .header("gavel-module")
            .map(str::to_owned)
    };
    assert_eq!(module().await, Some(former));
    rows.execute("DROP TRIGGER refuse ON gavel_rows.pointers")
        .await;
    eventually("the pointer has followed", LIMIT, async || {
        (module().await.as_ref() == Some(&changed)).then_some(())
    })
    .await;
    assert_eq!(tally.row_now("c-7").await.json(200)["total"], 2);
}
