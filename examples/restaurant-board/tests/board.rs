use gavel::{Foreign, Recorded, Sources, View};
use restaurant_board::{BoardEvent, OpenOrder};

fn recorded(decider: &str, name: &str, data: &str) -> Recorded<BoardEvent> {
    Recorded {
        event: BoardEvent::read(decider, name, 1, data).unwrap().unwrap(),
        decider: decider.into(),
        stream_id: "s-1".into(),
        version: 1,
        event_id: "00000000-0000-0000-0000-000000000001".into(),
        schema_version: 1,
        tags: vec!["order_id:o-1".into()],
        created_ms: 0,
        metadata: vec![],
    }
}

#[test]
fn the_order_is_the_key_of_each_event_and_its_label_the_source() {
    let placed = r#"{"identifier":"r-1","order_identifier":"o-1","line_items":[]}"#;
    let prepared = r#"{"identifier":"o-1","status":"Prepared"}"#;
    let [item] = OpenOrder::sources("o-1").try_into().unwrap();
    for event in [
        recorded("restaurant", "OrderPlaced", placed),
        recorded("order", "OrderPrepared", prepared),
    ] {
        assert_eq!(OpenOrder::keys(&event), ["o-1"]);
        assert_eq!(item.tags, event.tags);
    }
}
