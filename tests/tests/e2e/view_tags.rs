//! Cases about views whose keys are values of tags, and the index that finds their events.

use gavel_tests::{Backend, Client, Host, LIMIT, Store, component, eventually, on_every_store};
use serde_json::json;

on_every_store! {
    events_of_a_view_by_tag_are_indexed_though_they_were_stored_before_it,
    an_index_goes_on_where_a_killed_host_has_left_it,
    the_events_of_a_row_are_found_without_a_look_at_all_others,
}

/// The guards, and whether all of each kind is indexed.
async fn guards(store: &Store) -> Vec<String> {
    let query = "SELECT decider || '/' || event || CASE WHEN indexed >= through THEN ' complete' ELSE '' END
        FROM tag_guards ORDER BY decider, event";
    store.texts(query).await
}

async fn indexed_tags(store: &Store) -> usize {
    let count = store.texts("SELECT CAST(count(*) AS TEXT) FROM event_tags");
    count.await[0].parse().unwrap()
}

async fn open_restaurant(client: &Client, id: &str) {
    let menu = json!({ "menu_id": "m-1", "items": [], "cuisine": "Italian" });
    let create = json!({ "identifier": id, "name": format!("Chez {id}"), "menu": menu });
    let restaurant = client.stream("restaurant", id);
    restaurant.send("CreateRestaurant", create).await.accepted();
}

async fn begin_order(client: &Client, id: &str, restaurant: &str) {
    let create = json!({ "identifier": id, "restaurant_identifier": restaurant, "line_items": [] });
    let order = client.stream("order", id);
    order.send("CreateOrder", create).await.accepted();
}

const COMPLETE: [&str; 3] = [
    "order/OrderCreated complete",
    "restaurant/OrderPlaced complete",
    "restaurant/RestaurantCreated complete",
];

async fn events_of_a_view_by_tag_are_indexed_though_they_were_stored_before_it(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    for decider in ["restaurant", "order"] {
        client.deploy_example(decider).await;
    }
    open_restaurant(&client, "r-1").await;
    open_restaurant(&client, "r-2").await;
    begin_order(&client, "o-1", "r-1").await;
    assert_eq!(guards(&store).await, [""; 0]);
    assert_eq!(indexed_tags(&store).await, 0);

    let kitchen = client.view("kitchen");
    kitchen.deploy(component("kitchen_view")).await;
    // Of the order there are two.
    assert_eq!(guards(&store).await, COMPLETE);
    assert_eq!(indexed_tags(&store).await, 4);
    let row = kitchen.row_now("r-1").await.json(200);
    assert_eq!(
        (&row["name"], &row["early"]),
        (&json!("Chez r-1"), &json!(["o-1"]))
    );

    open_restaurant(&client, "r-3").await;
    begin_order(&client, "o-2", "r-3").await;
    let prepared = client.stream("order", "o-2");
    let prepare = json!({ "identifier": "o-2" });
    prepared
        .send("MarkOrderAsPrepared", prepare)
        .await
        .accepted();
    // Nobody reads by tag that an order was prepared.
    assert_eq!(indexed_tags(&store).await, 7);
    let row = kitchen.row_now("r-3").await.json(200);
    assert_eq!(row["early"], json!(["o-2"]));

    // Another namespace has guards of its own.
    let there = client.in_namespace("elsewhere");
    there.deploy_example("order").await;
    begin_order(&there, "o-1", "r-1").await;
    assert_eq!(indexed_tags(&store).await, 7);
}

/// The few events of a row are told although there are more others than may be looked at.
async fn the_events_of_a_row_are_found_without_a_look_at_all_others(store: Store) {
    let host = Host::start_configured(&store, "[views]\nhistory_events = 100\n").await;
    let client = host.client();
    for decider in ["restaurant", "order"] {
        client.deploy_example(decider).await;
    }
    open_restaurant(&client, "r-1").await;
    begin_order(&client, "o-1", "r-1").await;
    let other =
        json!({ "event": "RestaurantMenuChanged", "data": {}, "tags": ["restaurant_id:r-2"] });
    let others = client.stream("restaurant", "r-2");
    others
        .append(0, &json!(vec![other; 2_500]))
        .send()
        .await
        .expect(200);
    begin_order(&client, "o-2", "r-1").await;
    let kitchen = client.view("kitchen");
    kitchen.deploy(component("kitchen_view")).await;

    let row = kitchen.row_now("r-1").await.json(200);
    let told = kitchen.get("/rows/r-1/why").send().await.json(200);
    let steps = told["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 3, "{told}");
    assert_eq!(steps[2]["row"], row);
    let fresh = kitchen.get("/rows/r-1?_fresh=true").send().await;
    assert_eq!(fresh.json(200), row);
}

async fn an_index_goes_on_where_a_killed_host_has_left_it(store: Store) {
    const EVENTS: usize = 20_000;
    let mut host = Host::start(&store).await;
    for decider in ["restaurant", "order"] {
        host.client().deploy_example(decider).await;
    }
    let values = "'RestaurantCreated', 'restaurant', 'x-' || i, '{\"name\": \"Chez x\"}'";
    store
        .execute(&match store.backend() {
            Backend::Sqlite => format!(
                "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {EVENTS})
                INSERT INTO events (event, decider, decider_id, data, event_id, command_id, version, created_at, tags)
                SELECT {values}, randomblob(16), randomblob(16), 1, 1770000000000, '[\"restaurant_id:r-' || (i % 3) || '\"]' FROM n"
            ),
            Backend::Postgres => format!(
                "INSERT INTO events (event, decider, decider_id, data, event_id, command_id, version, tags)
                SELECT {values}, gen_random_uuid(), gen_random_uuid(), 1, ARRAY['restaurant_id:r-' || (i % 3)]
                FROM generate_series(1, {EVENTS}) AS i"
            ),
        })
        .await;
    let digest = host
        .client()
        .view("kitchen")
        .upload(component("kitchen_view"))
        .await;
    let activate = json!({ "digest": digest });
    let path = "/v1/views/kitchen/activations";
    let begun = host.client().post(path, &activate).send().await;
    begun.json(202);

    let progress = async || -> usize {
        let query =
            "SELECT CAST(coalesce(min(indexed), 0) AS TEXT) FROM tag_guards WHERE through > 0";
        store.texts(query).await[0].parse().unwrap()
    };
    eventually("a piece is indexed", LIMIT, async || {
        (progress().await > 0).then_some(())
    })
    .await;
    host.kill();
    let at_first = progress().await;
    assert!(at_first < EVENTS, "it was killed too late: {at_first}");

    host.restart().await;
    eventually("all is indexed", LIMIT, async || {
        assert!(progress().await >= at_first);
        (guards(&store).await == COMPLETE).then_some(())
    })
    .await;
    assert_eq!(indexed_tags(&store).await, EVENTS);
    let kitchen = host.client().view("kitchen");
    let activated = kitchen.activate(&digest, &[]).await;
    assert!(activated["activation"].is_number(), "{activated}");
    assert_eq!(kitchen.all_now().await.len(), 3);
}

/// The reason for which a view is not ready is shown: a writer that may know of no guard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_says_that_its_index_waits_for_writers() {
    let store = Store::new(Backend::Postgres).await;
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example("order").await;
    begin_order(&client, "o-1", "r-1").await;
    // Of a view without an active module nothing is shown.
    let kitchen = client.view("kitchen");
    kitchen.deploy(component("tally")).await;
    let mut writer = store.session();
    writer.rows("BEGIN; LOCK TABLE events IN ROW EXCLUSIVE MODE");
    let digest = kitchen.upload(component("kitchen_view")).await;
    let activate = json!({ "digest": digest });
    let path = "/v1/views/kitchen/activations";
    let begun = client.post(path, &activate).send().await.json(202);
    let waits =
        "transactions have to end that began to write events before their tags were indexed";
    eventually("it says so", LIMIT, async || {
        let shown = kitchen.shown().await;
        (shown["candidate"]["stalled"] == waits).then_some(())
    })
    .await;
    writer.rows("COMMIT");
    kitchen.over(&begun).await;
    assert_eq!(guards(&store).await, COMPLETE);
    assert_eq!(indexed_tags(&store).await, 2);
}
