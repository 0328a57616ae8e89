//! The wire format of a view that the host sees: keys, rows, sources, manifest.

use std::panic::catch_unwind;

use serde_json::{Value, json};

use super::board::{Board, ByStream, ByTag, CrateEvent, Event, LorryEvent};
use super::parcel;
use crate::log::{EventText, FoldError};
use crate::view::{StoredRow, fold, keys};
use crate::{Foreign as _, Recorded, Sources as _, Timestamp, View, describe_view};

pub(super) fn recorded(
    decider: &str,
    name: &str,
    schema_version: u32,
    data: &str,
) -> Recorded<EventText> {
    Recorded {
        event: EventText {
            name: name.into(),
            data: data.into(),
        },
        decider: decider.into(),
        stream_id: "s-1".into(),
        version: 1,
        event_id: "00000000-0000-0000-0000-000000000001".into(),
        schema_version,
        tags: vec!["town:Ulm".into(), "town:Jena".into(), "town:Ulm".into()],
        created_ms: 1500,
        metadata: vec![],
    }
}

pub(super) fn packed() -> Recorded<EventText> {
    recorded("crate", "packed", 2, r#"{"parcels":3,"by":"ann"}"#)
}

fn delivered() -> Recorded<EventText> {
    recorded("parcel", "arrived", 1, "{}")
}

fn weighed(grams: u32) -> Recorded<EventText> {
    recorded("parcel", "weighed", 1, &grams.to_string())
}

fn row(value: Option<&str>, events: &[u32]) -> StoredRow {
    StoredRow {
        value: value.map(str::to_owned),
        events: events.into(),
    }
}

fn board(row: &str) -> Board {
    gavel_json::read(row).unwrap()
}

#[test]
fn events_of_each_decider_are_read_with_its_own_names_and_upcasters() {
    let sent = parcel::Event::ParcelSent {
        town: "Ulm".into(),
        country: "DE".into(),
    };
    for (decider, name, version, data, event) in [
        (
            "crate",
            "packed",
            2,
            r#"{"parcels":3,"by":"ann"}"#,
            Event::Crate(CrateEvent::Packed { parcels: 3 }),
        ),
        (
            "crate",
            "packed",
            4,
            r#"{"parcels":3}"#,
            Event::Crate(CrateEvent::Packed { parcels: 3 }),
        ),
        ("crate", "sealed", 1, "{}", Event::Crate(CrateEvent::Closed)),
        (
            "parcel",
            "parcel_sent",
            1,
            r#"{"to":"Ulm"}"#,
            Event::Parcel(sent),
        ),
        (
            "lorry",
            "Loaded",
            1,
            r#"{"tons":2}"#,
            Event::Lorry(LorryEvent::Loaded { kilograms: 2000 }),
        ),
    ] {
        assert_eq!(Event::read(decider, name, version, data), Some(Ok(event)));
    }
}

#[test]
fn an_event_that_is_not_read_is_told_from_one_that_cannot_be() {
    for (decider, name) in [
        ("crate", "weighed"),
        ("crate", "Unknown"),
        ("crate", "Closed"),
        ("parcel", "packed"),
        ("train", "packed"),
    ] {
        assert_eq!(
            Event::read(decider, name, 1, "{}"),
            None,
            "{decider} {name}"
        );
    }
    let fault = |decider, name, version, data| {
        Event::read(decider, name, version, data)
            .unwrap()
            .unwrap_err()
    };
    assert_eq!(
        fault("crate", "packed", 3, "{}"),
        "packed is read in the schema versions [2, 4], not 3"
    );
    assert_eq!(
        fault("crate", "sealed", 2, "{}"),
        "sealed has the schema versions 1 to 1, not 2"
    );
    assert!(fault("crate", "packed", 2, "{}").starts_with("missing field `parcels`"));
}

#[test]
fn keys_are_named_once_and_follow_from_the_event_alone() {
    assert_eq!(
        keys::<Board>(vec![packed(), delivered()]),
        [vec!["s-1"], vec!["s-1", "all"]]
    );
    assert_eq!(keys::<ByStream>(vec![packed()]), [["s-1"]]);
    assert_eq!(keys::<ByTag>(vec![packed()]), [["Ulm", "Jena"]]);
    let event = packed().with(CrateEvent::Unknown);
    assert_eq!(<ByStream as View>::keys(&event), ["s-1"]);
}

#[test]
fn only_keys_that_need_the_data_of_an_event_fail_with_it() {
    let broken = recorded("crate", "packed", 2, "{}");
    assert_eq!(keys::<ByStream>(vec![broken.clone()]), [["s-1"]]);
    let fault = catch_unwind(|| keys::<Board>(vec![packed(), broken])).unwrap_err();
    let message = fault.downcast_ref::<String>().unwrap();
    assert!(
        message.starts_with(
            "the event packed with the id 00000000-0000-0000-0000-000000000001 cannot be read: \
             missing field `parcels`"
        ),
        "{message}"
    );
}

#[test]
fn each_row_folds_its_own_events_of_the_page() {
    let sent = recorded(
        "parcel",
        "parcel_sent",
        3,
        r#"{"town":"Ulm","country":"DE"}"#,
    );
    let page = vec![packed(), weighed(5), sent];
    let rows = [row(None, &[0, 1, 2]), row(None, &[1]), row(None, &[])];
    let [first, second, third] = fold::<Board>(page, &rows).try_into().unwrap();
    let first = first.unwrap().unwrap();
    assert_eq!(
        first,
        r#"{"isSealed":false,"packedAt":"1970-01-01T00:00:01.500Z","town":"Ulm","weight":5.0}"#
    );
    let kept = board(&first);
    assert_eq!(kept.packed_at, Timestamp::from_ms(1500));
    assert_eq!(board(&second.unwrap().unwrap()).weight, 5.0);
    assert_eq!(third, Ok(None));
}

#[test]
fn a_page_more_or_less_makes_no_difference() {
    let page = vec![packed(), weighed(5), delivered(), weighed(7), weighed(1)];
    let [at_once] = fold::<Board>(page.clone(), &[row(None, &[0, 1, 2, 3, 4])])
        .try_into()
        .unwrap();
    let mut value: Option<String> = None;
    for event in page {
        let [next] = fold::<Board>(vec![event], &[row(value.as_deref(), &[0])])
            .try_into()
            .unwrap();
        value = next.unwrap();
    }
    assert_eq!(at_once, Ok(value.clone()));
    assert_eq!(board(&value.unwrap()).weight, 8.0);
}

#[test]
fn a_row_that_ends_is_none_and_begins_anew() {
    let page = vec![weighed(5), delivered(), weighed(7)];
    let folded = fold::<Board>(page, &[row(None, &[0, 1]), row(None, &[0, 1, 2])]);
    let [ended, begun] = folded.try_into().unwrap();
    assert_eq!(ended, Ok(None));
    assert_eq!(board(&begun.unwrap().unwrap()).weight, 7.0);
}

#[test]
fn a_row_that_cannot_be_folded_says_where_and_the_others_are_kept() {
    let broken = recorded("crate", "packed", 2, "{}");
    let page = vec![
        weighed(5),
        broken,
        weighed(0),
        recorded("train", "left", 1, "{}"),
    ];
    let rows = [
        row(None, &[0]),
        row(None, &[0, 1, 0]),
        row(None, &[0, 0, 2]),
        row(None, &[3]),
        row(None, &[0, 4]),
        row(Some("[]"), &[0]),
    ];
    let mut folded = fold::<Board>(page, &rows).into_iter();
    assert!(folded.next().unwrap().is_ok());
    let faults: Vec<FoldError> = folded.map(Result::unwrap_err).collect();
    for (fault, index, message) in [
        (&faults[0], 1, "missing field `parcels`"),
        (&faults[1], 2, "the row cannot be written as JSON: "),
        (&faults[2], 0, "the module reads no left of train"),
        (&faults[3], 1, "the page has no event 4"),
        (&faults[4], 0, "the stored row cannot be read: "),
    ] {
        assert_eq!(fault.index, index, "{fault:?}");
        assert!(fault.message.starts_with(message), "{fault:?}");
    }
}

#[test]
fn sources_follow_from_the_key_or_are_the_authors() {
    let of_crate = vec![
        ("crate".to_owned(), "packed".to_owned()),
        ("crate".to_owned(), "sealed".to_owned()),
    ];
    let [by_stream] = ByStream::sources("s-1").try_into().unwrap();
    assert_eq!(by_stream.events, of_crate);
    assert_eq!(by_stream.stream_id.as_deref(), Some("s-1"));
    assert_eq!(by_stream.tags, <[String; 0]>::default());

    let [by_tag] = ByTag::sources("Ulm").try_into().unwrap();
    assert_eq!((by_tag.events, by_tag.stream_id), (of_crate, None));
    assert_eq!(by_tag.tags, ["town:Ulm"]);

    assert_eq!(Board::sources("s-1").len(), 2);
}

fn manifest<V: crate::ViewModule>() -> Value {
    serde_json::from_str(&describe_view::<V>()).unwrap()
}

#[test]
fn the_manifest_of_a_view_says_what_it_reads_and_how_its_rows_look() {
    let manifest = manifest::<Board>();
    assert_eq!(manifest["name"], "board");
    assert_eq!(manifest["kind"], "view");
    assert_eq!(
        manifest["sdk"],
        concat!("gavel-guest-sdk/", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(
        manifest["reads"],
        json!([
            { "decider": "crate", "event": "packed", "schema_versions": [2, 4] },
            { "decider": "crate", "event": "sealed", "schema_versions": [1] },
            { "decider": "parcel", "event": "parcel_sent", "schema_versions": [1, 2, 3] },
            { "decider": "parcel", "event": "weighed", "schema_versions": [1] },
            { "decider": "parcel", "event": "labelled", "schema_versions": [1] },
            { "decider": "parcel", "event": "arrived", "schema_versions": [1] },
            { "decider": "parcel", "event": "tossed", "schema_versions": [1] },
            { "decider": "lorry", "event": "Loaded", "schema_versions": [1, 2] },
        ])
    );
    assert_eq!(
        manifest["row_schema"],
        json!({
            "type": "object",
            "properties": {
                "isSealed": { "type": "boolean" },
                "packedAt": { "type": "string", "format": "date-time" },
                "weight": { "type": "number", "format": "double" },
                "town": { "type": ["string", "null"] },
            },
            "required": ["isSealed", "packedAt", "weight"],
        })
    );
    assert_eq!(
        manifest["indexes"],
        json!([
            ["isSealed"],
            ["isSealed", "packedAt", "weight"],
            ["packedAt", "isSealed", "weight", "town"],
        ])
    );
    assert_eq!(manifest["specs"], json!([]));
}

#[test]
fn the_manifest_says_which_events_are_found_by_tags() {
    let by_tag = |manifest: Value| {
        let reads = manifest["reads"].as_array().unwrap().clone();
        reads.into_iter().all(|read| read["by_tag"] == true)
    };
    assert!(by_tag(manifest::<ByTag>()));
    assert!(!by_tag(manifest::<ByStream>()) && !by_tag(manifest::<Board>()));
}

#[test]
fn the_manifest_says_where_keys_come_from_unless_the_author_does() {
    assert_eq!(manifest::<ByStream>()["key"], "stream_id");
    assert_eq!(manifest::<ByTag>()["key"], json!({ "tag": "town" }));
    assert_eq!(manifest::<Board>().get("key"), None);
}

#[test]
fn the_published_schema_takes_what_it_should_of_views_and_nothing_else() {
    let schema = super::manifest::published();
    let list = |text| serde_json::from_str::<Vec<Value>>(text).unwrap();
    let mut accepted = list(include_str!(
        "../../../../tests/manifests/views_accepted.json"
    ));
    accepted.push(manifest::<Board>());
    accepted.push(manifest::<ByStream>());
    accepted.push(manifest::<ByTag>());
    for manifest in accepted {
        let errors: Vec<_> = schema.iter_errors(&manifest).collect();
        assert!(errors.is_empty(), "{manifest}: {errors:?}");
    }
    for manifest in list(include_str!(
        "../../../../tests/manifests/views_refused.json"
    )) {
        assert!(!schema.is_valid(&manifest), "{manifest}");
    }
    for spec in list(include_str!("../../../../tests/specs/view_refused.json")) {
        let mut view = manifest::<ByStream>();
        view["specs"] = json!([spec]);
        assert!(!schema.is_valid(&view), "{spec}");
    }
}
