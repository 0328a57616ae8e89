//! A decider with something to get wrong for each rule of `wit/specs.md`. Its specifications are
//! those of `tests/specs/`; half of them do not hold.

use std::collections::BTreeMap;

use gavel::{Context, Decider, JsonSchema};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, JsonSchema)]
pub enum Command {
    Pay {
        cents: u64,
    },
    #[schema(open)]
    Measure {
        value: f64,
    },
    /// Answers with what the context says.
    Tell,
    /// Answers with the part of the state that its snapshot leaves out.
    Recall,
    Refuse,
    End,
    EndTwice,
    Panic,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema, gavel::Event)]
pub enum Event {
    #[event(version = 2, upcast(1 = in_cents))]
    Paid {
        cents: u64,
    },
    Measured {
        value: f64,
    },
    Told {
        command_id: String,
        namespace: String,
        stream_id: String,
        version: u64,
        now_ms: u64,
        seed: u64,
        actor: Option<String>,
        metadata: BTreeMap<String, String>,
    },
    Recalled {
        payments: u64,
    },
    #[event(final)]
    Ended,
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

#[derive(PartialEq, Debug, Serialize, gavel::Rejection)]
pub enum Rejection {
    #[rejection(message = "{cents} cents are too little")]
    TooLittle {
        cents: u64,
    },
    Refused,
}

#[derive(Default, Serialize, Deserialize, JsonSchema)]
pub struct Specimen {
    cents: u64,
    value: f64,
    #[serde(skip)]
    payments: u64,
}

#[gavel::decider(
    name = "specimen",
    specs = ["../../specs/holds.yaml", "../../specs/fails.yaml"]
)]
impl Decider for Specimen {
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(&self, command: Command, context: &Context) -> Result<Vec<Event>, Rejection> {
        match command {
            Command::Pay { cents: 0 } => Err(Rejection::TooLittle { cents: 0 }),
            Command::Pay { cents } => Ok(vec![Event::Paid { cents }]),
            Command::Measure { value } if value == self.value => Ok(vec![]),
            Command::Measure { value } => Ok(vec![Event::Measured { value }]),
            Command::Tell => {
                let Context {
                    command_id,
                    namespace,
                    stream_id,
                    version,
                    now_ms,
                    seed,
                    actor,
                    metadata,
                } = context.clone();
                Ok(vec![Event::Told {
                    command_id,
                    namespace,
                    stream_id,
                    version,
                    now_ms,
                    seed,
                    actor,
                    metadata: metadata.into_iter().collect(),
                }])
            }
            Command::Recall => Ok(vec![Event::Recalled {
                payments: self.payments,
            }]),
            Command::Refuse => Err(Rejection::Refused),
            Command::End => Ok(vec![Event::Ended]),
            Command::EndTwice => Ok(vec![Event::Ended, Event::Ended]),
            Command::Panic => panic!("as it was told to"),
        }
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Paid { cents } => {
                self.cents += cents;
                self.payments += 1;
            }
            Event::Measured { value } => self.value = *value,
            Event::Told { .. } | Event::Recalled { .. } | Event::Ended => {}
        }
    }
}
