//! A bank account: opened once, never overdrawn, closed for good when it is empty.

use gavel::{Context, Decider, JsonSchema};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, JsonSchema)]
pub enum Command {
    /// Opens the account.
    Open {
        /// Who the account belongs to.
        owner: String,
    },
    /// Puts money on the account.
    Deposit { amount: u64 },
    /// Takes money from the account.
    Withdraw { amount: u64 },
    /// Closes the account for good.
    Close,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema, gavel::Event)]
pub enum Event {
    #[event(tags(owner))]
    Opened {
        owner: String,
    },
    Deposited {
        amount: u64,
    },
    Withdrawn {
        amount: u64,
    },
    #[event(final)]
    Closed,
}

#[derive(PartialEq, Debug, Serialize, gavel::Rejection)]
pub enum Rejection {
    #[rejection(message = "the account is open already")]
    AlreadyOpen,
    #[rejection(message = "the account is not open")]
    NotOpen,
    #[rejection(message = "an amount of zero changes nothing")]
    AmountIsZero,
    #[rejection(message = "the balance is {balance}, which does not leave room for {amount} more")]
    BalanceTooLarge { balance: u64, amount: u64 },
    #[rejection(message = "the balance is {balance}, {amount} cannot be withdrawn")]
    InsufficientFunds { balance: u64, amount: u64 },
    #[rejection(message = "the balance is {balance}, only an empty account can be closed")]
    NotEmpty { balance: u64 },
}

/// An account. It is open from its first event to its last.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
pub struct Account {
    open: bool,
    balance: u64,
}

#[gavel::decider(name = "account", specs = "account.specs.yaml")]
impl Decider for Account {
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(&self, command: Command, _: &Context) -> Result<Vec<Event>, Rejection> {
        let balance = self.balance;
        match command {
            Command::Open { .. } if self.open => Err(Rejection::AlreadyOpen),
            Command::Open { owner } => Ok(vec![Event::Opened { owner }]),
            _ if !self.open => Err(Rejection::NotOpen),
            Command::Deposit { amount: 0 } | Command::Withdraw { amount: 0 } => {
                Err(Rejection::AmountIsZero)
            }
            Command::Deposit { amount } => match balance.checked_add(amount) {
                Some(_) => Ok(vec![Event::Deposited { amount }]),
                None => Err(Rejection::BalanceTooLarge { balance, amount }),
            },
            Command::Withdraw { amount } if amount > balance => {
                Err(Rejection::InsufficientFunds { balance, amount })
            }
            Command::Withdraw { amount } => Ok(vec![Event::Withdrawn { amount }]),
            Command::Close if balance > 0 => Err(Rejection::NotEmpty { balance }),
            Command::Close => Ok(vec![Event::Closed]),
        }
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Opened { .. } => self.open = true,
            Event::Deposited { amount } => self.balance = self.balance.saturating_add(*amount),
            Event::Withdrawn { amount } => self.balance = self.balance.saturating_sub(*amount),
            Event::Closed => self.open = false,
        }
    }
}
