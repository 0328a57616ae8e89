//! A comparison of the codec with serde_json: a text that one reads the other reads, to the same
//! value; a text that is written reads back.

use std::collections::BTreeMap;
use std::fmt::Debug;

use gavel_json::{read, write, write_sorted};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

/// Compares documents, however their numbers are spelt: 1 is 1.0, as in JSON Schema.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => same_number(one, other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|((key, one), (other_key, other))| key == other_key && same(one, other))
        }
        _ => one == other,
    }
}

/// Allows serde_json to read a float as the neighbour of the nearest one.
fn same_number(one: &Number, other: &Number) -> bool {
    if !one.is_f64() && !other.is_f64() {
        return one == other;
    }
    let float = |number: &Number| number.as_f64().expect("every number is near a float");
    let (one, other) = (float(one), float(other));
    (one == other) || one.next_up() == other || one.next_down() == other
}

#[track_caller]
fn assert_same(text: &str) {
    match (read::<Value>(text), serde_json::from_str::<Value>(text)) {
        (Ok(ours), Ok(theirs)) => assert!(same(&ours, &theirs), "{text}: {ours} for {theirs}"),
        (Err(_), Err(_)) => {}
        (ours, theirs) => panic!("{text}: {ours:?} for {theirs:?}"),
    }
}

#[track_caller]
fn assert_same_type<T: DeserializeOwned + PartialEq + Debug>(text: &str) {
    let (ours, theirs) = (read::<T>(text), serde_json::from_str::<T>(text));
    assert_eq!(ours.ok(), theirs.ok(), "{text}");
}

#[test]
fn integers_at_the_edges_of_their_types_are_the_same() {
    let mut edges = vec![0];
    for bits in [7, 8, 15, 16, 31, 32, 53, 63, 64, 65, 126] {
        let power = 1_i128 << bits;
        edges.extend([power - 1, power, power + 1, 1 - power, -power, -power - 1]);
    }
    let mut texts: Vec<_> = edges.iter().map(ToString::to_string).collect();
    texts.extend([i128::MIN, i128::MAX].map(|edge| edge.to_string()));
    texts.extend([u128::MAX.to_string(), format!("{}0", u128::MAX)]);
    for text in &texts {
        assert_same_type::<u8>(text);
        assert_same_type::<i8>(text);
        assert_same_type::<u16>(text);
        assert_same_type::<i16>(text);
        assert_same_type::<u32>(text);
        assert_same_type::<i32>(text);
        assert_same_type::<u64>(text);
        assert_same_type::<i64>(text);
        assert_same_type::<u128>(text);
        assert_same_type::<i128>(text);
        assert_same(text);
    }
}

/// The one difference: a number is what it is worth, not how it is written.
#[test]
fn an_integer_is_read_however_it_is_written() {
    for (text, value) in [("-0", 0), ("7.0", 7), ("70e-1", 7), ("-0.07E+2", -7)] {
        assert_eq!(read::<i64>(text).unwrap(), value, "{text}");
        assert!(serde_json::from_str::<i64>(text).is_err(), "{text}");
    }
}

#[test]
fn floats_at_the_edges_are_those_of_rust() {
    for text in [
        "5e-324",
        "2e-324",
        "2.2250738585072011e-308",
        "1.7976931348623157e308",
        "9007199254740993",
        "0.1",
        "1e23",
        "-0.0",
    ] {
        let expected: f64 = text.parse().unwrap();
        assert_eq!(read::<f64>(text).unwrap().to_bits(), expected.to_bits());
    }
    for text in ["1e309", "-1e400", "1.8e308"] {
        assert!(read::<f64>(text).is_err() && serde_json::from_str::<f64>(text).is_err());
    }
}

#[test]
fn malformed_numbers_are_refused_as_there() {
    for text in [
        "", "-", "+1", "01", "-01", "1.", ".5", "1e", "1e+", "0x1", "1_0", "NaN", "Infinity",
        "--1", "1.2.3", "1e1.5", "٣",
    ] {
        assert_same(text);
    }
}

#[test]
fn nesting_ends_at_the_same_depth() {
    for depth in 1..140 {
        assert_same(&format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
        assert_same(&format!(
            "{}0{}",
            "{\"a\":".repeat(depth),
            "}".repeat(depth)
        ));
    }
}

#[test]
fn escapes_and_surrogates_are_the_same() {
    let units = ["d7ff", "d800", "DBFF", "dc00", "dfff", "e000", "0000"];
    for one in units {
        assert_same(&format!("\"\\u{one}\""));
        assert_same(&format!("\"\\u{one}x\""));
        assert_same(&format!("\"\\u{one}\\n\""));
        for other in units {
            assert_same(&format!("\"a\\u{one}\\u{other}b\""));
        }
    }
    for escape in 0..=127_u8 {
        let escape = char::from(escape);
        assert_same(&format!("\"\\{escape}\""));
        assert_same(&format!("\"{escape}\""));
        assert_same(&format!("\"\\u00{escape}0\""));
    }
}

#[derive(Debug, PartialEq, Deserialize)]
struct Fields {
    #[serde(rename = "a")]
    _a: u8,
    #[serde(default, rename = "b")]
    _b: Option<u8>,
}

#[test]
fn duplicate_keys_are_the_same() {
    for text in [
        r#"{"a":1,"a":2}"#,
        r#"{"a":1,"b":2,"\u0061":3}"#,
        r#"{"a":1,"c":2,"c":3}"#,
        r#"{"a":{"b":1,"b":2},"a":[]}"#,
    ] {
        assert_same(text);
        assert_same_type::<Fields>(text);
        assert_same_type::<BTreeMap<String, u8>>(text);
    }
}

#[test]
fn text_around_a_document_is_the_same() {
    let around = [
        "", " ", "\r\n\t ", "\u{feff}", "\u{a0}", "\u{c}", "//", ",", "]", "null",
    ];
    for document in ["{}", "[1]", "\"x\"", "true", "null", "7"] {
        for before in around {
            for after in around {
                assert_same(&format!("{before}{document}{after}"));
            }
        }
    }
}

#[test]
fn a_document_and_its_canonical_form_read_as_the_same() {
    #[derive(Deserialize)]
    struct Examples {
        accepted: Vec<(String, String)>,
    }
    let examples: Examples =
        serde_json::from_str(include_str!("../../../../wit/canonical-json.json")).unwrap();
    for (text, canonical) in examples.accepted {
        let (one, other) = (read(&text).unwrap(), read(&canonical).unwrap());
        assert!(same(&one, &other), "{text}");
        assert_same(&text);
        assert_same(&canonical);
        assert_eq!(read::<u64>(&text).ok(), read::<u64>(&canonical).ok());
        assert_eq!(read::<i64>(&text).ok(), read::<i64>(&canonical).ok());
    }
}

/// Documents in any spelling: white space, escapes and numbers as people and programs write them.
fn any_text() -> impl Strategy<Value = String> {
    let number = r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?";
    let string = r#""([ -!#-\[\]-~äß🦀]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}){0,8}""#;
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        number,
        string,
    ];
    let space = "[ \t\r\n]{0,2}";
    leaf.prop_recursive(4, 32, 4, move |inner| {
        let spaced = (space, inner, space)
            .prop_map(|(before, value, after)| format!("{before}{value}{after}"));
        let member = (string, spaced.clone()).prop_map(|(key, value)| format!("{key}:{value}"));
        prop_oneof![
            prop::collection::vec(spaced, 0..4).prop_map(|all| format!("[{}]", all.join(","))),
            prop::collection::vec(member, 0..4).prop_map(|all| format!("{{{}}}", all.join(","))),
        ]
    })
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Sample {
    numbers: (u8, i16, u32, i64, u64, i128, u128),
    floats: (f32, f64),
    letter: char,
    text: String,
    maybe: Option<String>,
    by_number: BTreeMap<i64, u8>,
    by_text: BTreeMap<String, Vec<bool>>,
    choice: Choice,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Choice {
    Unit,
    Newtype(String),
    Struct { value: i64 },
}

fn any_sample() -> impl Strategy<Value = Sample> {
    let finite = || prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO;
    let choice = prop_oneof![
        Just(Choice::Unit),
        any::<String>().prop_map(Choice::Newtype),
        any::<i64>().prop_map(|value| Choice::Struct { value }),
    ];
    (
        any::<(u8, i16, u32, i64, u64, i128, u128)>(),
        (prop::num::f32::NORMAL, finite()),
        any::<char>(),
        any::<String>(),
        any::<Option<String>>(),
        prop::collection::btree_map(any::<i64>(), any::<u8>(), 0..4),
        prop::collection::btree_map(any::<String>(), any::<Vec<bool>>(), 0..4),
        choice,
    )
        .prop_map(
            |(numbers, floats, letter, text, maybe, by_number, by_text, choice)| Sample {
                numbers,
                floats,
                letter,
                text,
                maybe,
                by_number,
                by_text,
                choice,
            },
        )
}

proptest! {
    #[test]
    fn any_document_in_any_spelling_reads_as_the_same(text in any_text()) {
        assert_same(&text);
    }

    #[test]
    fn a_document_that_was_cut_or_changed_is_refused_as_there(text in any_text(), at in any::<prop::sample::Index>(), other in any::<char>()) {
        let mut characters: Vec<char> = text.chars().collect();
        let at = at.index(characters.len());
        assert_same(&characters.iter().take(at).collect::<String>());
        characters[at] = other;
        assert_same(&characters.iter().collect::<String>());
    }

    #[test]
    fn what_is_written_reads_back_here_and_there(sample in any_sample()) {
        for text in [write(&sample).unwrap(), write_sorted(&sample).unwrap()] {
            prop_assert_eq!(&read::<Sample>(&text).unwrap(), &sample);
            // Its floats may be neighbours.
            let theirs: Value = serde_json::from_str(&text).unwrap();
            prop_assert!(same(&theirs, &read(&text).unwrap()));
        }
        let theirs = serde_json::to_string(&sample).unwrap();
        prop_assert_eq!(&read::<Sample>(&theirs).unwrap(), &sample);
    }
}
