//! Every limit that the server keeps, with its default.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use gavel_config::{HostName, Origin};

use crate::auth::tokens::Tokens;

/// Bounds on connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// The longest a connection may take from being ready for a request to having sent its whole
    /// header, and so the longest that an idle connection is kept. Default: 10 s.
    pub header_timeout: Duration,
    /// The longest that a client may refuse to take the next bytes of an answer. Default: 30 s.
    pub write_timeout: Duration,
    /// The most bytes of a request's line and header together. At least 8192. Default: 64 KiB.
    pub header_limit_bytes: usize,
    /// The most connections at a time; others wait in the queue of the operating system. Default:
    /// 16,384.
    pub max_connections: usize,
    /// The longest time that open requests may take after the start of a drain. Default: 8 s.
    pub drain_timeout: Duration,
    /// The longest time that the rest of an unwanted body is read and dropped, so that the client
    /// can read its answer. Default: 2 s.
    pub linger_timeout: Duration,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            header_limit_bytes: 64 * 1024,
            max_connections: 16_384,
            drain_timeout: Duration::from_secs(8),
            linger_timeout: Duration::from_secs(2),
        }
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
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// The limit of JSON bodies. Default: 256 KiB within 10 s.
    pub command_body: BodyLimit,
    /// The most bytes of bodies that are arriving, of all connections together and modules aside; a
    /// body that does not fit is turned away. Default: 256 MiB.
    pub bodies_bytes: usize,
    /// The limit of modules. Default: 16 MiB within 60 s.
    pub module_body: BodyLimit,
    /// The most requests that are worked on at a time; others are turned away at once. Default:
    /// 1024.
    pub max_requests_in_flight: usize,
    /// The most subscriptions to the log, feeds of rows, verifications, workers that ask for
    /// events, and senders that wait for views, at a time; others are turned away at once. Default:
    /// 10,000.
    pub max_subscriptions: usize,
    /// The most consumers of a namespace; further ones are not made. Default: 1,000.
    pub consumers_per_namespace: u32,
    /// The longest silence of a subscription before it sends a sign of life. Default: 15 s.
    pub keep_alive: Duration,
    /// The tokens that requests may carry. Default: none, and everybody may do everything.
    pub tokens: Tokens,
    /// The address that is listened on. Default: 127.0.0.1.
    pub listen: IpAddr,
    /// Hosts that requests may name besides this machine, while there are no tokens. Default: none.
    pub allowed_hosts: Vec<HostName>,
    /// The origin of the host for browsers. Default: `http://` and the host in `Host`.
    pub public_url: Option<Origin>,
    /// Origins of other web pages that may make requests. Default: none.
    pub cors_origins: Vec<Origin>,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            command_body: BodyLimit {
                bytes: 256 * 1024,
                timeout: Duration::from_secs(10),
            },
            bodies_bytes: 256 * 1024 * 1024,
            module_body: BodyLimit {
                bytes: 16 * 1024 * 1024,
                timeout: Duration::from_secs(60),
            },
            max_requests_in_flight: 1024,
            max_subscriptions: 10_000,
            consumers_per_namespace: 1_000,
            keep_alive: Duration::from_secs(15),
            tokens: Tokens::default(),
            listen: Ipv4Addr::LOCALHOST.into(),
            allowed_hosts: Vec::new(),
            public_url: None,
            cors_origins: Vec::new(),
        }
    }
}
