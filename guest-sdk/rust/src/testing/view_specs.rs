//! Specifications of views as data, in the manifest's form. Their meaning, here and on a host, is
//! in `wit/specs.md`.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::differ;
use super::document::{json, simplified};
use crate::log::{EventText, Foreign, Recorded};
use crate::view::{StoredRow, ViewModule, fold, keys};

/// The most bytes of a key (inclusive).
const KEY_BYTES: usize = 255;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ViewSpec<'a> {
    title: String,
    #[serde(borrow, default)]
    given: Vec<GivenEvent<'a>>,
    then: Rows,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenEvent<'a> {
    decider: Option<String>,
    event: String,
    stream_id: Option<String>,
    #[serde(borrow)]
    data: &'a RawValue,
    schema_version: Option<u32>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    created_ms: u64,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rows {
    rows: Map<String, Value>,
}

/// Runs one of the view's specifications.
///
/// # Panics
///
/// When it does not hold, or when there is no such specification.
#[track_caller]
pub fn assert_view_spec<V: ViewModule>(index: usize) {
    let specs: Vec<ViewSpec<'_>> =
        serde_json::from_str(V::SPECS).expect("the attribute writes the specifications as JSON");
    let spec = specs
        .into_iter()
        .nth(index)
        .expect("the attribute counts the specifications");
    let title = spec.title;
    let actual = match rows::<V>(spec.given) {
        Ok(rows) => Value::Object(rows),
        Err(fault) => panic!("\"{title}\" {fault}"),
    };
    let expected = simplified(Value::Object(spec.then.rows));
    if actual != expected {
        let (expected, actual) = (format!("rows {expected}"), format!("rows {actual}"));
        differ(&format!("\"{title}\" does not hold"), &expected, &actual);
    }
}

/// The rows after the events, each of which is a page of its own: a row is what is stored of it.
fn rows<V: ViewModule>(given: Vec<GivenEvent<'_>>) -> Result<Map<String, Value>, String> {
    let mut rows: BTreeMap<String, String> = BTreeMap::new();
    let mut streams: HashMap<_, u64> = HashMap::new();
    for (number, given) in (1..).zip(given) {
        let mut event = given.recorded::<V::Event>(number)?;
        let version = streams
            .entry((event.decider.clone(), event.stream_id.clone()))
            .or_default();
        *version += 1;
        event.version = *version;
        let name = &event.event.name;
        let keys = keys::<V>(vec![event.clone()]).into_iter().flatten();
        for key in keys {
            if !(1..=KEY_BYTES).contains(&key.len()) || key.contains(char::is_control) {
                return Err(format!("gives {name}, which has {key:?} for a key"));
            }
            let row = StoredRow {
                value: rows.remove(&key),
                events: vec![0],
            };
            for value in fold::<V>(vec![event.clone()], &[row]) {
                let value = value.map_err(|error| {
                    format!("gives {name}, which cannot be folded: {}", error.message)
                })?;
                rows.extend(value.map(|value| (key.clone(), value)));
            }
        }
    }
    let rows = rows.into_iter();
    Ok(rows.map(|(key, row)| (key, json(&row))).collect())
}

impl GivenEvent<'_> {
    /// The event as it is stored, if it is given as the one with this number, and is the first of
    /// its stream.
    fn recorded<E: Foreign>(self, number: u64) -> Result<Recorded<EventText>, String> {
        let name = self.event;
        let mut reads = E::reads();
        reads.retain(|read| {
            read.event == name && self.decider.as_deref().is_none_or(|of| of == read.decider)
        });
        let read = match reads.as_slice() {
            [read] => read,
            [] => return Err(format!("gives {name}, which the view does not read")),
            [_, ..] => {
                return Err(format!(
                    "gives {name}, which the view reads of several deciders: name one of them"
                ));
            }
        };
        let newest = read.schema_versions.iter().max().copied();
        Ok(Recorded {
            event: EventText {
                name,
                data: self.data.get().to_owned(),
            },
            decider: read.decider.to_owned(),
            stream_id: self.stream_id.unwrap_or_else(|| "spec".to_owned()),
            version: 1,
            event_id: format!("00000000-0000-0000-0000-{number:012}"),
            schema_version: self.schema_version.or(newest).unwrap_or(1),
            tags: self.tags,
            created_ms: self.created_ms,
            metadata: self.metadata.into_iter().collect(),
        })
    }
}
