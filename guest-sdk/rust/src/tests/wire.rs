//! The wire format that the host sees: names, data, versions, tags, snapshots.

use super::parcel::{Event, Parcel, Rejection};
use crate::module::{StoredEvent, decide, read_event, restore, snapshot, write_event};
use crate::{Context, Decider, Rejection as _};

fn stored(event: Event) -> (String, u32, String, bool, Vec<String>) {
    let StoredEvent {
        name,
        schema_version,
        data,
        is_final,
        tags,
    } = write_event::<Parcel>(&event);
    (name, schema_version, data, is_final, tags)
}

fn read(name: &str, version: u32, data: &str) -> Result<Event, String> {
    read_event::<Parcel>(name, version, data)
}

fn sent(town: &str, country: &str) -> Event {
    Event::ParcelSent {
        town: town.into(),
        country: country.into(),
    }
}

#[test]
fn events_are_stored_with_what_their_attributes_say() {
    let tags = vec![
        "town:Ulm".into(),
        "destination:Ulm".into(),
        "country:DE".into(),
    ];
    let data = r#"{"town":"Ulm","country":"DE"}"#.into();
    assert_eq!(
        stored(sent("Ulm", "DE")),
        ("parcel_sent".into(), 3, data, false, tags)
    );
    assert_eq!(
        stored(Event::Weighed(5)),
        ("weighed".into(), 1, "5".into(), false, vec![])
    );
    assert_eq!(
        stored(Event::Labelled("a".into(), 1)),
        ("labelled".into(), 1, r#"["a",1]"#.into(), false, vec![])
    );
    assert_eq!(
        stored(Event::Delivered),
        ("arrived".into(), 1, "{}".into(), true, vec![])
    );
}

#[test]
fn older_events_are_upcast_step_by_step() {
    assert_eq!(
        read("parcel_sent", 1, r#"{"to":"Ulm"}"#),
        Ok(sent("Ulm", "DE"))
    );
    assert_eq!(
        read("parcel_sent", 2, r#"{"town":"Ulm"}"#),
        Ok(sent("Ulm", "DE"))
    );
    assert_eq!(
        read("parcel_sent", 3, r#"{"town":"Bern","country":"CH"}"#),
        Ok(sent("Bern", "CH"))
    );
}

#[test]
fn events_that_the_module_does_not_know_are_refused_with_the_reason() {
    assert_eq!(
        read("parcel_sent", 4, "{}").unwrap_err(),
        "parcel_sent has the schema versions 1 to 3, not 4"
    );
    assert_eq!(
        read("weighed", 0, "5").unwrap_err(),
        "weighed has the schema versions 1 to 1, not 0"
    );
    assert!(
        read("parcel_sent", 2, "{}")
            .unwrap_err()
            .starts_with("upcasting from schema version 2: missing field")
    );
    assert!(
        read("lost", 1, "{}")
            .unwrap_err()
            .starts_with("unknown variant `lost`, expected one of")
    );
}

#[test]
fn equal_states_have_equal_snapshots() {
    let labels = ["a", "b", "c", "d", "e", "f", "g"];
    let mut one = Parcel::default();
    let mut other = Parcel::default();
    labels
        .iter()
        .for_each(|label| one.evolve(&Event::Labelled((*label).into(), 1)));
    labels
        .iter()
        .rev()
        .for_each(|label| other.evolve(&Event::Labelled((*label).into(), 1)));
    let expected =
        r#"{"labels":{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1},"town":null,"weight":0}"#;
    assert_eq!(snapshot(&one), expected);
    assert_eq!(snapshot(&other), expected);
    assert_eq!(snapshot(&restore::<Parcel>(expected).unwrap()), expected);
}

#[test]
fn a_snapshot_of_something_else_is_refused_with_the_reason() {
    assert_eq!(
        restore::<Parcel>(r#"{"town":null}"#).err().unwrap(),
        "missing field `labels`"
    );
    assert!(restore::<Parcel>("nonsense").is_err());
}

#[test]
fn a_decision_is_made_on_text() {
    let state: Parcel = restore(r#"{"town":"Ulm","labels":{"a":1},"weight":0}"#).unwrap();
    let context = Context::default();
    let [event] = decide(&state, "Label", r#"["b",2]"#, &context)
        .unwrap()
        .try_into()
        .unwrap();
    assert_eq!(
        (event.name.as_str(), event.data.as_str()),
        ("labelled", r#"["b",2]"#)
    );
    assert_eq!(decide(&state, "Wait", "null", &context).unwrap(), []);
    assert_eq!(
        decide(&state, "Label", r#"["a",2]"#, &context).unwrap_err(),
        Rejection::LabelTaken("a".into())
    );
}

#[test]
fn rejections_have_codes_messages_and_data() {
    assert_eq!(Rejection::CODES, ["not-sent", "heavy", "label-taken"]);
    let not_sent = Rejection::NotSent;
    assert_eq!(
        (
            not_sent.code(),
            not_sent.message().as_str(),
            not_sent.data()
        ),
        ("not-sent", "not sent", None)
    );
    let heavy = Rejection::TooHeavy {
        weight: 1001,
        limit: 1000,
    };
    assert_eq!(
        (heavy.code(), heavy.message().as_str()),
        ("heavy", "1001 g are over 1000 g")
    );
    assert_eq!(
        heavy.data().as_deref(),
        Some(r#"{"weight":1001,"limit":1000}"#)
    );
    let taken = Rejection::LabelTaken("a".into());
    assert_eq!(taken.message(), "the label \"a\" is taken");
    assert_eq!(taken.data().as_deref(), Some("\"a\""));
}

#[test]
fn randomness_is_the_same_for_the_same_seed() {
    let numbers = |seed| {
        let mut random = Context {
            seed,
            ..Context::default()
        }
        .random();
        [random.next_u64(), random.next_u64(), random.below(10)]
    };
    assert_eq!(numbers(1), numbers(1));
    assert_ne!(numbers(1), numbers(2));
    let mut dice = Context::default().random();
    let faces: std::collections::BTreeSet<u64> = (0..200).map(|_| dice.below(6)).collect();
    assert_eq!(faces, (0..6).collect());
}
