//! How many consumers there may be.

use super::area::area;

area! {
    /// How many consumers there may be.
    pub struct Consumers in "consumers" {
        /// Most consumers of one namespace that are made through the API.
        per_namespace: u32 = 1_000, within 1..=1_000_000;
    }
}
