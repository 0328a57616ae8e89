//! Deciding.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use base::{Command, Event, Rejection};
use serde_json::{Value, json};

use crate::{Account, Change};

/// The number of times that the thirsty variant decides each command in vain.
const IN_VAIN: u32 = 4;

/// The hidden state of the variant that has one.
static DEPOSITS: AtomicU64 = AtomicU64::new(0);

pub fn decide(
    change: Change,
    account: &Account,
    command: &Command,
) -> Result<Vec<Event>, Rejection> {
    if change == Change::Thirsty {
        for _ in 0..IN_VAIN {
            let _ = black_box(decide_once(change, account, black_box(command)));
        }
    }
    decide_once(change, account, command)
}

fn decide_once(
    change: Change,
    account: &Account,
    command: &Command,
) -> Result<Vec<Event>, Rejection> {
    let data: Value = serde_json::from_str(&command.data).expect("the host passes JSON");
    let is_open = account.owner.borrow().is_some();
    let amount = || data["amount"].as_i64().expect("the host checks the schema");
    match command.name.as_str() {
        "Touch" => Ok(Vec::new()),
        "Open" if is_open => Err(rejection("already-open")),
        "Open" => Ok(vec![event("Opened", json!({ "owner": data["owner"] }))]),
        _ if !is_open => Err(rejection("not-open")),
        "Deposit" => Ok(vec![event("Deposited", deposit(change, amount()))]),
        "Withdraw" => withdraw(change, account.balance.get(), amount()),
        other => unreachable!("the host knows that there is no {other}"),
    }
}

/// The payload of a deposit.
fn deposit(change: Change, amount: i64) -> Value {
    match change {
        Change::HiddenState => {
            let is_third = DEPOSITS.fetch_add(1, Ordering::Relaxed) % 3 == 2;
            json!({ "amount": amount + i64::from(is_third) })
        }
        Change::IterationOrder => {
            let map: HashMap<u32, ()> = (0..8).map(|key| (key, ())).collect();
            json!({ "amount": amount, "first": map.into_keys().next() })
        }
        _ => json!({ "amount": amount }),
    }
}

fn withdraw(change: Change, balance: i64, amount: i64) -> Result<Vec<Event>, Rejection> {
    let lowest = match change {
        Change::NowAccepts => -100,
        _ => 0,
    };
    if balance - amount < lowest {
        return Err(rejection("insufficient-funds"));
    }
    if change == Change::NowRejects && amount > 50 {
        return Err(rejection("limit"));
    }
    let mut events = vec![event("Withdrawn", json!({ "amount": amount }))];
    if change == Change::OtherEvents {
        events.push(event("Charged", json!({ "fee": 1 })));
    }
    Ok(events)
}

fn event(name: &str, data: Value) -> Event {
    Event {
        name: name.to_owned(),
        schema_version: 1,
        data: data.to_string(),
        final_: false,
        tags: Vec::new(),
    }
}

fn rejection(code: &str) -> Rejection {
    Rejection {
        code: code.to_owned(),
        message: code.replace('-', " "),
        data: None,
    }
}
