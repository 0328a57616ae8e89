//! What the processes read of accounts, and ask of them.

use serde::{Deserialize, Serialize};

#[derive(Deserialize, gavel::Foreign)]
#[foreign(decider = "account")]
pub enum AccountEvent {
    Opened {},
    Deposited {},
    Withdrawn {},
}

#[derive(Serialize, gavel::Target)]
#[target(decider = "account")]
pub enum AccountCommand {
    Deposit { amount: u64 },
    Withdraw { amount: u64 },
}
