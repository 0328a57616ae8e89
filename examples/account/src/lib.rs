//! A bank account: opened once, never overdrawn, closed for good when it is empty.
//!
//! With the feature `overdraft` it may be overdrawn by up to 100: a changed rule, to swap to in
//! production.

use gavel::{Context, Decider, JsonSchema};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, JsonSchema)]
pub enum Command {
    /// Opens the account.
    Open {
        /// The owner of the account.
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
    #[rejection(message = "the owner's name has {bytes} bytes, of at most 200")]
    OwnerTooLong { bytes: usize },
    #[rejection(message = "the account is not open")]
    NotOpen,
    #[rejection(message = "an amount of zero changes nothing")]
    AmountIsZero,
    #[rejection(message = "the balance is {balance}, which does not leave room for {amount} more")]
    BalanceTooLarge { balance: i64, amount: u64 },
    #[rejection(message = "the balance is {balance}, {amount} cannot be withdrawn")]
    InsufficientFunds { balance: i64, amount: u64 },
    #[rejection(message = "the balance is {balance}, only an empty account can be closed")]
    NotEmpty { balance: i64 },
}

/// The longest name of an owner, in bytes (inclusive).
const OWNER_BYTES: usize = 200;
/// The lowest balance that a withdrawal may leave.
const LOWEST_BALANCE: i64 = if cfg!(feature = "overdraft") { -100 } else { 0 };

/// An account, which is open from its first event to its last.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
pub struct Account {
    open: bool,
    /// The balance; below zero, the owner's debt.
    balance: i64,
}

#[cfg_attr(
    not(feature = "overdraft"),
    gavel::decider(name = "account", specs = ["account.specs.yaml", "account-no-overdraft.specs.yaml"])
)]
#[cfg_attr(
    feature = "overdraft",
    gavel::decider(name = "account", specs = ["account.specs.yaml", "account-overdraft.specs.yaml"])
)]
impl Decider for Account {
    type Command = Command;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(&self, command: Command, _: &Context) -> Result<Vec<Event>, Rejection> {
        let balance = self.balance;
        match command {
            Command::Open { .. } if self.open => Err(Rejection::AlreadyOpen),
            // The event is found by its owner, and a label has bounds.
            Command::Open { owner } if owner.len() > OWNER_BYTES => {
                Err(Rejection::OwnerTooLong { bytes: owner.len() })
            }
            Command::Open { owner } => Ok(vec![Event::Opened { owner }]),
            _ if !self.open => Err(Rejection::NotOpen),
            Command::Deposit { amount: 0 } | Command::Withdraw { amount: 0 } => {
                Err(Rejection::AmountIsZero)
            }
            Command::Deposit { amount } => match balance.checked_add_unsigned(amount) {
                Some(_) => Ok(vec![Event::Deposited { amount }]),
                None => Err(Rejection::BalanceTooLarge { balance, amount }),
            },
            Command::Withdraw { amount } => match balance.checked_sub_unsigned(amount) {
                Some(left) if left >= LOWEST_BALANCE => Ok(vec![Event::Withdrawn { amount }]),
                _ => Err(Rejection::InsufficientFunds { balance, amount }),
            },
            Command::Close if balance != 0 => Err(Rejection::NotEmpty { balance }),
            Command::Close => Ok(vec![Event::Closed]),
        }
    }

    fn evolve(&mut self, event: &Event) {
        match event {
            Event::Opened { .. } => self.open = true,
            Event::Deposited { amount } => {
                self.balance = self.balance.saturating_add_unsigned(*amount);
            }
            Event::Withdrawn { amount } => {
                self.balance = self.balance.saturating_sub_unsigned(*amount);
            }
            Event::Closed => self.open = false,
        }
    }
}
