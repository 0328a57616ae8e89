//! The round trip of data: every field, every character, every size.

use std::collections::BTreeMap;
use std::sync::Arc;

use gavel_model::{ActivationNumber, EventType, ExpectedVersion, Json, Metadata, NewEvent};
use uuid::Uuid;

use super::support::*;
use crate::{History, Store};

/// The largest payload that the host takes by default.
const LARGEST_PAYLOAD_BYTES: usize = 256 * 1024;

/// The texts that have broken stores before.
const AWKWARD_TEXTS: [&str; 12] = [
    "'; DROP TABLE events; --",
    "\"double\" and 'single' and `back`",
    "back\\slash \\u0041 \\",
    "per%cent under_score * ? [a-z]",
    "${dollar} $1 ?1 :name @name",
    "{braces,and,commas}",
    "日本語 العربية Ελληνικά",
    "😀👩‍👩‍👧",
    "e\u{301} is not \u{e9}",
    "\u{feff}\u{200b}\u{fffd}\u{ffff}\u{10ffff}",
    " leading, trailing ",
    "NULL",
];

/// Appends one event to a new stream, and gives it back as the stream tells it, whole and for
/// folding.
async fn round_trip(store: &dyn Store, id: &str, event: NewEvent) -> NewEvent {
    let part = import(&stream(id), ExpectedVersion::NoStream, vec![event]);
    let appended = append(store, part).await.unwrap().events;
    let mut read = events_of(store, &stream(id)).await;
    assert_eq!(read, appended);
    let history = store.history(&stream(id), version(0), None, 2).await;
    assert_eq!(history.unwrap(), History::from(appended));
    read.remove(0).event
}

pub(crate) async fn every_field_of_an_event_is_kept(store: Arc<dyn Store>) {
    store.put_module(module("counter", "v1")).await.unwrap();
    let mut activation = activation(&stream("any"), ActivationNumber::NONE, "v1");
    activation.events = vec![EventType {
        schema_version: u32::MAX,
        ..event_type("Reset")
    }];
    store.activate_one(activation).await.unwrap();

    let metadata = BTreeMap::from([("actor", "ann"), ("correlation_id", "x"), ("note", "")])
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let event = NewEvent {
        event_id: Uuid::new_v4(),
        event: "Reset".to_owned(),
        schema_version: u32::MAX,
        data: json(r#"{"to":[null,true,{"a":{}}]}"#),
        is_final: true,
        tags: vec!["b".to_owned(), "a".to_owned(), "course:1".to_owned()],
        metadata: Metadata::from_stored(metadata),
        command_id: Uuid::new_v4(),
    };
    assert_eq!(round_trip(&*store, "c", event.clone()).await, event);
    assert_eq!(
        log_of(&*store, stream("c").namespace(), 1).await[0].event,
        event
    );
}

pub(crate) async fn text_of_every_kind_is_kept(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    for text in AWKWARD_TEXTS {
        let data = serde_json::json!({ text: [text] });
        let event = NewEvent {
            data: Json::from_value(&data).unwrap(),
            tags: vec![text.to_owned(), "a,b".to_owned()],
            metadata: Metadata::default().with(text, text),
            ..incremented()
        };
        assert_eq!(round_trip(&*store, text, event.clone()).await, event);
        assert_eq!(store.head(&stream(text)).await.unwrap().version, version(1));
    }
}

pub(crate) async fn numbers_keep_their_value(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    let numbers = format!(
        "[0,-0.0,0.1,1.5,1e-7,1e300,{},{},{},{}]",
        i64::MIN,
        u64::MAX,
        f64::MIN_POSITIVE,
        f64::MAX
    );
    let event = NewEvent {
        data: json(&numbers),
        ..incremented()
    };
    assert_eq!(
        round_trip(&*store, "c", event.clone()).await.data,
        event.data
    );
    for (index, document) in ["null", "true", "7", r#""text""#, "[]", "{}"]
        .iter()
        .enumerate()
    {
        let event = NewEvent {
            data: json(document),
            ..incremented()
        };
        let stored = round_trip(&*store, &index.to_string(), event.clone()).await;
        assert_eq!(stored.data, event.data);
    }
}

pub(crate) async fn the_text_that_goes_in_comes_out(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    let data = json(
        r#"{"zz":[1e16,-0.0,1.0,1e-7,1.8446744073709552e19],"b":{"ccc":"\u0001\/","yy":[],"z":1},"aaa":3}"#,
    );
    let event = NewEvent {
        data: data.clone(),
        ..incremented()
    };
    let read = round_trip(&*store, "c", event).await;
    assert_eq!(read.data.as_str(), data.as_str());
    let history = store.history(&stream("c"), version(0), None, 1).await;
    assert_eq!(history.unwrap().events[0].data.as_str(), data.as_str());
    let log = log_of(&*store, stream("c").namespace(), 1).await;
    assert_eq!(log[0].event.data.as_str(), data.as_str());
}

pub(crate) async fn the_largest_payload_is_kept(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    let around = r#"{"text": ""}"#.len();
    for character in ["x", "é"] {
        let text = character.repeat((LARGEST_PAYLOAD_BYTES - around) / character.len());
        let event = NewEvent {
            data: json(&format!(r#"{{"text":"{text}"}}"#)),
            ..incremented()
        };
        assert!(LARGEST_PAYLOAD_BYTES - event.data.as_str().len() < character.len());
        assert_eq!(round_trip(&*store, character, event.clone()).await, event);
    }
}

pub(crate) async fn stream_ids_that_look_alike_are_different_streams(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    let longest = "x".repeat(255);
    let ids = [
        "c",
        "C",
        "c ",
        " c",
        "c.",
        "%",
        "_",
        "\u{e9}",
        "e\u{301}",
        "ß",
        "ss",
        "1",
        "01",
        "1.0",
        &longest,
        &longest[1..],
    ];
    for id in ids {
        let part = import(&stream(id), ExpectedVersion::NoStream, increments(1));
        append(&*store, part).await.unwrap();
    }
    for id in ids {
        assert_eq!(events_of(&*store, &stream(id)).await.len(), 1, "{id:?}");
    }
}
