//! Every limit that the server keeps. The defaults are those of [`crate::config::Server`].

use std::time::Duration;

use crate::config::{Auth, Server, Token};

/// Bounds on connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// The longest a connection may take from being ready for a request to having sent its whole header, and so the longest that an
    /// idle connection is kept. Default: 10 s.
    pub header_timeout: Duration,
    /// The longest that a client may refuse to take the next bytes of an answer. Default: 30 s.
    pub write_timeout: Duration,
    /// The most bytes of a request's line and header together. At least 8192. Default: 64 KiB.
    pub header_limit_bytes: usize,
    /// The most connections at a time; others wait in the queue of the operating system. Default: 16,384.
    pub max_connections: usize,
    /// The longest that requests may go on after the server was told to stop. Default: 8 s.
    pub drain_timeout: Duration,
}

impl From<&Server> for ServerSettings {
    fn from(server: &Server) -> Self {
        Self {
            header_timeout: Duration::from_millis(server.header_deadline_ms),
            write_timeout: Duration::from_millis(server.write_deadline_ms),
            header_limit_bytes: count(server.header_bytes),
            max_connections: count(server.max_connections),
            drain_timeout: Duration::from_millis(server.drain_deadline_ms),
        }
    }
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self::from(&Server::default())
    }
}

/// Bounds on one kind of request body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimit {
    /// The most bytes; inclusive.
    pub bytes: usize,
    /// The longest that reading it may take.
    pub timeout: Duration,
}

/// Bounds on requests, and who may make them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiSettings {
    /// For everything that is JSON. Default: 256 KiB within 10 s.
    pub command_body: BodyLimit,
    /// For modules. Default: 16 MiB within 60 s.
    pub module_body: BodyLimit,
    /// The most requests that are worked on at a time; others are turned away at once. Default: 1024.
    pub max_requests_in_flight: usize,
    /// Who may make requests. Default: none, which lets everybody do everything.
    pub tokens: Vec<Token>,
}

impl ApiSettings {
    /// The bounds that `server` sets, for those whom `auth` lets in.
    #[must_use]
    pub fn new(server: &Server, auth: &Auth) -> Self {
        let limit = |bytes, deadline_ms| BodyLimit {
            bytes: count(bytes),
            timeout: Duration::from_millis(deadline_ms),
        };
        Self {
            command_body: limit(server.command_body_bytes, server.command_body_deadline_ms),
            module_body: limit(server.module_body_bytes, server.module_body_deadline_ms),
            max_requests_in_flight: count(server.max_requests_in_flight),
            tokens: auth.tokens.clone(),
        }
    }
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self::new(&Server::default(), &Auth::default())
    }
}

/// A setting as a number of things in memory.
fn count(setting: u64) -> usize {
    usize::try_from(setting).unwrap_or(usize::MAX)
}
