//! How the host listens, and how much it takes from a client.

use std::net::{Ipv4Addr, SocketAddr};

use super::area::area;
use super::{GIB, HostName, KIB, MIB, Origin};

area! {
    /// How the host listens, and how much it takes from a client.
    pub struct Server in "server" {
        /// Address and port to listen on. Port 0 picks a free one, which the banner names.
        listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 4000));
        /// Hosts, without ports, that requests may name in `Host` while no token is configured, besides this machine and the address listened on.
        allowed_hosts: Vec<HostName> = Vec::new();
        /// Where browsers see this host, as in `https://gavel.example`, if not at `http://` and what they name in `Host`.
        public_url: Option<Origin> = None;
        /// Origins of other web pages that may use the API (CORS).
        cors_origins: Vec<Origin> = Vec::new();
        /// Most connections at one time; others wait in the queue of the operating system.
        max_connections: u64 = 16_384, within 1..=1_000_000;
        /// Most requests that are worked on at one time; others are answered with 503.
        max_requests_in_flight: u64 = 1_024, within 1..=1_000_000;
        /// Most subscriptions to the log, verifications, and workers of consumers that ask for events, at one time; others are answered with 503.
        max_subscriptions: u64 = 10_000, within 1..=1_000_000;
        /// Largest line and headers of a request together, in bytes.
        header_bytes: u64 = 64 * KIB, within 8 * KIB..=MIB;
        /// Longest time until the headers of the next request have arrived, and so to keep an idle connection, in milliseconds.
        header_deadline_ms: u64 = 10_000, within 100..=3_600_000;
        /// Largest body of a request, in bytes, modules aside.
        command_body_bytes: u64 = 256 * KIB, within KIB..=64 * MIB;
        /// Longest time for such a body to arrive, in milliseconds.
        command_body_deadline_ms: u64 = 10_000, within 100..=3_600_000;
        /// Most bytes of such bodies that are arriving, of all connections together; a body that does not fit is answered with 503.
        bodies_bytes: u64 = 256 * MIB, within 64 * MIB..=64 * GIB;
        /// Largest module that can be uploaded, in bytes.
        module_body_bytes: u64 = 16 * MIB, within KIB..=256 * MIB;
        /// Longest time for a module to arrive, in milliseconds.
        module_body_deadline_ms: u64 = 60_000, within 100..=3_600_000;
        /// Longest time that a client may refuse to take the next bytes of an answer, in milliseconds.
        write_deadline_ms: u64 = 30_000, within 100..=3_600_000;
        /// Longest time for open requests to be answered after SIGTERM, in milliseconds.
        drain_deadline_ms: u64 = 8_000, within 0..=600_000;
    }
}
