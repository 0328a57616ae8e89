//! Folding, and how it goes wrong on one deposit among many.

use std::hint::black_box;

use base::{Event, EvolveError};
use serde_json::Value;

use crate::{Account, Change};

/// The deposit that some variants cannot fold.
const UNLUCKY: i64 = 13;
/// The deposit that one variant folds otherwise.
const LUCKY: i64 = 7;

pub fn evolve(change: Change, account: &Account, events: &[Event]) -> Result<(), EvolveError> {
    for (index, event) in (0..).zip(events) {
        fold(change, account, event).map_err(|message| EvolveError { index, message })?;
    }
    Ok(())
}

fn fold(change: Change, account: &Account, event: &Event) -> Result<(), String> {
    let data: Value = serde_json::from_str(&event.data).map_err(|error| error.to_string())?;
    let number = |member: &str| data[member].as_i64().ok_or("a number is missing");
    let by = match event.name.as_str() {
        "Opened" => {
            account
                .owner
                .replace(data["owner"].as_str().map(str::to_owned));
            0
        }
        "Deposited" => deposited(change, number("amount")?)?,
        "Withdrawn" => -number("amount")?,
        "Charged" => -number("fee")?,
        other => return Err(format!("{other} is unknown")),
    };
    account
        .balance
        .set(account.balance.get().saturating_add(by));
    Ok(())
}

/// The amount that a deposit adds to the balance.
fn deposited(change: Change, amount: i64) -> Result<i64, String> {
    match (change, amount) {
        (Change::RefusesEvent, UNLUCKY) => Err(format!("a deposit of {UNLUCKY} brings bad luck")),
        (Change::TrapsOnEvent, UNLUCKY) => core::arch::wasm32::unreachable(),
        (Change::LoopsOnEvent, UNLUCKY) => loop {
            black_box(());
        },
        (Change::EatsMemoryOnEvent, UNLUCKY) => {
            let mut eaten = Vec::new();
            loop {
                eaten.push(black_box(vec![1_u8; 1 << 20]));
            }
        }
        (Change::OtherState, LUCKY) => Ok(LUCKY + 1),
        _ => Ok(amount),
    }
}
