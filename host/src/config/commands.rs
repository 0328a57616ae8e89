//! How commands are run.

use super::area::area;

area! {
    /// How commands are run.
    pub struct Commands in "commands" {
        /// How often a command without an expected version is decided again after it lost a race.
        conflict_retries: u32 = 10, within 0..=1000;
    }
}
