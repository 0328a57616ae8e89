//! The wallet's second release: deposits are written in cents, and limited; the remaining money is
//! given in cents.

use gavel::{Context, Decider, JsonSchema};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, JsonSchema)]
pub enum Command {
    Open {
        owner: String,
    },
    Rename {
        owner: String,
    },
    Deposit {
        amount: u64,
    },
    Withdraw {
        amount: u64,
    },
    /// Changes nothing.
    Touch,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema, gavel::Event)]
pub enum Event {
    /// The opening, with data that only the context of the command can tell.
    Opened {
        owner: String,
        number: u64,
        at_ms: u64,
    },
    Renamed {
        owner: String,
    },
    #[event(version = 2, upcast(1 = in_cents))]
    Deposited {
        cents: u64,
    },
    Rewarded {
        points: u64,
    },
    Withdrawn {
        amount: u64,
    },
    Charged {
        fee: u64,
    },
}

#[derive(Deserialize, JsonSchema)]
struct DepositedCoins {
    amount: u64,
}

#[derive(Serialize)]
struct DepositedCents {
    cents: u64,
}

fn in_cents(DepositedCoins { amount }: DepositedCoins) -> DepositedCents {
    DepositedCents {
        cents: amount * 100,
    }
}

#[derive(PartialEq, Debug, Serialize, gavel::Rejection)]
pub enum Rejection {
    AlreadyOpen,
    NotOpen,
    #[rejection(message = "at most {limit} coins can be deposited")]
    Limit {
        limit: u64,
    },
    #[rejection(message = "there are {cents} cents left")]
    InsufficientFunds {
        cents: i64,
    },
}

const FEE: u64 = 1;
/// A deposit from this on earns points.
const LARGE: u64 = 50;
/// The largest deposit.
const LIMIT: u64 = 900;

#[derive(Default, Serialize, Deserialize, JsonSchema)]
pub struct Wallet {
    owner: Option<String>,
    cents: i64,
    points: u64,
}

#[gavel::decider(name = "wallet")]
impl Decider for Wallet {
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(&self, command: Command, context: &Context) -> Result<Vec<Event>, Rejection> {
        match (command, &self.owner) {
            (Command::Touch, _) => Ok(vec![]),
            (Command::Open { .. }, Some(_)) => Err(Rejection::AlreadyOpen),
            (Command::Open { owner }, None) => Ok(vec![Event::Opened {
                owner,
                number: context.random().below(1_000_000),
                at_ms: context.now_ms,
            }]),
            (_, None) => Err(Rejection::NotOpen),
            (Command::Rename { owner }, Some(present)) if owner == *present => Ok(vec![]),
            (Command::Rename { owner }, _) => Ok(vec![Event::Renamed { owner }]),
            (Command::Deposit { amount }, _) if amount > LIMIT => {
                Err(Rejection::Limit { limit: LIMIT })
            }
            (Command::Deposit { amount }, _) => {
                let mut events = vec![Event::Deposited {
                    cents: amount * 100,
                }];
                if amount >= LARGE {
                    events.push(Event::Rewarded {
                        points: amount / 10,
                    });
                }
                Ok(events)
            }
            (Command::Withdraw { amount }, _) => {
                if self.cents < (amount + FEE) as i64 * 100 {
                    return Err(Rejection::InsufficientFunds { cents: self.cents });
                }
                Ok(vec![
                    Event::Withdrawn { amount },
                    Event::Charged { fee: FEE },
                ])
            }
        }
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Opened { owner, .. } | Event::Renamed { owner } => {
                self.owner = Some(owner.clone());
            }
            Event::Deposited { cents } => self.cents += *cents as i64,
            Event::Rewarded { points } => self.points += points,
            Event::Withdrawn { amount } => self.cents -= *amount as i64 * 100,
            Event::Charged { fee } => self.cents -= *fee as i64 * 100,
        }
    }
}
