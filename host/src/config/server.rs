//! How the host listens, and how much it takes from a client.

use std::net::{Ipv4Addr, SocketAddr};

use super::area::area;
use super::{KIB, MIB};

area! {
    /// How the host listens, and how much it takes from a client.
    pub struct Server in "server" {
        /// Address and port to listen on. Port 0 picks a free one, which the banner names.
        listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 4000));
        /// Largest body of a request, in bytes, uploads of modules aside.
        command_body_bytes: u64 = 256 * KIB, within KIB..=64 * MIB;
        /// Largest module that can be uploaded, in bytes.
        module_body_bytes: u64 = 16 * MIB, within KIB..=256 * MIB;
        /// Longest time for the headers of a request to arrive, in milliseconds.
        header_deadline_ms: u64 = 10_000, within 100..=600_000;
        /// Longest time for the body of a request to arrive, in milliseconds.
        body_deadline_ms: u64 = 30_000, within 100..=3_600_000;
        /// Longest time a connection may stay open between two requests, in milliseconds.
        idle_deadline_ms: u64 = 75_000, within 100..=3_600_000;
        /// Most connections at one time; more wait to be accepted.
        max_connections: u64 = 4096, within 1..=1_000_000;
        /// Longest time for open requests to be answered after SIGTERM, in milliseconds.
        drain_deadline_ms: u64 = 30_000, within 0..=600_000;
    }
}
