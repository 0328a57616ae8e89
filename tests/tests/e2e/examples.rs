//! The examples as a user meets them: a restaurant that changes its mind, orders that end.

use gavel_tests::{Host, Store, on_every_store};
use serde_json::{Value, json};

on_every_store! {
    a_restaurant_swaps_its_rule_and_goes_back,
    an_order_ends_when_it_is_prepared,
    an_account_is_never_overdrawn,
    a_price_in_euros_is_brought_to_cents,
}

fn order(number: u32, item: &str) -> Value {
    let line = json!({ "id": "1", "quantity": 2, "menu_item_id": item, "name": "whatever it is" });
    json!({ "identifier": "r-1", "order_identifier": format!("o-{number}"), "line_items": [line] })
}

async fn a_restaurant_swaps_its_rule_and_goes_back(store: Store) {
    let host = Host::start(&store).await;
    let client = host.client();
    client.deploy_example("restaurant").await;
    let restaurant = client.stream("restaurant", "r-1");
    let items = json!([{ "id": "i-1", "name": "Pizza", "price": 850 }]);
    let menu = json!({ "menu_id": "m-1", "items": items, "cuisine": "Italian" });
    let create = json!({ "identifier": "r-1", "name": "Da Ann", "menu": menu });
    restaurant.send("CreateRestaurant", create).await.accepted();
    restaurant
        .send("PlaceOrder", order(1, "i-9"))
        .await
        .accepted();

    let stricter = gavel_tests::component("restaurant-check-menu");
    client.deploy("restaurant", stricter).await;
    let problem = restaurant
        .send("PlaceOrder", order(2, "i-9"))
        .await
        .problem(422, "command-rejected");
    assert_eq!(
        problem["rejection"]["data"],
        json!({ "menu_item_ids": ["i-9"] })
    );
    restaurant
        .send("PlaceOrder", order(3, "i-1"))
        .await
        .accepted();

    let path = "/v1/deciders/restaurant/rollback";
    client.post(path, &json!({})).send().await.expect(201);
    restaurant
        .send("PlaceOrder", order(4, "i-9"))
        .await
        .accepted();
    assert_eq!(restaurant.history().await.len(), 4);
}

async fn an_order_ends_when_it_is_prepared(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example("order").await;
    let kitchen = host.client().stream("order", "o-1");
    let create = json!({ "identifier": "o-1", "restaurant_identifier": "r-1", "line_items": [] });

    kitchen.send("CreateOrder", create).await.accepted();
    let prepared = kitchen
        .send("MarkOrderAsPrepared", json!({ "identifier": "o-1" }))
        .await
        .accepted();

    assert!(prepared.events[0].is_final);
    kitchen
        .send("MarkOrderAsPrepared", json!({ "identifier": "o-1" }))
        .await
        .problem(409, "stream-final");
    assert_eq!(kitchen.state().send().await.json(200)["final"], true);
}

async fn an_account_is_never_overdrawn(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example("account").await;
    let account = host.client().stream("account", "acc-1");
    account
        .send("Open", json!({ "owner": "ann" }))
        .await
        .accepted();
    account
        .send("Deposit", json!({ "amount": i64::MAX }))
        .await
        .accepted();

    let problem = account
        .send("Deposit", json!({ "amount": 1 }))
        .await
        .problem(422, "command-rejected");
    let facts = json!({ "balance": i64::MAX, "amount": 1 });
    assert_eq!(problem["rejection"]["data"], facts);
    account
        .send("Withdraw", json!({ "amount": i64::MAX }))
        .await
        .accepted();
    account
        .send("Withdraw", json!({ "amount": 1 }))
        .await
        .problem(422, "command-rejected");
    assert_eq!(account.history().await.len(), 3);
}

async fn a_price_in_euros_is_brought_to_cents(store: Store) {
    let host = Host::start(&store).await;
    host.client().deploy_example("price").await;
    let article = host.client().stream("price", "a-1");
    let first = json!({ "event": "PriceSet", "schema_version": 1, "data": { "euros": 3 } });
    let import = json!({ "expected_version": 0, "events": [first] });
    let path = "/v1/deciders/price/a-1/events";
    host.client().post(path, &import).send().await.expect(200);

    let same = article.send("SetPrice", json!({ "cents": 300 })).await;
    assert!(same.accepted().events.is_empty());
    let other = article.send("SetPrice", json!({ "cents": 350 })).await;
    assert_eq!(other.accepted().events[0].schema_version, 2);
    let misspelt = json!({ "cents": 300, "centz": 350 });
    let problem = article.send("SetPrice", misspelt).await;
    let problem = problem.problem(422, "invalid-command-data");
    assert_eq!(problem["errors"][0]["message"], "there is no field `centz`");
}
