//! A process with one of everything: events of two deciders, sends and waits, every kind of news,
//! and faults of each kind; and a saga.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::board::{CrateEvent, Event, LorryEvent};
use super::parcel;
use crate::{Input, JsonSchema, News, Order, Process, QueryItem, Recorded, Saga, Task, Timestamp};

/// Commands of a decider.
#[derive(Serialize, gavel::Target)]
#[target(decider = "invoice")]
#[serde(rename_all = "snake_case")]
pub(super) enum InvoiceCommand {
    Issue {
        parcels: u32,
    },
    #[serde(rename = "remind")]
    SendReminder,
    Rate(f64),
    #[serde(skip)]
    #[expect(dead_code, reason = "it is no command")]
    Unknown,
}

/// Commands that no process names among those that it sends.
#[derive(Serialize, gavel::Target)]
#[target(decider = "lorry")]
pub(super) enum LorryCommand {
    Unload {},
}

// From when a crate is packed until it is sealed: an invoice, and reminders after silences. What
// lorries say makes it list what cannot be.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Billing {
    pub(super) parcels: u32,
    pub(super) remind_at: Option<Timestamp>,
    pub(super) reminders: u32,
    /// The outcomes of tasks, in words.
    pub(super) outcomes: BTreeMap<String, String>,
    pub(super) kilograms: u32,
    pub(super) weight: f64,
}

const SILENCE: Duration = Duration::from_secs(60);

#[crate::process(name = "billing", sends(InvoiceCommand), accepted = true)]
impl Process for Billing {
    type Event = Event;

    fn keys(event: &Recorded<Event>) -> Vec<String> {
        vec![event.stream_id.clone(), "all".into(), "all".into()]
    }

    fn sources(key: &str) -> Vec<QueryItem> {
        vec![QueryItem::of_stream::<Event>(key)]
    }

    fn evolve(&mut self, input: &Input<Event>) {
        match &input.what {
            News::Event(event) => match &event.event {
                Event::Crate(CrateEvent::Packed { parcels }) => {
                    self.parcels = *parcels;
                    self.remind_at = Some(input.at + SILENCE);
                }
                Event::Crate(_) => *self = Self::default(),
                Event::Parcel(parcel::Event::Weighed(0)) => self.weight = f64::NAN,
                Event::Parcel(_) => {}
                Event::Lorry(LorryEvent::Loaded { kilograms }) => self.kilograms = *kilograms,
            },
            News::Due { task, time } => {
                self.outcomes.insert(task.clone(), format!("due {time}"));
                self.reminders += 1;
                self.remind_at = Some(*time + SILENCE);
            }
            News::Rejected { task, rejection } => {
                let why = format!("rejected {}", rejection.code);
                self.outcomes.insert(task.clone(), why);
            }
            News::Accepted { task } => {
                self.outcomes.insert(task.clone(), "accepted".into());
            }
            News::Abandoned { task } => {
                self.outcomes.insert(task.clone(), "abandoned".into());
            }
        }
    }

    fn todo(&self, key: &str) -> Vec<Task> {
        let parcels = self.parcels;
        let mut tasks = Vec::new();
        if parcels > 0 {
            let issue = Order::new(key, &InvoiceCommand::Issue { parcels });
            tasks.push(Task::send("issue", issue.expected_version(0)));
        }
        for number in 1..=self.reminders {
            let reminder = Order::new(key, &InvoiceCommand::SendReminder)
                .metadata("number", "0")
                .metadata("number", number.to_string());
            tasks.push(Task::send(format!("remind-{number}"), reminder));
        }
        tasks.extend(self.remind_at.map(|at| Task::wait_until("silence", at)));
        match self.kilograms {
            1 => tasks.push(Task::send(
                "rate",
                Order::new(key, &InvoiceCommand::Rate(f64::NAN)),
            )),
            2 => tasks.push(Task::send(
                "unload",
                Order::new(key, &LorryCommand::Unload {}),
            )),
            3 => tasks.push(Task::wait_until("issue", Timestamp::from_ms(0))),
            _ => {}
        }
        tasks
    }
}

/// A process of which the SDK writes the keys.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
pub(super) struct ByTag {}

#[crate::process(name = "By_Tag", key = tag("town"))]
impl Process for ByTag {
    type Event = CrateEvent;

    fn evolve(&mut self, _: &Input<CrateEvent>) {}

    fn todo(&self, _: &str) -> Vec<Task> {
        vec![]
    }
}

/// Another one.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
pub(super) struct ByStream {}

#[crate::process(name = "by-stream", key = stream_id, sends(InvoiceCommand, LorryCommand))]
impl Process for ByStream {
    type Event = CrateEvent;

    fn evolve(&mut self, _: &Input<CrateEvent>) {}

    fn todo(&self, _: &str) -> Vec<Task> {
        vec![]
    }
}

/// As many invoices as parcels, and a rate.
pub(super) struct Invoicing;

#[crate::process(name = "invoicing", sends(InvoiceCommand))]
impl Saga for Invoicing {
    type Event = CrateEvent;

    fn react(event: &Recorded<CrateEvent>) -> Vec<Order> {
        let CrateEvent::Packed { parcels } = event.event else {
            return vec![];
        };
        let invoice = |parcels| Order::new("i-1", &InvoiceCommand::Issue { parcels });
        let mut orders: Vec<Order> = (1..=parcels).map(invoice).collect();
        orders.push(Order::new("i-1", &InvoiceCommand::Rate(0.5)));
        if parcels == 7 {
            orders.push(Order::new("l-1", &LorryCommand::Unload {}));
        }
        orders
    }
}
