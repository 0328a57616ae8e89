//! The audit log: all changes with their authors, and all refused credentials.

use std::mem;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, Request};
use axum::http::header::LOCATION;
use axum::http::{Extensions, Method};
use axum::middleware::Next;
use axum::response::Response;
use gavel_model::Namespace;

use crate::auth::Actor;
use crate::extract::namespace;

/// Lets a request through, and logs the change that it has made, with who has made it; also when
/// its sender hangs up: the change may be made all the same.
pub(crate) async fn record(request: Request, next: Next) -> Response {
    let mut change = AuditedChange {
        actor: request.extensions().get::<Actor>().cloned(),
        namespace: namespace(request.headers()).ok(),
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
        is_answered: false,
    };
    let response = next.run(request).await;
    change.is_answered = true;
    if response.status().is_success() {
        let location = response.headers().get(LOCATION);
        change.tell(
            location.and_then(|location| location.to_str().ok()),
            "a change was made",
        );
    }
    response
}

/// A requested change.
struct AuditedChange {
    actor: Option<Actor>,
    namespace: Option<Namespace>,
    method: Method,
    path: String,
    /// True once the outcome is known.
    is_answered: bool,
}

impl AuditedChange {
    fn tell(&self, location: Option<&str>, message: &str) {
        tracing::info!(
            actor = self.actor.as_ref().map(Actor::name),
            namespace = self.namespace.as_ref().map(Namespace::as_str),
            http.method = %self.method,
            http.path = self.path,
            http.location = location,
            "{message}"
        );
    }
}

impl Drop for AuditedChange {
    fn drop(&mut self) {
        if !self.is_answered {
            self.tell(
                None,
                "a change may have been made: its sender did not wait for the answer",
            );
        }
    }
}

/// Counts wrong credentials, so that a sender who tries many of them does not fill the log.
#[derive(Debug, Default)]
pub(crate) struct WrongCredentials(Mutex<Untold>);

#[derive(Debug, Default)]
struct Untold {
    count: u64,
    last_told: Option<Instant>,
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
        let mut untold = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        untold.count = untold.count.saturating_add(1);
        let is_soon = |told| now.saturating_duration_since(told) < Self::PERIOD;
        if untold.last_told.is_some_and(is_soon) {
            return None;
        }
        untold.last_told = Some(now);
        Some(mem::take(&mut untold.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_credentials_are_told_of_once_a_second_and_all_are_counted() {
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
