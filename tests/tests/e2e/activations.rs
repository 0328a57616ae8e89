//! `/v1/deciders`: which module decides, and how that changes.

use gavel_tests::{
    COUNTER, Client, Host, LIMIT, Store, component, eventually, on_every_store, revision,
};
use serde_json::json;

on_every_store! {
    every_activation_is_on_record,
    a_rollback_brings_the_former_module_back,
    what_the_gate_refuses_changes_nothing,
    a_named_finding_can_be_accepted_and_that_is_recorded,
    a_module_can_decide_under_another_name,
    a_name_of_another_kind_is_taken,
    states_are_kept_of_modules_that_will_be_asked_for_them,
    modules_that_change_together_become_active_together,
    of_modules_that_change_together_none_becomes_active_if_one_is_refused,
}

async fn every_activation_is_on_record(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let path = format!("/v1/deciders/{COUNTER}");
    let first = client.deploy_example(COUNTER).await;
    let second = client
        .upload(revision(component(COUNTER), 2))
        .await
        .json(201)["digest"]
        .as_str()
        .unwrap()
        .to_owned();

    let request = json!({ "digest": second, "message": "nothing but another digest" });
    let activation = client
        .post(&format!("{path}/activations"), &request)
        .send()
        .await
        .json(201);

    assert_eq!(
        (&activation["digest"], &activation["activation"]),
        (&json!(second), &json!(2))
    );
    assert_eq!(activation["report"]["passed"], true);
    let decider = client.get(&path).send().await.json(200);
    assert_eq!(decider["decider"], COUNTER);
    assert_eq!(decider["active"]["digest"], json!(second));
    assert_eq!(decider["active"]["message"], "nothing but another digest");
    assert!(
        decider["active"]["activated_at"].is_string()
            && decider["active"].get("activated_by").is_some()
    );
    let digests: Vec<_> = decider["activations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["digest"])
        .collect();
    assert_eq!(digests, [&json!(second), &json!(first)]);
    let list = client.get("/v1/deciders").send().await.json(200);
    assert_eq!(list["deciders"][0]["active"]["digest"], json!(second));
}

async fn a_rollback_brings_the_former_module_back(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let path = format!("/v1/deciders/{COUNTER}/rollback");
    client
        .post(&path, &json!({}))
        .send()
        .await
        .problem(404, "decider-not-found");
    let first = client.deploy_example(COUNTER).await;
    client
        .deploy(COUNTER, revision(component(COUNTER), 2))
        .await;
    let counter = client.stream(COUNTER, "c-1");
    counter.increment().await.accepted();

    let back = client
        .post(&path, &json!({ "message": "second thoughts" }))
        .send()
        .await
        .json(201);

    assert_eq!(
        (&back["digest"], &back["activation"]),
        (&json!(first), &json!(3))
    );
    let answer = counter.increment().await.accepted();
    assert_eq!((answer.module, answer.version), (first, 2));
}

async fn what_the_gate_refuses_changes_nothing(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let counter = client.stream(COUNTER, "c-1");
    let good = client.deploy_example(COUNTER).await;
    counter.increment().await.accepted();
    // It knows nothing of counting, so that neither the schema nor the specifications of the
    // counter hold.
    let other = client.upload(component("account")).await.json(201)["digest"]
        .as_str()
        .unwrap()
        .to_owned();

    let problem = client
        .activate(COUNTER, &other)
        .await
        .problem(422, "gate-refused");

    assert_eq!(problem["report"]["passed"], false);
    assert!(
        !problem["report"]["findings"].as_array().unwrap().is_empty(),
        "{problem}"
    );
    assert_eq!(
        client.get("/v1/deciders/counter").send().await.json(200)["active"]["digest"],
        json!(good)
    );
    let answer = counter.increment().await.accepted();
    assert_eq!((answer.module, answer.version), (good, 2));
    assert_eq!(
        client.get("/v1/deciders/counter").send().await.json(200)["activations"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

async fn a_named_finding_can_be_accepted_and_that_is_recorded(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    let other = client.upload(component("account")).await.json(201)["digest"].clone();
    let path = "/v1/deciders/counter/activations";

    let refusal = client
        .post(path, &json!({ "digest": other }))
        .send()
        .await
        .problem(422, "gate-refused");
    let findings = refusal["report"]["findings"].as_array().unwrap();
    let blocking = findings.iter().filter(|finding| finding["blocks"] == true);
    let names: Vec<_> = blocking.map(|finding| finding["name"].clone()).collect();
    assert!(!names.is_empty(), "{refusal}");
    let some = json!({ "digest": other, "accept": ["specs:of another module"] });
    client
        .post(path, &some)
        .send()
        .await
        .problem(422, "gate-refused");
    let all = json!({ "digest": other, "accept": names });
    let activation = client.post(path, &all).send().await.json(201);

    assert_eq!(activation["accepted"], json!(names));
    let decider = client.get("/v1/deciders/counter").send().await.json(200);
    assert_eq!(decider["active"]["accepted"], json!(names));
}

async fn a_name_of_another_kind_is_taken(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let digest = client.deploy_example(COUNTER).await;
    // As a host leaves it that runs views.
    let view = "INSERT INTO activations (namespace, kind, name, number, digest, activated_at, accepted, report) \
                SELECT namespace, 'view', 'orders', 1, digest, activated_at, accepted, report FROM activations";
    store.execute(view).await;

    let problem = client.activate("orders", &digest).await;

    let problem = problem.problem(409, "name-taken");
    assert_eq!(
        (&problem["name"], &problem["kind"]),
        (&json!("orders"), &json!("view"))
    );
    let nobody = client.get("/v1/deciders/orders").send().await;
    nobody.problem(404, "decider-not-found");
    let list = client.get("/v1/deciders").send().await.json(200);
    assert_eq!(list["deciders"].as_array().unwrap().len(), 1);
    // It is another name elsewhere.
    let elsewhere = client.in_namespace("other");
    elsewhere.activate("orders", &digest).await.json(201);
}

async fn a_module_can_decide_under_another_name(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example(COUNTER).await;
    client.deploy("tally", component(COUNTER)).await;

    client.stream(COUNTER, "c-1").increment().await.accepted();
    let tally = client.stream("tally", "c-1").increment().await.accepted();

    // The same id under another decider is another stream.
    assert_eq!(
        (
            tally.decider.as_str(),
            tally.version,
            tally.events[0].previous_id
        ),
        ("tally", 1, None)
    );
}

async fn states_are_kept_of_modules_that_will_be_asked_for_them(store: Store) {
    let host = Host::start_with(&store, &[("GAVEL_COMMANDS_SNAPSHOT_EVENTS", "2")]).await;
    let client = host.client();
    let have_states = async |mut expected: Vec<String>| {
        expected.sort();
        eventually(
            "states of these modules, and no others",
            LIMIT,
            async || {
                let query = "SELECT DISTINCT module FROM snapshots ORDER BY module";
                let mut modules = store.texts(query).await;
                modules.sort();
                (modules == expected).then_some(())
            },
        )
        .await;
    };
    let first = client.deploy_example(COUNTER).await;
    for _ in 0..3 {
        client.stream(COUNTER, "c-1").increment().await.accepted();
    }
    have_states(vec![first]).await;

    let second = client
        .deploy(COUNTER, revision(component(COUNTER), 2))
        .await;
    have_states(vec![second.clone()]).await;

    let path = format!("/v1/deciders/{COUNTER}/rehearsals");
    for number in [3, 4] {
        let candidate = client.upload(revision(component(COUNTER), number)).await;
        let digest = candidate.json(201)["digest"].as_str().unwrap().to_owned();
        let request = json!({ "digest": digest });
        client.post(&path, &request).send().await.expect(202);
        have_states(vec![second.clone(), digest]).await;
    }
}

/// Uploads a module. Gives its digest.
async fn uploaded(client: &Client, component: Vec<u8>) -> String {
    let module = client.upload(component).await.json(201);
    module["digest"].as_str().unwrap().to_owned()
}

async fn modules_that_change_together_become_active_together(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let restaurant = uploaded(&client, component("restaurant")).await;
    let order = uploaded(&client, component("order")).await;
    let together = json!({
        "activations": [
            { "kind": "decider", "name": "restaurant", "digest": restaurant },
            { "kind": "decider", "name": "order", "digest": order },
        ],
        "message": "both know of orders",
    });

    let begun = client
        .post("/v1/activations", &together)
        .send()
        .await
        .json(201);
    let again = client
        .post("/v1/activations", &together)
        .send()
        .await
        .json(201);

    for (answer, number) in [(&begun, 1), (&again, 2)] {
        let activations = answer["activations"].as_array().unwrap();
        assert_eq!(activations.len(), 2);
        // In the order of the request.
        for (activation, (name, digest)) in activations
            .iter()
            .zip([("restaurant", &restaurant), ("order", &order)])
        {
            assert_eq!(activation["kind"], "decider");
            assert_eq!(activation["decider"], name);
            assert_eq!(activation["digest"], json!(digest));
            assert_eq!(activation["activation"], json!(number));
            assert_eq!(activation["report"]["passed"], true);
        }
    }
    let entry = &begun["activations"][1];
    let logged = client.get("/v1/deciders/order").send().await.json(200);
    assert_eq!(
        logged["activations"][1]["activated_at"],
        entry["activated_at"]
    );
    assert_eq!(logged["activations"][1]["message"], "both know of orders");

    let create = json!({ "identifier": "o-1", "restaurant_identifier": "r-1", "line_items": [] });
    let order_1 = client.stream("order", "o-1");
    let answer = order_1.send("CreateOrder", create).await.accepted();
    assert_eq!(answer.module, order);
}

async fn of_modules_that_change_together_none_becomes_active_if_one_is_refused(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    let good = client.deploy_example(COUNTER).await;
    client.stream(COUNTER, "c-1").increment().await.accepted();
    let order = uploaded(&client, component("order")).await;
    // It knows nothing of counting.
    let other = uploaded(&client, component("account")).await;
    let together = |name: &str| {
        json!({ "activations": [
            { "kind": "decider", "name": name, "digest": order },
            { "kind": "decider", "name": COUNTER, "digest": other },
        ] })
    };

    let refusal = client.post("/v1/activations", &together("order")).send();
    let refusal = refusal.await.problem(422, "gate-refused");

    let reports = refusal["reports"].as_array().unwrap();
    let passed: Vec<_> = reports
        .iter()
        .map(|report| (report["decider"].as_str().unwrap(), &report["passed"]))
        .collect();
    assert_eq!(passed, [("order", &json!(true)), (COUNTER, &json!(false))]);
    assert_ne!(reports[1]["findings"], json!([]));
    let decider = client.get("/v1/deciders/counter").send().await.json(200);
    assert_eq!(decider["active"]["digest"], json!(good));
    let order_now = client.get("/v1/deciders/order").send().await;
    order_now.problem(404, "decider-not-found");
    let twice = client.post("/v1/activations", &together(COUNTER)).send();
    let twice = twice.await.problem(400, "malformed-request");
    assert_eq!(twice["errors"][0]["pointer"], "/activations");
}
