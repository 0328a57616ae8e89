//! A decider with one of everything: each kind of variant, older events, tags, a final event,
//! rejections with data.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Context, Decider, JsonSchema};

#[derive(Deserialize, JsonSchema)]
pub(super) enum Command {
    /// Hands the parcel over.
    Send {
        to: Address,
    },
    Weigh(u32),
    Label(String, u8),
    Deliver,
    /// Answers with what the context says.
    Toss,
    #[schema(open)]
    Wait,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, gavel::Event)]
#[serde(rename_all = "snake_case")]
pub(super) enum Event {
    #[event(version = 3, upcast(1 = name_the_town, 2 = add_country), tags(town, destination = town, country))]
    ParcelSent {
        town: String,
        country: String,
    },
    Weighed(u32),
    Labelled(String, u8),
    #[serde(rename = "arrived")]
    #[event(final)]
    Delivered,
    Tossed {
        number: u64,
        at_ms: u64,
        by: Option<String>,
    },
}

/// The second version's data; the first version had no schema.
#[derive(Deserialize, JsonSchema)]
struct SentToTown {
    town: String,
}

fn name_the_town(first: Value) -> Value {
    json!({ "town": first["to"] })
}

fn add_country(SentToTown { town }: SentToTown) -> Event2 {
    Event2 {
        town,
        country: "DE".into(),
    }
}

#[derive(Serialize)]
struct Event2 {
    town: String,
    country: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub(super) struct Address {
    pub(super) town: String,
    #[serde(default)]
    pub(super) country: String,
}

#[derive(Debug, PartialEq, Serialize, gavel::Rejection)]
pub(super) enum Rejection {
    NotSent,
    #[rejection(code = "heavy", message = "{weight} g are over {limit} g")]
    TooHeavy {
        weight: u32,
        limit: u32,
    },
    #[rejection(message = "the label \"{0}\" is taken")]
    LabelTaken(String),
}

#[derive(Default, Serialize, Deserialize, JsonSchema)]
pub(super) struct Parcel {
    pub(super) town: Option<String>,
    pub(super) labels: HashMap<String, u8>,
    pub(super) weight: u32,
}

#[crate::decider(name = "parcel", specs = "src/tests/parcel.specs.yaml")]
impl Decider for Parcel {
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(&self, command: Command, context: &Context) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::Send {
                to: Address { town, country },
            } => Ok(vec![Event::ParcelSent { town, country }]),
            _ if self.town.is_none() => Err(Rejection::NotSent),
            Command::Weigh(weight) if weight > 1000 => Err(Rejection::TooHeavy {
                weight,
                limit: 1000,
            }),
            Command::Weigh(weight) => Ok(vec![Event::Weighed(weight)]),
            Command::Label(text, _) if self.labels.contains_key(&text) => {
                Err(Rejection::LabelTaken(text))
            }
            Command::Label(text, size) => Ok(vec![Event::Labelled(text, size)]),
            Command::Deliver => Ok(vec![Event::Delivered]),
            Command::Toss => Ok(vec![Event::Tossed {
                number: context.random().below(6),
                at_ms: context.now_ms,
                by: context.metadata("name").map(str::to_owned),
            }]),
            Command::Wait => Ok(vec![]),
        }
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::ParcelSent { town, .. } => self.town = Some(town.clone()),
            Event::Weighed(weight) => self.weight = *weight,
            Event::Labelled(text, size) => {
                self.labels.insert(text.clone(), *size);
            }
            Event::Delivered | Event::Tossed { .. } => {}
        }
    }
}
