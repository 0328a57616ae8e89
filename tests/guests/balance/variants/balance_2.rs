//! The view under the name `balance-2`.

balance::balance_view!("balance-2");
