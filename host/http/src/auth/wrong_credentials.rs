//! The log of wrong credentials.

use std::mem;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::ConnectInfo;
use axum::http::Extensions;

/// Counts wrong credentials, so that a sender who tries many of them does not fill the log.
#[derive(Debug, Default)]
pub(crate) struct WrongCredentials(Mutex<Unlogged>);

#[derive(Debug, Default)]
struct Unlogged {
    count: u64,
    last_line: Option<Instant>,
}

impl WrongCredentials {
    /// The time between two lines in the log.
    const PERIOD: Duration = Duration::from_secs(1);

    /// Logs that a credential was refused, or leaves that to a later line.
    pub(crate) fn record(&self, sender: &Extensions) {
        if let Some(count) = self.count(Instant::now()) {
            let peer = sender.get::<ConnectInfo<SocketAddr>>();
            tracing::warn!(
                peer.address = peer.map(|ConnectInfo(peer)| peer.to_string()),
                count,
                "wrong credentials were sent, most recently by this peer"
            );
        }
    }

    /// Counts one. Gives how many there were since the last line, when it is time for another.
    fn count(&self, now: Instant) -> Option<u64> {
        let mut unlogged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        unlogged.count = unlogged.count.saturating_add(1);
        let is_soon = |line| now.saturating_duration_since(line) < Self::PERIOD;
        if unlogged.last_line.is_some_and(is_soon) {
            return None;
        }
        unlogged.last_line = Some(now);
        Some(mem::take(&mut unlogged.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_credentials_are_logged_once_a_second_and_all_are_counted() {
        let wrong = WrongCredentials::default();
        let begin = Instant::now();
        assert_eq!(wrong.count(begin), Some(1));
        assert_eq!(wrong.count(begin), None);
        let end = begin + WrongCredentials::PERIOD;
        assert_eq!(wrong.count(end - Duration::from_nanos(1)), None);
        assert_eq!(wrong.count(end), Some(3));
        assert_eq!(wrong.count(end + WrongCredentials::PERIOD), Some(1));
    }
}
