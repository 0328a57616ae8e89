//! The rules of the guests `wallet_v1`, `wallet_v2` and `wallet_v3`, written once more: natively,
//! and without a look at the host.

use std::fmt;

use serde_json::{Value, json};

use Release::{First, Second, Third};

/// A release of the wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    First,
    Second,
    Third,
}

/// A command. Money is in coins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Command {
    Open(&'static str),
    Rename(&'static str),
    Deposit(u64),
    Withdraw(u64),
    Touch,
}

/// An event in one of its schema versions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Event {
    /// The account's owner. The other data of the event comes from the context of its command.
    Opened(&'static str),
    Renamed(&'static str),
    DepositedCoins(u64),
    DepositedCents(u64),
    Rewarded(u64),
    RewardedPerhapsGold(u64, bool),
    Withdrawn(u64),
    Charged(u64),
}

/// The answer of a release, or of the host on its behalf, to a command.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    Events(Vec<Event>),
    Rejection { code: &'static str, data: Value },
    Fault,
}

/// The state.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Wallet {
    owner: Option<&'static str>,
    cents: i64,
    points: u64,
}

const FEE: u64 = 1;

impl Command {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Open(_) => "Open",
            Self::Rename(_) => "Rename",
            Self::Deposit(_) => "Deposit",
            Self::Withdraw(_) => "Withdraw",
            Self::Touch => "Touch",
        }
    }

    /// The command as it is sent, and as reports show it.
    pub(crate) fn to_json(self) -> Value {
        let data = match self {
            Self::Open(owner) | Self::Rename(owner) => json!({ "owner": owner }),
            Self::Deposit(amount) | Self::Withdraw(amount) => json!({ "amount": amount }),
            Self::Touch => json!({}),
        };
        json!({ "command": self.name(), "data": data })
    }
}

impl Event {
    /// The event as it is imported, and as reports show it.
    pub(crate) fn to_json(self) -> Value {
        let (name, schema_version, data) = match self {
            Self::Opened(owner) => {
                let data = json!({ "owner": owner, "number": 0, "at_ms": 0 });
                ("Opened", 1, data)
            }
            Self::Renamed(owner) => ("Renamed", 1, json!({ "owner": owner })),
            Self::DepositedCoins(amount) => ("Deposited", 1, json!({ "amount": amount })),
            Self::DepositedCents(cents) => ("Deposited", 2, json!({ "cents": cents })),
            Self::Rewarded(points) => ("Rewarded", 1, json!({ "points": points })),
            Self::RewardedPerhapsGold(points, gold) => {
                ("Rewarded", 2, json!({ "points": points, "gold": gold }))
            }
            Self::Withdrawn(amount) => ("Withdrawn", 1, json!({ "amount": amount })),
            Self::Charged(fee) => ("Charged", 1, json!({ "fee": fee })),
        };
        json!({ "event": name, "schema_version": schema_version, "data": data })
    }
}

impl Wallet {
    pub(crate) fn is_open(&self) -> bool {
        self.owner.is_some()
    }

    pub(crate) fn to_json(self) -> Value {
        json!({ "owner": self.owner, "cents": self.cents, "points": self.points })
    }

    /// Applies an event, as a release does.
    pub(crate) fn evolve(&mut self, release: Release, event: Event) {
        let cents = |coins: u64| i64::try_from(coins).unwrap() * 100;
        match event {
            Event::Opened(owner) | Event::Renamed(owner) => self.owner = Some(owner),
            Event::DepositedCoins(amount) => self.cents += cents(amount),
            Event::DepositedCents(cents) => self.cents += i64::try_from(cents).unwrap(),
            Event::Rewarded(points) if release == Third && points >= 65 => {
                self.points += 2 * points;
            }
            Event::Rewarded(points) => self.points += points,
            Event::RewardedPerhapsGold(points, gold) => {
                self.points += points * if gold { 2 } else { 1 };
            }
            Event::Withdrawn(amount) | Event::Charged(amount) => self.cents -= cents(amount),
        }
    }

    /// The same after some events.
    pub(crate) fn after(mut self, release: Release, events: &[Event]) -> Self {
        for event in events {
            self.evolve(release, *event);
        }
        self
    }

    /// Decides on a command, as a release does.
    pub(crate) fn decide(&self, release: Release, command: Command) -> Answer {
        match command {
            Command::Rename(_) if release == Third => rejected("command-unknown"),
            Command::Withdraw(65_536..) if release == Third => rejected("invalid-command-data"),
            Command::Touch if release == Third && !self.is_open() => Answer::Fault,
            Command::Touch => Answer::Events(vec![]),
            Command::Open(_) if self.is_open() => rejected("already-open"),
            Command::Open(owner) => Answer::Events(vec![Event::Opened(owner)]),
            _ if !self.is_open() => rejected("not-open"),
            Command::Rename(owner) if self.owner == Some(owner) => Answer::Events(vec![]),
            Command::Rename(owner) => Answer::Events(vec![Event::Renamed(owner)]),
            Command::Deposit(amount) => deposit(release, amount),
            Command::Withdraw(amount) => self.withdraw(release, amount),
        }
    }

    fn withdraw(&self, release: Release, amount: u64) -> Answer {
        let fee = match release {
            Third if self.points >= 200 => 0,
            _ => FEE,
        };
        let lowest = if release == Third { -5_000 } else { 0 };
        let left = self.cents - i64::try_from(amount + fee).unwrap() * 100;
        if left < lowest {
            let data = match release {
                First => json!({ "balance": self.cents / 100 }),
                Second | Third => json!({ "cents": self.cents }),
            };
            let code = "insufficient-funds";
            return Answer::Rejection { code, data };
        }
        let mut events = vec![Event::Withdrawn(amount)];
        if fee > 0 {
            events.push(Event::Charged(fee));
        }
        Answer::Events(events)
    }
}

fn deposit(release: Release, amount: u64) -> Answer {
    let limit = match release {
        First => u64::MAX,
        Second => 900,
        Third => 700,
    };
    if amount > limit {
        return Answer::Rejection {
            code: "limit",
            data: json!({ "limit": limit }),
        };
    }
    let mut events = vec![match release {
        First => Event::DepositedCoins(amount),
        Second | Third => Event::DepositedCents(amount * 100),
    }];
    let points = amount / 10;
    if amount >= 50 {
        events.push(match release {
            First | Second => Event::Rewarded(points),
            Third => Event::RewardedPerhapsGold(points, points >= 65),
        });
    }
    Answer::Events(events)
}

fn rejected(code: &'static str) -> Answer {
    Answer::Rejection {
        code,
        data: Value::Null,
    }
}

/// Writes the name of the release's module.
impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            First => "wallet_v1",
            Second => "wallet_v2",
            Third => "wallet_v3",
        })
    }
}
