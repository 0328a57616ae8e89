//! The codec against serde_json, and where it deliberately differs.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{read, write, write_sorted};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Everything {
    flag: bool,
    small: i8,
    large: u64,
    wide: i128,
    float: f64,
    letter: char,
    text: String,
    nothing: (),
    maybe: Option<Box<Everything>>,
    list: Vec<u8>,
    pair: (u8, String),
    by_number: BTreeMap<i32, Choice>,
    by_choice: BTreeMap<Plain, u8>,
    choices: Vec<Choice>,
    tagged: Vec<Tagged>,
    untagged: Vec<Untagged>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Choice {
    Unit,
    Newtype(u8),
    Tuple(u8, bool),
    Struct { value: String },
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Plain {
    First,
    Second,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
enum Tagged {
    Unit,
    Struct { value: f64 },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(i64),
    Text(String),
}

fn everything() -> Everything {
    let inner = Everything {
        flag: true,
        small: -8,
        large: u64::MAX,
        wide: i128::MIN,
        float: 0.1,
        letter: 'ß',
        text: "\"quoted\" \\ \n \u{1} 🦀".into(),
        nothing: (),
        maybe: None,
        list: vec![],
        pair: (1, "one".into()),
        by_number: BTreeMap::from([(-1, Choice::Unit), (2, Choice::Newtype(2))]),
        by_choice: BTreeMap::from([(Plain::First, 1), (Plain::Second, 2)]),
        choices: vec![
            Choice::Tuple(1, true),
            Choice::Struct {
                value: String::new(),
            },
        ],
        tagged: vec![Tagged::Unit, Tagged::Struct { value: -1.5 }],
        untagged: vec![Untagged::Number(-3), Untagged::Text("three".into())],
    };
    Everything {
        maybe: Some(Box::new(inner.clone())),
        list: vec![1, 2, 3],
        ..inner
    }
}

fn message<T: serde::de::DeserializeOwned + std::fmt::Debug>(text: &str) -> String {
    read::<T>(text).unwrap_err().to_string()
}

#[test]
fn what_was_written_reads_as_it_was() {
    let text = write(&everything()).unwrap();
    assert_eq!(read::<Everything>(&text).unwrap(), everything());
    assert_eq!(
        serde_json::from_str::<Everything>(&text).unwrap(),
        everything()
    );
    assert_eq!(serde_json::to_string(&everything()).unwrap(), text);
}

#[test]
fn sorted_text_is_the_same_for_any_order() {
    let map: HashMap<String, u32> = (0..100)
        .map(|number| (format!("key {number}"), number))
        .collect();
    let other: HashMap<String, u32> = map.clone().into_iter().collect();
    let sorted = serde_json::to_string(&map.iter().collect::<BTreeMap<_, _>>()).unwrap();
    assert_eq!(write_sorted(&map).unwrap(), sorted);
    assert_eq!(write_sorted(&other).unwrap(), sorted);
    assert_eq!(
        write_sorted(&Choice::Struct { value: "a".into() }).unwrap(),
        r#"{"Struct":{"value":"a"}}"#
    );
    let nested = write_sorted(&everything()).unwrap();
    assert!(nested.starts_with(r#"{"by_choice":"#), "{nested}");
    assert_eq!(read::<Everything>(&nested).unwrap(), everything());
}

#[test]
fn a_key_sorts_before_those_that_it_begins() {
    let map = HashMap::from([("a b", 1), ("a", 2), ("ab", 3)]);
    assert_eq!(write_sorted(&map).unwrap(), r#"{"a":2,"a b":1,"ab":3}"#);
}

#[test]
fn integers_are_those_of_json_schema() {
    for five in ["5", "5.0", "5e0", "0.5e1", "50e-1", "500.00E-2"] {
        assert_eq!(read::<u8>(five).unwrap(), 5, "{five}");
    }
    assert_eq!(read::<i64>("-5.0").unwrap(), -5);
    assert_eq!(read::<u64>("0e999").unwrap(), 0);
    assert_eq!(read::<u64>("-0.0").unwrap(), 0);
    assert_eq!(
        message::<u8>("5.5"),
        "invalid type: a fraction, expected u8"
    );
    assert_eq!(
        message::<u8>("300"),
        "invalid value: integer `300`, expected u8"
    );
    assert_eq!(
        message::<u64>("1e30"),
        "invalid value: a number beyond 64 bits, expected u64"
    );
    assert_eq!(
        message::<u64>("1e999999999999"),
        "invalid type: a fraction, expected u64"
    );
}

#[test]
fn what_does_not_fit_is_answered_with_the_reason() {
    assert_eq!(
        message::<bool>("\"yes\""),
        "invalid type: a text, expected a boolean"
    );
    assert_eq!(
        message::<String>("{}"),
        "invalid type: an object, expected a string"
    );
    assert_eq!(message::<Vec<u8>>("[1,2"), "`,` is missing at the end");
    assert_eq!(message::<Vec<u8>>("[1,]"), "a value is missing before `]`");
    assert_eq!(
        message::<u8>("1 2"),
        "more after the end of the JSON document before `2`"
    );
    assert_eq!(message::<String>("\"open"), "a text is not closed");
    assert_eq!(
        message::<f64>("1e999"),
        "`1e999` is beyond the range of floats"
    );
    assert_eq!(
        message::<Choice>("\"Newtype\""),
        "invalid type: a variant without data, expected a variant with data"
    );
    assert_eq!(
        message::<Value>(&"[".repeat(500)),
        "the JSON document nests too deep"
    );
}

#[test]
fn what_json_cannot_express_is_refused() {
    assert!(write(&f64::NAN).is_err());
    assert!(write(&f32::INFINITY).is_err());
    assert!(write(&BTreeMap::from([((1, 2), 3)])).is_err());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_document_is_read_and_written_as_another_codec_does(document in any_json()) {
        let text = write(&document).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Value>(&text).unwrap(), &document);
        prop_assert_eq!(&read::<Value>(&serde_json::to_string_pretty(&document).unwrap()).unwrap(), &document);
    }

    #[test]
    fn floats_keep_every_bit(bits in any::<u64>()) {
        let float = f64::from_bits(bits);
        prop_assume!(float.is_finite());
        prop_assert_eq!(read::<f64>(&write(&float).unwrap()).unwrap().to_bits(), bits);
    }

    #[test]
    fn any_text_is_accepted_or_refused_as_another_codec_does(
        text in r#"([\[\]{},:" ]|\\u[dD][89abcdef]00|\\[ntux"]|[a-z0-9.eE+-]|true|null|-0|1e5|"a":){0,12}"#
    ) {
        prop_assert_eq!(read::<Value>(&text).is_ok(), serde_json::from_str::<Value>(&text).is_ok(), "{}", text);
    }
}
