//! The settings of views.

use super::area::area;
use super::{KIB, MIB, StoreUrl};

area! {
    /// The settings of views.
    pub struct Views in "views" {
        /// The PostgreSQL database of the rows; by default rows are kept beside the events.
        store: Option<StoreUrl> = None;
        /// The most rows that one event may change; an event that names more is parked.
        keys_per_event: u64 = 1_000, within 1..=100_000;
        /// The largest row in bytes; a row that grows beyond it is parked.
        row_bytes: u64 = 256 * KIB, within KIB..=MIB;
        /// The most streams and tags that `sources` may name for a row.
        sources_per_row: u64 = 100, within 1..=1_000;
        /// The most events that one answer reads to fold a row anew: `why`, `_at`, `_module` and
        /// `_fresh`.
        history_events: u64 = 100_000, within 1..=10_000_000;
        /// Milliseconds that a read waits for events that it is to show.
        wait_ms: u64 = 5_000, within 1..=60_000;
        /// Seconds for which the rows of a module that is not active are kept, and follow the log.
        keep_previous_seconds: u64 = 24 * 60 * 60, within 1..=31_536_000;
        /// The most events that a feed of rows may be behind; beyond, it sends its rows anew.
        feed_events: u64 = 100_000, within 100..=100_000_000;
    }
}
