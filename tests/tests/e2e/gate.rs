//! The helpers of the cases about the gate: a past to take candidates through, and readers of
//! reports.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use gavel_tests::{Answer, Client, component, eventually};
use serde_json::{Value, json};

/// The decider that candidates want to rule. The guest of the same name is active at first; its
/// variants are `candidate-<change>`.
pub(crate) const DECIDER: &str = "candidate";

/// A limit longer than a rehearsal of ten thousand streams takes on a machine that is busy with
/// other tests.
pub(crate) const REHEARSAL_LIMIT: Duration = Duration::from_secs(180);

/// The size of the past that [`write_past`] writes.
pub(crate) const PAST_STREAMS: u64 = 12;
pub(crate) const PAST_EVENTS: u64 = 41;
pub(crate) const PAST_COMMANDS: u64 = 54;
/// The account with the most commands in that past. They are, from the first: `Open`, `Deposit` 60,
/// `Withdraw` 10, `Touch`, `Deposit` 40, `Withdraw` 60.
pub(crate) const BUSIEST: &str = "c-05";

const BATCH: usize = 100;
const BATCHES_AT_ONCE: usize = 8;
/// The steps, in order.
const STEPS: [&str; 8] = [
    "validate",
    "describe",
    "dependents",
    "specs",
    "re-fold",
    "re-decide",
    "determinism",
    "cost",
];

/// The steps after which none of the later ones can run when they refuse: a past that cannot be
/// read cannot be decided on.
const LAST_WORDS: [&str; 2] = ["describe", "re-fold"];

/// Uploads the module `<name>.wasm`. Gives its digest.
pub(crate) async fn upload(client: &Client, name: &str) -> String {
    upload_bytes(client, component(name)).await
}

/// Uploads a component that the host may know already. Gives its digest.
pub(crate) async fn upload_bytes(client: &Client, component: Vec<u8>) -> String {
    let uploaded = client.upload(component).await;
    let module = uploaded.json(if uploaded.status() == 200 { 200 } else { 201 });
    module["digest"].as_str().unwrap().to_owned()
}

/// Asks for a module to become active, with some findings accepted.
pub(crate) async fn activate(client: &Client, digest: &str, accept: &[&str]) -> Answer {
    let path = format!("/v1/deciders/{DECIDER}/activations");
    let request = json!({ "digest": digest, "accept": accept });
    client.post(&path, &request).send().await
}

/// Asks for `candidate-<change>` to become active. Gives the report of the gate, which has let it
/// pass.
pub(crate) async fn passes(client: &Client, change: &str) -> Value {
    let digest = upload(client, &format!("candidate-{change}")).await;
    let report = activate(client, &digest, &[]).await.json(201)["report"].clone();
    assert_eq!(report["candidate"], json!(digest));
    assert_passed(&report);
    report
}

/// Asks for `candidate-<change>` to become active. Gives the report of the gate, which has refused
/// it at this step, and checks that nothing has changed by that.
pub(crate) async fn is_refused(client: &Client, change: &str, step: &str) -> Value {
    let before = decider(client).await;
    let digest = upload(client, &format!("candidate-{change}")).await;
    let problem = activate(client, &digest, &[])
        .await
        .problem(422, "gate-refused");
    let report = problem["report"].clone();
    assert_eq!(report["candidate"], json!(digest));
    assert_refused_at(&report, step);
    assert_eq!(decider(client).await, before, "a refusal changes nothing");
    report
}

/// The decider as the host reports it.
pub(crate) async fn decider(client: &Client) -> Value {
    let path = format!("/v1/deciders/{DECIDER}");
    client.get(&path).send().await.json(200)
}

#[track_caller]
pub(crate) fn assert_passed(report: &Value) {
    assert_eq!(report["passed"], true, "{report}");
    assert_eq!(steps(report), STEPS.map(|step| (step, "passed")));
}

/// Checks that this step has refused, and no other. After a step that leaves nothing to look at, no
/// other is run.
#[track_caller]
pub(crate) fn assert_refused_at(report: &Value, step: &str) {
    assert_eq!(report["passed"], false, "{report}");
    let mut expected = Vec::new();
    for known in STEPS {
        expected.push((known, if known == step { "refused" } else { "passed" }));
        if known == step && LAST_WORDS.contains(&step) {
            break;
        }
    }
    assert_eq!(steps(report), expected, "{report}");
}

/// The name of each step that was run, and its outcome.
#[track_caller]
fn steps(report: &Value) -> Vec<(&str, &str)> {
    let steps = report["steps"].as_array().expect("a report has steps");
    steps
        .iter()
        .map(|step| {
            let outcome = step["step"].as_str().zip(step["outcome"].as_str());
            outcome.unwrap_or_else(|| panic!("a step has a name and an outcome: {step}"))
        })
        .collect()
}

/// The facts of a step.
#[track_caller]
pub(crate) fn facts<'a>(report: &'a Value, step: &str) -> &'a Value {
    let mut steps = report["steps"].as_array().unwrap().iter();
    let step = steps.find(|known| known["step"] == step);
    &step.unwrap_or_else(|| panic!("the step was run: {report}"))["facts"]
}

/// The finding of this name.
#[track_caller]
pub(crate) fn finding<'a>(report: &'a Value, name: &str) -> &'a Value {
    let mut findings = report["findings"].as_array().unwrap().iter();
    let finding = findings.find(|known| known["name"] == name);
    let finding = finding.unwrap_or_else(|| panic!("{name} was found: {report}"));
    let summary = finding["summary"].as_str().unwrap_or_default();
    assert!(!summary.is_empty(), "a finding is put in words: {finding}");
    finding
}

/// Checks members of facts.
#[track_caller]
pub(crate) fn assert_counts(facts: &Value, expected: &[(&str, u64)]) {
    for (member, count) in expected {
        assert_eq!(facts[member], json!(count), "{member} of {facts}");
    }
}

/// Begins a rehearsal. Gives the path of the rehearsal.
pub(crate) async fn rehearse(client: &Client, request: &Value) -> String {
    let path = format!("/v1/deciders/{DECIDER}/rehearsals");
    let answer = client.post(&path, request).send().await;
    let rehearsal = answer.json(202);
    assert_eq!(rehearsal["digest"], request["digest"]);
    let path = format!(
        "/v1/rehearsals/{}",
        rehearsal["rehearsal"].as_str().unwrap()
    );
    assert_eq!(answer.header("location"), Some(path.as_str()));
    path
}

/// Waits until the rehearsal is over, and returns it.
pub(crate) async fn over(client: &Client, path: &str) -> Value {
    eventually("the rehearsal is over", REHEARSAL_LIMIT, async || {
        let rehearsal = client.get(path).send().await.json(200);
        (rehearsal["status"] != "running").then_some(rehearsal)
    })
    .await
}

/// A command in the form of a batch.
pub(crate) fn command(id: &str, command: &str, data: &Value) -> Value {
    json!({ "decider": DECIDER, "id": id, "command": command, "data": data })
}

/// Sends commands, several at once. Gives the results, in no order, each of which is an answer or a
/// rejection.
pub(crate) async fn send(client: &Client, commands: Vec<Value>) -> Vec<Value> {
    let batches: Vec<_> = commands.chunks(BATCH).map(<[Value]>::to_vec).collect();
    let sent = batches.into_iter().map(|commands| async move {
        let body = json!({ "atomic": false, "commands": commands });
        let answer = client.post("/v1/commands", &body).send().await.json(200);
        answer["results"].as_array().unwrap().clone()
    });
    let results: Vec<_> = stream::iter(sent)
        .buffer_unordered(BATCHES_AT_ONCE)
        .collect()
        .await;
    let results = results.concat();
    for result in &results {
        let is_decided = result.get("version").is_some() || result["code"] == "command-rejected";
        assert!(is_decided, "{result}");
    }
    results
}

/// Deploys the account, and lets twelve accounts live a little. Gives the digest of the account.
///
/// Each of `c-00` to `c-11` is opened, takes a deposit of 60 and a withdrawal of 10, and is
/// touched. Then three take a deposit of 7, one withdraws 60 from its 90, and one fails to withdraw
/// 55 from its 50.
pub(crate) async fn write_past(client: &Client) -> String {
    let digest = client.deploy_example(DECIDER).await;
    let mut commands = Vec::new();
    for number in 0..PAST_STREAMS {
        let id = &format!("c-{number:02}");
        commands.push(command(id, "Open", &json!({ "owner": "ann" })));
        commands.push(command(id, "Deposit", &json!({ "amount": 60 })));
        commands.push(command(id, "Withdraw", &json!({ "amount": 10 })));
        commands.push(command(id, "Touch", &json!({})));
    }
    for id in ["c-02", "c-07", "c-09"] {
        commands.push(command(id, "Deposit", &json!({ "amount": 7 })));
    }
    commands.push(command(BUSIEST, "Deposit", &json!({ "amount": 40 })));
    commands.push(command(BUSIEST, "Withdraw", &json!({ "amount": 60 })));
    commands.push(command("c-03", "Withdraw", &json!({ "amount": 55 })));
    // One batch, in which those of a stream are carried out in order.
    assert!(commands.len() <= BATCH);
    let results = send(client, commands).await;
    let rejected = results.iter().filter(|result| result["code"].is_string());
    assert_eq!(rejected.count(), 1);
    digest
}

/// Deploys the account and opens ten thousand of them, `m-0000` to `m-9999`. One of them takes the
/// deposit of 13 that some variants cannot fold.
pub(crate) async fn write_long_past(client: &Client, unlucky: &str) {
    client.deploy_example(DECIDER).await;
    let open = |number| {
        let id = format!("m-{number:04}");
        command(&id, "Open", &json!({ "owner": "ann" }))
    };
    send(client, (0..10_000).map(open).collect()).await;
    let deposit = json!({ "amount": 13 });
    let unlucky = client.stream(DECIDER, unlucky);
    assert_eq!(unlucky.send("Deposit", deposit).await.accepted().version, 2);
}
