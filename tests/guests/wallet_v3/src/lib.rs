//! The wallet's third release: some points are gold and count twice, an owner with many pays no
//! fee, and a wallet may be overdrawn a little. Deposits are limited further, withdrawals are
//! bounded by their type, and a wallet can no longer be renamed.
//!
//! It has a mistake, too: it cannot touch a wallet that is not open.

use gavel::{Context, Decider, JsonSchema};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, JsonSchema)]
pub enum Command {
    Open {
        owner: String,
    },
    Deposit {
        amount: u64,
    },
    Withdraw {
        amount: u16,
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
    #[event(version = 2, upcast(1 = some_are_gold))]
    Rewarded {
        points: u64,
        gold: bool,
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

#[derive(Deserialize, JsonSchema)]
struct RewardedPlainly {
    points: u64,
}

#[derive(Serialize)]
struct RewardedWithGold {
    points: u64,
    gold: bool,
}

fn some_are_gold(RewardedPlainly { points }: RewardedPlainly) -> RewardedWithGold {
    RewardedWithGold {
        points,
        gold: points >= GOLD,
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
const LIMIT: u64 = 700;
/// The number of points from which a reward is gold.
const GOLD: u64 = 65;
/// The number of points from which there is no fee.
const FREE: u64 = 200;
/// The lowest balance that a withdrawal may leave, in cents.
const LOWEST_CENTS: i64 = -5_000;

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
            (Command::Touch, owner) => {
                owner.as_ref().expect("a wallet is open");
                Ok(vec![])
            }
            (Command::Open { .. }, Some(_)) => Err(Rejection::AlreadyOpen),
            (Command::Open { owner }, None) => Ok(vec![Event::Opened {
                owner,
                number: context.random().below(1_000_000),
                at_ms: context.now_ms,
            }]),
            (_, None) => Err(Rejection::NotOpen),
            (Command::Deposit { amount }, _) if amount > LIMIT => {
                Err(Rejection::Limit { limit: LIMIT })
            }
            (Command::Deposit { amount }, _) => {
                let mut events = vec![Event::Deposited {
                    cents: amount * 100,
                }];
                if amount >= LARGE {
                    let points = amount / 10;
                    events.push(Event::Rewarded {
                        points,
                        gold: points >= GOLD,
                    });
                }
                Ok(events)
            }
            (Command::Withdraw { amount }, _) => {
                let amount = u64::from(amount);
                let fee = if self.points < FREE { FEE } else { 0 };
                if self.cents - ((amount + fee) as i64) * 100 < LOWEST_CENTS {
                    return Err(Rejection::InsufficientFunds { cents: self.cents });
                }
                let mut events = vec![Event::Withdrawn { amount }];
                if fee > 0 {
                    events.push(Event::Charged { fee });
                }
                Ok(events)
            }
        }
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Opened { owner, .. } | Event::Renamed { owner } => {
                self.owner = Some(owner.clone());
            }
            Event::Deposited { cents } => self.cents += *cents as i64,
            Event::Rewarded { points, gold } => self.points += points * if *gold { 2 } else { 1 },
            Event::Withdrawn { amount } => self.cents -= *amount as i64 * 100,
            Event::Charged { fee } => self.cents -= *fee as i64 * 100,
        }
    }
}
