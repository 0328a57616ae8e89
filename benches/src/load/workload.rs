//! The requests of a load, and their expected answers.

use std::cell::Cell;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode};

use super::Tally;

/// Makes requests for one server.
#[derive(Debug, Clone)]
pub(crate) struct Requests {
    address: SocketAddr,
    host: HeaderValue,
}

impl Requests {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let host = HeaderValue::from_str(&address.to_string()).expect("an address is visible text");
        Self { address, host }
    }

    /// The address that the requests go to.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn get(&self, path: &str) -> Request<Full<Bytes>> {
        self.request(Method::GET, path, "application/json", Bytes::new())
    }

    pub(crate) fn put(&self, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
        self.request(Method::PUT, path, "application/json", body.into())
    }

    pub(crate) fn delete(&self, path: &str) -> Request<Full<Bytes>> {
        self.request(Method::DELETE, path, "application/json", Bytes::new())
    }

    pub(crate) fn post(&self, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
        self.request(Method::POST, path, "application/json", body.into())
    }

    /// # Panics
    ///
    /// When `path` is no path.
    pub(crate) fn request(
        &self,
        method: Method,
        path: &str,
        media_type: &'static str,
        body: Bytes,
    ) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().expect("our paths are paths");
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        request
    }
}

/// An endless list of requests, each for a number, and what a good answer is.
pub(crate) struct Workload {
    make: Box<dyn Fn(u64) -> Request<Full<Bytes>>>,
    next: Cell<u64>,
    expected: StatusCode,
    commands: u64,
    addresses: Vec<SocketAddr>,
    connections: Cell<usize>,
}

impl Workload {
    /// Requests that carry one command each and are to be answered with 200.
    pub(crate) fn new(
        requests: &Requests,
        make: impl Fn(&Requests, u64) -> Request<Full<Bytes>> + 'static,
    ) -> Self {
        let addresses = vec![requests.address()];
        let requests = requests.clone();
        Self {
            make: Box::new(move |number| make(&requests, number)),
            next: Cell::new(0),
            expected: StatusCode::OK,
            commands: 1,
            addresses,
            connections: Cell::new(0),
        }
    }

    /// Expects this status of the answers instead.
    pub(crate) fn expecting(self, expected: StatusCode) -> Self {
        Self { expected, ..self }
    }

    /// Counts each request as a batch of so many commands, all of which have to be carried out.
    pub(crate) fn of_batches(self, commands: u64) -> Self {
        Self { commands, ..self }
    }

    /// Sends every second connection's requests to this server.
    pub(crate) fn and_to(mut self, address: SocketAddr) -> Self {
        self.addresses.push(address);
        self
    }

    /// The address for the next connection.
    pub(super) fn address(&self) -> SocketAddr {
        let number = self.connections.replace(self.connections.get() + 1);
        self.addresses[number % self.addresses.len()]
    }

    pub(super) fn next(&self) -> Request<Full<Bytes>> {
        let number = self.next.get();
        self.next.set(number + 1);
        (self.make)(number)
    }

    /// Counts the answer to a request that took `latency`. Tells whether it was as expected.
    pub(super) fn judge(
        &self,
        answer: Result<(StatusCode, Bytes)>,
        latency: Duration,
        tally: &mut Tally,
    ) -> bool {
        match answer {
            Ok((status, _)) if status != self.expected => tally.refuse(status),
            Ok((_, body)) if self.commands > 1 && accepted(&body) != self.commands => {
                tally.refuse(StatusCode::MULTI_STATUS);
            }
            Ok(_) => {
                tally.accept(latency, self.commands);
                return true;
            }
            Err(_) => tally.broken += 1,
        }
        false
    }
}

impl fmt::Debug for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workload")
            .field("next", &self.next)
            .field("expected", &self.expected)
            .field("commands", &self.commands)
            .finish_non_exhaustive()
    }
}

/// Counts the commands of a batch that were carried out: only their results have this member.
fn accepted(body: &[u8]) -> u64 {
    let text = str::from_utf8(body).unwrap_or_default();
    text.matches("\"replayed\":").count() as u64
}

/// A number that looks random and depends on `number` alone (splitmix64), so that every run sends
/// the same.
pub(crate) fn scattered(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload() -> Workload {
        let requests = Requests::new(([127, 0, 0, 1], 1).into());
        Workload::new(&requests, |requests, number| {
            requests.get(&format!("/{number}"))
        })
    }

    #[test]
    fn requests_are_numbered() {
        let workload = workload();
        assert_eq!(workload.next().uri(), "/0");
        assert_eq!(workload.next().uri(), "/1");
    }

    #[test]
    fn a_batch_counts_only_if_all_of_it_was_carried_out() {
        let workload = workload().of_batches(2);
        let mut tally = Tally::default();
        let mut judge = |body: &'static str| {
            let answer = Ok((StatusCode::OK, Bytes::from_static(body.as_bytes())));
            workload.judge(answer, Duration::from_millis(1), &mut tally)
        };
        assert!(judge(
            r#"{"results":[{"replayed":false},{"replayed":false}]}"#
        ));
        assert!(!judge(r#"{"results":[{"replayed":false},{"title":"no"}]}"#));
        assert_eq!((tally.commands, tally.others[&207]), (2, 1));
    }
}
