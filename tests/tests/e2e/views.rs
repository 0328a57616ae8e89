//! Cases about views: rows that are folded from events, read over HTTP and in SQL.

use std::collections::BTreeMap;

use gavel_tests::{
    Backend, COUNTER, Client, Host, LIMIT, Store, View, component, eventually, on_every_store,
};
use serde_json::json;

on_every_store! {
    rows_are_the_same_over_http_and_in_sql,
    a_reader_sees_what_it_has_written,
    rows_are_found_by_an_index_or_not_at_all,
    a_host_that_is_killed_folds_each_event_once,
    views_of_two_namespaces_share_nothing,
}

/// The view most cases read: a row for each counter.
pub(crate) const TALLY: &str = "tally";

/// Sends increments to so many counters, `c-0` first: one to the first, two to the second, and so
/// on, up to five.
pub(crate) async fn count(client: &Client, counters: u64) {
    client.deploy_example(COUNTER).await;
    for number in 0..counters {
        let stream = client.stream(COUNTER, &format!("c-{number}"));
        for _ in 0..=number % 5 {
            stream.increment().await.accepted();
        }
    }
}

/// The totals of those counters.
pub(crate) fn totals(counters: u64) -> BTreeMap<String, u64> {
    (0..counters)
        .map(|number| (format!("c-{number}"), number % 5 + 1))
        .collect()
}

/// The totals as the view has them now.
pub(crate) async fn tallied(view: &View) -> BTreeMap<String, u64> {
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
