//! The state.

use std::cell::{Cell, RefCell};

use base::{GuestState, State};
use serde_json::{Value, json};

/// An account. It is open once it has an owner.
#[derive(Debug, Default)]
pub struct Account {
    pub(crate) owner: RefCell<Option<String>>,
    pub(crate) balance: Cell<i64>,
}

impl GuestState for Account {
    fn initial() -> State {
        State::new(Self::default())
    }

    fn restore(snapshot: String) -> Result<State, String> {
        let state: Value = serde_json::from_str(&snapshot).map_err(|error| error.to_string())?;
        let balance = state["balance"].as_i64().ok_or("a balance is a number")?;
        let owner = state["owner"].as_str().map(str::to_owned);
        Ok(State::new(Self {
            owner: RefCell::new(owner),
            balance: Cell::new(balance),
        }))
    }

    fn snapshot(&self) -> String {
        let owner = &*self.owner.borrow();
        json!({ "open": owner.is_some(), "balance": self.balance.get(), "owner": owner })
            .to_string()
    }
}
