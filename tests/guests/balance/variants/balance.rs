//! The view under the name `balance`.

balance::balance_view!("balance");
