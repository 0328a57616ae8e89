use gavel::{Foreign, Recorded, Saga};
use kitchen_saga::{Kitchen, RestaurantEvent};

const LINE_ITEMS: &str = r#"[{"id":"1","quantity":2,"menu_item_id":"3","name":"Soup"}]"#;

#[test]
fn an_order_that_was_placed_is_created() {
    let placed =
        format!(r#"{{"identifier":"r-1","order_identifier":"o-1","line_items":{LINE_ITEMS}}}"#);
    let event = RestaurantEvent::read("restaurant", "OrderPlaced", 1, &placed);
    let orders = Kitchen::react(&Recorded {
        event: event.unwrap().unwrap(),
        decider: "restaurant".into(),
        stream_id: "r-1".into(),
        version: 2,
        event_id: "00000000-0000-0000-0000-000000000001".into(),
        schema_version: 1,
        tags: vec![],
        created_ms: 0,
        metadata: vec![],
    });
    let [create] = orders.try_into().unwrap();
    assert_eq!((create.decider, create.command), ("order", "CreateOrder"));
    assert_eq!(create.stream_id, "o-1");
    assert_eq!(
        create.data,
        format!(
            r#"{{"identifier":"o-1","restaurant_identifier":"r-1","line_items":{LINE_ITEMS}}}"#
        )
    );
}
