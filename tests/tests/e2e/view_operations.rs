//! Cases about the operation of views: metrics, the reason for which rows do not move, the output
//! of modules, and the descriptions of views.

use gavel_tests::{
    Backend, COUNTER, CliOutput, Client, Document, Host, LIMIT, Store, component, eventually,
    on_every_store, with_manifest,
};
use serde_json::{Value, json};

on_every_store! {
    a_view_is_measured_in_each_of_its_roles,
    a_view_describes_the_questions_that_it_answers,
    the_output_of_a_view_can_be_read,
}

const TALLY: &str = "tally";

/// The value of a metric of a view, with the labels that follow the name of the view.
async fn metric(client: &Client, name: &str, view: &str, labels: &str) -> Option<f64> {
    let metrics = client.get("/metrics").send().await.expect(200).text();
    let series = format!("{name}{{namespace=\"default\",view=\"{view}\"{labels}}} ");
    let value = metrics.lines().find_map(|line| line.strip_prefix(&series));
    value.map(|value| value.parse().unwrap())
}

async fn eventually_measured(client: &Client, name: &str, view: &str, labels: &str, value: f64) {
    let what = format!("{name} of {view}{labels} is {value}");
    eventually(&what, LIMIT, async || {
        (metric(client, name, view, labels).await == Some(value)).then_some(())
    })
    .await;
}

/// Appends an event of the decider `actor`, whose events any writer appends as it likes.
async fn act(client: &Client, id: &str, version: u64, act: &str) {
    let events = json!([{ "event": "Acted", "data": { "act": act } }]);
    let stream = client.stream("actor", id);
    stream.append(version, &events).send().await.expect(200);
}

async fn deploy_hostile(client: &Client) -> String {
    let manifest = json!({
        "name": "actor", "kind": "decider", "commands": [{ "name": "Act" }], "events": [{ "name": "Acted" }],
    });
    client.deploy("actor", with_manifest(&manifest)).await;
    client
        .view("hostile")
        .deploy(component("hostile_view"))
        .await
}

async fn a_view_is_measured_in_each_of_its_roles(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    deploy_hostile(&client).await;
    act(&client, "a", 0, "Ok").await;
    act(&client, "b", 0, "Ok").await;
    act(&client, "b", 1, "TrapInFold").await;
    act(&client, "b", 2, "Ok").await;
    act(&client, "c", 0, "TrapInKeys").await;
    let active = ",role=\"active\"";
    for (name, value) in [
        ("gavel_view_events_total", 5.0),
        ("gavel_view_rows_written_total", 2.0),
        ("gavel_view_parked_rows", 1.0),
        ("gavel_view_parked_events", 1.0),
        ("gavel_view_lag_events", 0.0),
        ("gavel_view_lag_seconds", 0.0),
    ] {
        eventually_measured(&client, name, "hostile", active, value).await;
    }
    let built = metric(&client, "gavel_view_build_seconds", "hostile", "").await;
    assert!(built.is_some_and(|seconds| seconds >= 0.0), "{built:?}");

    client.deploy_example(COUNTER).await;
    client.stream(COUNTER, "c-1").increment().await.accepted();
    let tally = client.view(TALLY);
    tally.deploy(component(TALLY)).await;
    let changed = tally.upload(component("tally-changed")).await;
    tally.rehearse(&changed).await;
    let candidate = ",role=\"candidate\"";
    let events = "gavel_view_events_total";
    eventually_measured(&client, events, TALLY, active, 1.0).await;
    eventually_measured(&client, events, TALLY, candidate, 1.0).await;
    let text = client.get("/metrics").send().await.expect(200).text();
    for described in [
        "# HELP gavel_view_lag_seconds ",
        "# HELP gavel_view_build_seconds ",
    ] {
        assert!(text.contains(described), "{described}");
    }
}

/// The text of a value of a parameter.
fn example(schema: &Value) -> &'static str {
    match (schema["type"].as_str(), schema["format"].as_str()) {
        (Some("integer"), _) => "1",
        (Some("number"), _) => "0.5",
        (Some("boolean"), _) => "false",
        (_, Some("date-time")) => "2026-02-03T04:05:06Z",
        (_, Some("uuid")) => "00000000-0000-0000-0000-000000000001",
        _ => "a",
    }
}

async fn a_view_describes_the_questions_that_it_answers(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    deploy_hostile(&client).await;
    act(&client, "a", 0, "Ok").await;
    let view = client.view("hostile");
    let row = view.row_now("a").await.json(200);
    let unknown = client.view("nothing").get("/openapi.json").send().await;
    unknown.problem(404, "view-not-found");

    let described = view.get("/openapi.json").send().await.json(200);

    let document = Document::new(described.clone());
    let operations: Vec<_> = document.operations().into_iter().collect();
    for path in [
        "GET /v1/views/hostile/rows",
        "GET /v1/views/hostile/rows/{key}",
    ] {
        assert!(operations.contains(&path.to_owned()), "{operations:?}");
    }
    let list = &described["paths"]["/v1/views/hostile/rows"]["get"];
    let of_page = &list["responses"]["200"]["content"]["application/json"]["schema"];
    let page = view.get("/rows").send().await.json(200);
    for (schema, value) in [
        (of_page, &page),
        (&json!({ "$ref": "#/components/schemas/Row.Value" }), &row),
    ] {
        let schema = json!({ "allOf": [schema], "components": described["components"] });
        let validator = jsonschema::validator_for(&schema).unwrap();
        assert!(validator.is_valid(value), "{value}");
        let other =
            json!({ "rows": [{ "key": "a", "row": { "count": "many" } }], "count": "many" });
        assert!(!validator.is_valid(&other), "{schema}");
    }

    // Each index answers what is said of it, and nothing else is described.
    let named = |name: &str| {
        let mut parameters = list["parameters"].as_array().unwrap().iter();
        parameters.find(|parameter| parameter["name"] == name)
    };
    let orders = &named("_order").unwrap()["schema"]["enum"];
    let mut asked = 0;
    for index in list["x-indexes"].as_array().unwrap() {
        let members = index.as_array().unwrap().iter();
        let members: Vec<_> = members.map(|member| member.as_str().unwrap()).collect();
        let (last, others) = members.split_last().unwrap();
        let equal = |member: &str| {
            let schema = &named(member).unwrap()["schema"];
            format!("{member}={}", example(schema))
        };
        let given: Vec<_> = others.iter().map(|member| equal(member)).collect();
        let mut questions = vec![equal(last)];
        for bound in ["gt", "gte", "lt", "lte"] {
            let name = format!("{last}.{bound}");
            let schema = &named(&name).unwrap()["schema"];
            questions.push(format!("{name}={}", example(schema)));
        }
        for order in [(*last).to_owned(), format!("-{last}")] {
            assert!(
                orders.as_array().unwrap().contains(&json!(order)),
                "{order}"
            );
            questions.push(format!("_order={order}"));
        }
        for question in questions {
            let query: Vec<_> = given
                .iter()
                .chain([&question])
                .map(String::as_str)
                .collect();
            let path = format!("/rows?{}", query.join("&"));
            view.get(&path).send().await.expect(200);
            asked += 1;
        }
    }
    assert_eq!(asked, 21, "{list}");
    for order in orders.as_array().unwrap() {
        let order = order.as_str().unwrap();
        let is_ours = ["key", "-key"].contains(&order);
        let status = view
            .get(&format!("/rows?_order={order}"))
            .send()
            .await
            .status();
        assert!(!is_ours || status == 200, "{order}");
    }
    for unknown in ["id", "number", "acts", "note.in"] {
        assert!(named(unknown).is_none(), "{unknown}");
    }
}

async fn the_output_of_a_view_can_be_read(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let digest = deploy_hostile(&client).await;
    act(&client, "a", 0, "Print").await;
    client.view("hostile").row_now("a").await.expect(200);

    let folder = tempfile::tempdir().unwrap();
    let gavel = |arguments: &[&str]| CliOutput::of(Some(&host), folder.path(), arguments);
    let shown = gavel(&["logs", "hostile"]).exits_with(0).stdout();
    assert!(shown.trim_end().ends_with("  a speaks"), "{shown}");
    let line = gavel(&["logs", "hostile", "--tail", "1", "-o", "json"]).json();
    assert_eq!(
        (&line["view"], &line["module"], &line["text"]),
        (&json!("hostile"), &json!(digest), &json!("a speaks\n"))
    );
    let log = host.log();
    let mut lines = log.lines().filter(|line| line.contains("gavel::module"));
    assert!(
        lines.any(|line| line.contains("a speaks") && line.contains("hostile")),
        "{log}"
    );
    let unknown = gavel(&["logs", "nothing"]).exits_with(1).stderr();
    assert!(unknown.contains("nothing"), "{unknown}");
    let unknown = client.view("nothing").get("/logs").send().await;
    unknown.problem(404, "view-not-found");
}

/// A transaction that keeps events from readers is named where people look: in the status, in
/// metrics, and in the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_that_does_not_move_names_the_transaction_that_it_waits_for() {
    let store = Store::new(Backend::Postgres).await;
    let hosts = [Host::start(&store).await, Host::start(&store).await];
    let client = hosts[0].client();
    client.deploy_example(COUNTER).await;
    client.view(TALLY).deploy(component(TALLY)).await;
    let mut session = store.session();
    session.run("BEGIN").unwrap();
    let pid = session.row("SELECT pg_backend_pid()::TEXT FROM pg_current_xact_id()");

    client.stream(COUNTER, "c-1").increment().await.accepted();

    // One of the hosts folds the view; each of them knows.
    for host in &hosts {
        let tally = host.client().view(TALLY);
        let reason = eventually("the view says why it does not move", LIMIT, async || {
            let shown = tally.shown().await;
            shown["rows"]["stalled"].as_str().map(str::to_owned)
        })
        .await;
        let (holder, query) = (format!("process {pid}, for "), "`SELECT pg_backend_pid");
        assert!(
            reason.contains(&holder) && reason.contains(query),
            "{reason}"
        );
    }
    let metric = async |value: f64| {
        eventually("the metric shows it", LIMIT, async || {
            let labels = ",role=\"active\",reason=\"open-transaction\"";
            for host in &hosts {
                let shown = metric(&host.client(), "gavel_view_stalled", TALLY, labels).await;
                if shown == Some(value) {
                    return Some(());
                }
            }
            None
        })
        .await;
    };
    metric(1.0).await;
    let said = ["do not move although there is work", TALLY, &pid];
    eventually("the log says it, too", LIMIT, async || {
        let logs = hosts.iter().map(Host::log).collect::<Vec<_>>().concat();
        let is_it = |line: &str| said.iter().all(|part| line.contains(part));
        logs.lines().any(is_it).then_some(())
    })
    .await;

    session.run("ROLLBACK").unwrap();
    for host in &hosts {
        let tally = host.client().view(TALLY);
        assert_eq!(tally.row_now("c-1").await.json(200)["total"], 1);
        assert_eq!(tally.shown().await["rows"]["stalled"], Value::Null);
    }
    metric(0.0).await;
}

/// Shows a module without a host.
#[test]
fn a_view_is_inspected_with_what_it_reads_and_keeps() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("view.wasm"), component("hostile_view")).unwrap();
    let gavel = |arguments: &[&str]| CliOutput::of(None, folder.path(), arguments).exits_with(0);
    let shown = gavel(&["inspect", "view.wasm"]).stdout();
    for part in [
        "hostile  view, ",
        "reads\n  actor/Acted v1\n",
        "rows\n  { acts, at, count, flag, id, note, number }\n",
        "indexes\n  note\n  flag, count\n  at\n",
        "  count a 64-bit integer\n",
        "only in the row\n  acts\n",
        "exports view of gavel:module",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let inspected = gavel(&["inspect", "view.wasm", "-o", "json"]).json();
    assert_eq!(inspected["reads"][0]["event"], "Acted");
    assert_eq!(inspected["indexes"][1], json!(["flag", "count"]));
    assert_eq!(inspected["uncolumned"], json!(["acts"]));
}
