use gavel::{Sources, ViewModule};
use orders_view::OrderRow;

#[test]
fn a_row_follows_from_the_events_of_its_stream() {
    let [item] = OrderRow::sources("o-1").try_into().unwrap();
    assert_eq!(item.stream_id.as_deref(), Some("o-1"));
    let events = ["OrderCreated", "OrderPrepared"].map(|event| ("order".into(), event.into()));
    assert_eq!(item.events, events);
}

#[test]
fn orders_are_found_by_their_status_and_their_time() {
    let manifest = gavel::describe_view::<OrderRow>();
    assert_eq!(OrderRow::NAME, "orders");
    assert!(manifest.contains(r#""indexes":[["status","created_at"],["created_at"]]"#));
}
