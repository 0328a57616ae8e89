//! Specifications of deciders as data, in the manifest's form. Their meaning, here and on a host,
//! is in `wit/specs.md`.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::document::{json, simplified};
use super::{Stream, differ, listing};
use crate::module::{StoredEvent, decide, read_event, snapshot, write_event};
use crate::schema::{Variants, command_document};
use crate::{Context, Module, Rejection};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec<'a> {
    title: String,
    #[serde(borrow)]
    given: Vec<Given<'a>>,
    #[serde(borrow)]
    when: When<'a>,
    then: Then,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given<'a> {
    event: String,
    #[serde(borrow)]
    data: &'a RawValue,
    schema_version: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
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
    Events(Vec<Expected>),
    Rejected(Reason),
    State(Value),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    event: String,
    data: Value,
    schema_version: Option<u32>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Reason {
    Code(String),
    Details(Details),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Details {
    code: String,
    message: Option<String>,
    data: Option<Value>,
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
            Ok(event) => stream.fold(&write_event::<D>(&event)),
            Err(error) => panic!("\"{title}\" gives {name}, which cannot be folded: {error}"),
        }
    }
    let mut stream = stream.restored();
    let command = &when.command;
    let known = D::Command::VARIANTS
        .iter()
        .find(|known| known.name == command);
    let Some(known) = known else {
        panic!("\"{title}\" sends {command}, and there is no such command");
    };
    if let Some(misfit) = misfit(&command_document(known.schema), when.data.get()) {
        panic!("\"{title}\" sends {command} with {misfit}");
    }
    let context = stream.context(when.context);
    let answer = decide(&stream.state, command, when.data.get(), &context);
    for event in answer.iter().flatten() {
        stream.append(event);
    }
    if let Some((expected, actual)) = then.difference(&answer, &stream.state) {
        differ(&format!("\"{title}\" does not hold"), &expected, &actual);
    }
}

impl Then {
    /// The difference between the expected and the actual outcome, for people; none when they are
    /// the same.
    fn difference<D: Module>(
        self,
        answer: &Result<Vec<StoredEvent>, D::Rejection>,
        state: &D,
    ) -> Option<(String, String)> {
        let actual = match (&self, answer) {
            (Self::State(_), Ok(_)) => format!("state {}", json(&snapshot(state))),
            (_, Ok(events)) => listing(
                events
                    .iter()
                    .map(|event| format!("{} {}", event.name, event.data)),
            ),
            (_, Err(rejection)) => super::rejected(rejection),
        };
        let (holds, expected) = match self {
            Self::State(expected) => {
                let expected = simplified(expected);
                let holds = answer.is_ok() && json(&snapshot(state)) == expected;
                (holds, format!("state {expected}"))
            }
            Self::Events(expected) => {
                let holds = answer.as_ref().is_ok_and(|actual| {
                    actual.len() == expected.len()
                        && std::iter::zip(&expected, actual)
                            .all(|(expected, event)| expected.is(event))
                });
                (holds, listing(expected.iter().map(Expected::in_words)))
            }
            Self::Rejected(reason) => {
                let details = match reason {
                    Reason::Code(code) => Details {
                        code,
                        message: None,
                        data: None,
                    },
                    Reason::Details(details) => details,
                };
                let holds = answer
                    .as_ref()
                    .is_err_and(|rejection| details.is(rejection));
                (holds, details.in_words())
            }
        };
        (!holds).then_some((expected, actual))
    }
}

impl Expected {
    fn is(&self, event: &StoredEvent) -> bool {
        self.event == event.name
            && self
                .schema_version
                .is_none_or(|version| version == event.schema_version)
            && simplified(self.data.clone()) == json(&event.data)
    }

    fn in_words(&self) -> String {
        let version = self
            .schema_version
            .map(|version| format!(" (version {version})"));
        format!(
            "{}{} {}",
            self.event,
            version.unwrap_or_default(),
            self.data
        )
    }
}

impl Details {
    fn is(&self, rejection: &impl Rejection) -> bool {
        let has_data = |data: &Value| {
            rejection.data().map(|text| json(&text)) == Some(simplified(data.clone()))
        };
        self.code == rejection.code()
            && self
                .message
                .as_ref()
                .is_none_or(|message| *message == rejection.message())
            && self.data.as_ref().is_none_or(has_data)
    }

    fn in_words(&self) -> String {
        let data = self.data.as_ref().map(|data| format!(" {data}"));
        let message = self.message.as_ref().map(|message| format!(" ({message})"));
        let (data, message) = (data.unwrap_or_default(), message.unwrap_or_default());
        format!("rejected with {}{data}{message}", self.code)
    }
}

/// The part of `data` that serde reads but the schema does not allow, so that a host refuses the
/// data.
fn misfit(schema: &str, data: &str) -> Option<String> {
    let (schema, data) = (json(schema), json(data));
    let Some(members) = data.as_object() else {
        let takes_object = schema.get("type") == Some(&Value::from("object"));
        return takes_object.then(|| format!("{data}, and its data is an object"));
    };
    let fields = schema.get("properties");
    let is_known = |name: &String| fields.is_some_and(|fields| fields.get(name).is_some());
    let is_closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
    let mut names = members.keys().filter(|_| is_closed);
    let unknown = names.find(|name| !is_known(name))?;
    Some(format!("`{unknown}`, and there is no such field"))
}
