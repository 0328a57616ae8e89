//! Specifications as data, in the manifest's form.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Stream, differ, listing};
use crate::module::{StoredEvent, decide, read_event, snapshot, write_event};
use crate::{Context, Module, Rejection};

#[derive(Deserialize)]
struct Spec<'a> {
    title: String,
    #[serde(borrow)]
    given: Vec<Given<'a>>,
    #[serde(borrow)]
    when: When<'a>,
    then: Then,
}

#[derive(Deserialize)]
struct Given<'a> {
    event: String,
    #[serde(borrow)]
    data: &'a RawValue,
    schema_version: Option<u32>,
}

#[derive(Deserialize)]
struct When<'a> {
    command: String,
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(default)]
    context: Context,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Then {
    Events(Vec<Event>),
    Rejected(Reason),
    State(Value),
}

#[derive(Clone, Deserialize, PartialEq)]
struct Event {
    event: String,
    data: Value,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Reason {
    Code(String),
    CodeAndData { code: String, data: Option<Value> },
}

/// Runs one of the module's specifications.
///
/// # Panics
///
/// When it does not hold, or when there is no such specification.
#[track_caller]
pub fn assert_spec<D: Module>(index: usize) {
    let specs: Vec<Spec<'_>> =
        serde_json::from_str(D::SPECS).expect("the attribute writes the specifications as JSON");
    let Spec {
        title,
        given,
        when,
        then,
    } = specs
        .into_iter()
        .nth(index)
        .expect("the attribute counts the specifications");
    let mut stream = Stream::at(D::default());
    for Given {
        event: name,
        data,
        schema_version,
    } in given
    {
        let schema_version = schema_version.unwrap_or_else(|| D::EVENTS.current_version(&name));
        match read_event::<D>(&name, schema_version, data.get()) {
            Ok(event) => stream.append(&write_event::<D>(&event)),
            Err(error) => panic!("\"{title}\" gives {name}, which cannot be folded: {error}"),
        }
    }
    let mut stream = stream.restored();
    let context = stream.context(when.context);
    let answer = decide(&stream.state, &when.command, when.data.get(), &context);
    for event in answer.iter().flatten() {
        stream.append(event);
    }
    if let Some((expected, actual)) = then.difference(&answer, &stream.state) {
        differ(&format!("\"{title}\" does not hold"), &expected, &actual);
    }
}

impl Then {
    /// What was expected and what there is instead, for people; none when they are the same.
    fn difference<D: Module>(
        self,
        answer: &Result<Vec<StoredEvent>, D::Rejection>,
        state: &D,
    ) -> Option<(String, String)> {
        let (holds, expected) = match (self, answer) {
            (Self::State(expected), _) => {
                let actual: Value = json(&snapshot(state));
                return (expected != actual)
                    .then(|| (format!("state {expected}"), format!("state {actual}")));
            }
            (Self::Events(expected), answer) => {
                let holds = answer.as_ref().is_ok_and(|actual| {
                    actual.iter().map(Event::from).eq(expected.iter().cloned())
                });
                (
                    holds,
                    listing(
                        expected
                            .iter()
                            .map(|Event { event, data }| format!("{event} {data}")),
                    ),
                )
            }
            (Self::Rejected(reason), answer) => {
                let (code, data) = match reason {
                    Reason::Code(code) => (code, None),
                    Reason::CodeAndData { code, data } => (code, data),
                };
                let holds = answer.as_ref().is_err_and(|rejection| {
                    let as_expected = |data| rejection.data().map(|text| json(&text)) == Some(data);
                    rejection.code() == code && data.clone().is_none_or(as_expected)
                });
                let data = data.map(|data| format!(" {data}")).unwrap_or_default();
                (holds, format!("rejected with {code}{data}"))
            }
        };
        let actual = match answer {
            Ok(events) => listing(
                events
                    .iter()
                    .map(|event| format!("{} {}", event.name, event.data)),
            ),
            Err(rejection) => super::rejected(rejection),
        };
        (!holds).then_some((expected, actual))
    }
}

impl From<&StoredEvent> for Event {
    fn from(event: &StoredEvent) -> Self {
        Self {
            event: event.name.clone(),
            data: json(&event.data),
        }
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("the module writes JSON")
}
