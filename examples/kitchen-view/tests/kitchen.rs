use gavel::Sources;
use kitchen_view::Kitchen;

#[test]
fn a_row_follows_from_the_events_with_the_label_of_its_restaurant() {
    let [item] = Kitchen::sources("r-1").try_into().unwrap();
    assert_eq!(
        (item.stream_id, item.tags),
        (None, vec!["restaurant_id:r-1".to_owned()])
    );
    assert_eq!(item.events.len(), 3);
}
