//! What the host may do as a client: delivering events to those who asked for it.

use super::area::area;

area! {
    /// How events are pushed to the URLs of consumers.
    pub struct Push in "push" {
        /// Longest time for a receiver to answer, in milliseconds.
        deadline_ms: u64 = 30_000, within 100..=600_000;
        /// Whether events may be pushed to addresses that are not public, such as 127.0.0.1 or 10.0.0.1.
        allow_private_addresses: bool = true;
    }
}
