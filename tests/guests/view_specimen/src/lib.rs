//! A view with something to get wrong for each rule of `wit/specs.md`. Its specifications are those
//! of `tests/specs/`; half of them do not hold.

use std::collections::BTreeMap;

use gavel::{JsonSchema, Recorded, Row, View};
use serde::{Deserialize, Serialize};

/// The events of two deciders, both of which have one called `Paid`.
#[derive(gavel::Foreign)]
pub enum Event {
    #[foreign(decider = "purse")]
    Purse(PurseEvent),
    Bank(BankEvent),
}

/// All events of a purse, with the decider's own upcasters.
#[derive(Debug, Deserialize, JsonSchema, gavel::Event)]
pub enum PurseEvent {
    #[event(version = 2, upcast(1 = in_cents))]
    Paid {
        cents: u64,
    },
    Measured {
        value: f64,
    },
    /// Changes the rows with these keys, and no other.
    Shared {
        with: Vec<String>,
    },
    /// Answers with the part of the row that is not stored.
    Recalled,
    Emptied,
    Broken,
}

#[derive(Deserialize, JsonSchema)]
struct PaidCoins {
    coins: u64,
}

#[derive(Serialize)]
struct PaidCents {
    cents: u64,
}

fn in_cents(PaidCoins { coins }: PaidCoins) -> PaidCents {
    PaidCents { cents: coins * 100 }
}

/// Some events of a bank.
#[derive(Debug, Deserialize, gavel::Foreign)]
#[foreign(decider = "bank")]
pub enum BankEvent {
    Paid {
        cents: u64,
    },
    /// Answers with what is known of the event. Both versions have the one field that is read.
    #[foreign(versions = [2, 3])]
    Told {
        note: Option<String>,
    },
}

#[derive(Default, Serialize, Deserialize, JsonSchema)]
pub struct ViewSpecimen {
    cents: u64,
    value: f64,
    shares: u64,
    recalled: Option<u64>,
    told: Option<Told>,
    #[serde(skip)]
    payments: u64,
}

#[derive(Serialize, Deserialize, JsonSchema)]
pub struct Told {
    note: Option<String>,
    decider: String,
    stream_id: String,
    version: u64,
    event_id: String,
    schema_version: u32,
    tags: Vec<String>,
    created_ms: u64,
    metadata: BTreeMap<String, String>,
}

#[gavel::view(
    name = "view_specimen",
    specs = ["../../specs/view_holds.yaml", "../../specs/view_fails.yaml"]
)]
impl View for ViewSpecimen {
    type Event = Event;

    fn keys(event: &Recorded<Event>) -> Vec<String> {
        match &event.event {
            Event::Purse(PurseEvent::Shared { with }) => with.clone(),
            Event::Purse(_) | Event::Bank(_) => vec![event.stream_id.clone()],
        }
    }

    fn evolve(&mut self, event: &Recorded<Event>) -> Row {
        match &event.event {
            Event::Purse(PurseEvent::Paid { cents }) | Event::Bank(BankEvent::Paid { cents }) => {
                self.cents += cents;
                self.payments += 1;
            }
            Event::Purse(PurseEvent::Measured { value }) => self.value = *value,
            Event::Purse(PurseEvent::Shared { .. }) => self.shares += 1,
            Event::Purse(PurseEvent::Recalled) => self.recalled = Some(self.payments),
            Event::Purse(PurseEvent::Emptied) => return Row::End,
            Event::Purse(PurseEvent::Broken) => panic!("as it was told to"),
            Event::Bank(BankEvent::Told { note }) => {
                self.told = Some(Told {
                    note: note.clone(),
                    decider: event.decider.clone(),
                    stream_id: event.stream_id.clone(),
                    version: event.version,
                    event_id: event.event_id.clone(),
                    schema_version: event.schema_version,
                    tags: event.tags.clone(),
                    created_ms: event.created_ms,
                    metadata: event.metadata.iter().cloned().collect(),
                });
            }
        }
        Row::Keep
    }
}
