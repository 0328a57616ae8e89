//! The limits for consumers.

use super::area::area;

area! {
    /// The limits for consumers.
    pub struct Consumers in "consumers" {
        /// The most consumers of one namespace that can be created through the API.
        per_namespace: u32 = 1_000, within 1..=1_000_000;
    }
}
