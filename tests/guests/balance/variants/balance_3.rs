//! The view under the name `balance-3`.

balance::balance_view!("balance-3");
