//! The rows: an account, its balance, and when it changed last.

pub use gavel::{JsonSchema, Recorded, Row, Timestamp, View, view};
pub use serde::{Deserialize, Serialize};

#[derive(Deserialize, gavel::Foreign)]
#[foreign(decider = "account")]
pub enum AccountEvent {
    Opened { owner: String },
    Deposited { amount: u64 },
    Withdrawn { amount: u64 },
    Closed,
}

/// A view of this name.
#[macro_export]
macro_rules! balance_view {
    ($name:literal) => {
        use $crate::{AccountEvent, Recorded, Row, Timestamp, View};

        #[derive(Default, $crate::Serialize, $crate::Deserialize, $crate::JsonSchema)]
        struct BalanceRow {
            #[index(changed_at)]
            owner: String,
            #[index]
            balance: i64,
            #[index]
            changed_at: Timestamp,
        }

        #[$crate::view(name = $name, key = stream_id)]
        impl View for BalanceRow {
            type Event = AccountEvent;
            fn evolve(&mut self, event: &Recorded<AccountEvent>) -> Row {
                self.changed_at = event.created_at();
                match &event.event {
                    AccountEvent::Opened { owner } => self.owner.clone_from(owner),
                    AccountEvent::Deposited { amount } => self.balance += *amount as i64,
                    AccountEvent::Withdrawn { amount } => self.balance -= *amount as i64,
                    AccountEvent::Closed => return Row::End,
                }
                Row::Keep
            }
        }
    };
}
