//! The listener, and the limits of connections and requests.

use std::net::{Ipv4Addr, SocketAddr};

use super::area::area;
use super::{GIB, HostName, KIB, MIB, Origin};

area! {
    /// The listener, and the limits of connections and requests.
    pub struct Server in "server" {
        /// Address and port to listen on. Port 0 picks a free one, which the banner names.
        listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 4000));
        /// Hosts, without ports, that requests may name in `Host` while no token is configured, in
        /// addition to this machine and the address listened on.
        allowed_hosts: Vec<HostName> = Vec::new();
        /// The origin of this host for browsers, as in `https://gavel.example`; by default
        /// `http://` and the host in `Host`.
        public_url: Option<Origin> = None;
        /// Origins of other web pages that may use the API (CORS).
        cors_origins: Vec<Origin> = Vec::new();
        /// The most connections at one time; others wait in the queue of the operating system.
        max_connections: u64 = 16_384, within 1..=1_000_000;
        /// The most requests that are processed at one time; others are answered with 503.
        max_requests_in_flight: u64 = 1_024, within 1..=1_000_000;
        /// The most subscriptions to the log, feeds of rows, verifications, and requests of workers
        /// and senders that wait, all together at one time; others are answered with 503.
        max_subscriptions: u64 = 10_000, within 1..=1_000_000;
        /// The largest line and headers of a request together, in bytes.
        header_bytes: u64 = 64 * KIB, within 8 * KIB..=MIB;
        /// The longest time until the headers of the next request have arrived, in milliseconds; an
        /// idle connection is closed after it.
        header_deadline_ms: u64 = 10_000, within 100..=3_600_000;
        /// The largest body of a request, in bytes, except for modules.
        command_body_bytes: u64 = 256 * KIB, within KIB..=64 * MIB;
        /// The longest time for such a body to arrive, in milliseconds.
        command_body_deadline_ms: u64 = 10_000, within 100..=3_600_000;
        /// The most bytes of such bodies that are arriving on all connections together; a body that
        /// does not fit is answered with 503.
        bodies_bytes: u64 = 256 * MIB, within 64 * MIB..=64 * GIB;
        /// The largest module that can be uploaded, in bytes.
        module_body_bytes: u64 = 16 * MIB, within KIB..=256 * MIB;
        /// The longest time for a module to arrive, in milliseconds.
        module_body_deadline_ms: u64 = 60_000, within 100..=3_600_000;
        /// The longest time that a client may refuse to take the next bytes of an answer, in
        /// milliseconds.
        write_deadline_ms: u64 = 30_000, within 100..=3_600_000;
        /// The longest time to answer open requests after SIGTERM, in milliseconds.
        drain_deadline_ms: u64 = 8_000, within 0..=600_000;
    }
}
