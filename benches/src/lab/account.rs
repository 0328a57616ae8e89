//! The workload: accounts that are opened once and take deposits. Gavel and its peers get the same
//! requests.

use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::HeaderValue;

use crate::load::{Requests, Workload, scattered};

/// A command to an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommandKind {
    /// The first one of each account.
    Open,
    /// Adds an event.
    Deposit,
    /// A deposit of zero, which is always rejected.
    DepositNothing,
}

/// The id of an account.
pub(crate) fn id(number: u64) -> String {
    format!("acc-{number}")
}

/// The body of a command.
fn body(kind: CommandKind) -> &'static str {
    match kind {
        CommandKind::Open => r#"{"command":"Open","data":{"owner":"ann"}}"#,
        CommandKind::Deposit => r#"{"command":"Deposit","data":{"amount":1}}"#,
        CommandKind::DepositNothing => r#"{"command":"Deposit","data":{"amount":0}}"#,
    }
}

/// The request of a single command.
pub(crate) fn command(requests: &Requests, id: &str, kind: CommandKind) -> Request<Full<Bytes>> {
    let path = format!("/v1/deciders/account/{id}/commands");
    requests.post(&path, Bytes::from_static(body(kind).as_bytes()))
}

/// Deposits to accounts that seem to be picked at random out of `accounts`.
pub(crate) fn deposits(requests: &Requests, accounts: u64) -> Workload {
    Workload::new(requests, move |requests, number| {
        command(
            requests,
            &id(scattered(number) % accounts),
            CommandKind::Deposit,
        )
    })
}

/// The same, each with an `Idempotency-Key` of its own.
pub(crate) fn keyed_deposits(requests: &Requests, accounts: u64) -> Workload {
    Workload::new(requests, move |requests, number| {
        let account = id(scattered(number) % accounts);
        let mut request = command(requests, &account, CommandKind::Deposit);
        let key = HeaderValue::from_str(&key(number)).expect("a key is visible text");
        request.headers_mut().insert("idempotency-key", key);
        request
    })
}

/// A UUID (version 4) that looks random.
fn key(number: u64) -> String {
    let (high, low) = (scattered(number), scattered(!number));
    format!(
        "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xfff,
        0x8000 | ((low >> 48) & 0x3fff),
        low & 0xffff_ffff_ffff
    )
}

/// Batches of `size` deposits to different accounts.
pub(crate) fn batch_of_deposits(requests: &Requests, accounts: u64, size: u64) -> Workload {
    let workload = Workload::new(requests, move |requests, number| {
        let ids = (0..size).map(|item| scattered(number * size + item) % accounts);
        requests.post("/v1/commands", batch(ids.map(id), CommandKind::Deposit))
    });
    workload.of_batches(size)
}

/// The body of a batch of the same command to each of these accounts.
pub(crate) fn batch(ids: impl Iterator<Item = String>, kind: CommandKind) -> String {
    let command = body(kind).trim_start_matches('{');
    let items: Vec<_> = ids
        .map(|id| format!(r#"{{"decider":"account","id":"{id}",{command}"#))
        .collect();
    format!(r#"{{"atomic":false,"commands":[{}]}}"#, items.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_json_and_names_each_account() {
        let text = batch((0..2).map(id), CommandKind::Deposit);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["commands"][1]["id"], "acc-1");
        assert_eq!(json["commands"][1]["command"], "Deposit");
        assert_eq!(json["commands"][1]["data"]["amount"], 1);
    }

    #[test]
    fn a_key_is_a_uuid() {
        let key = key(7);
        let lengths: Vec<_> = key.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{key}");
        assert_eq!(key.as_bytes()[14], b'4');
        assert!(matches!(key.as_bytes()[19], b'8'..=b'b'), "{key}");
    }
}
