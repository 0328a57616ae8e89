//! The names of the metrics of views; `http` describes them. Each is by namespace, view and role of
//! the table: `active` or `candidate`, on the host that has its runner.

/// Gauge: events that the rows do not show yet, of at most 1,000 that are looked at.
pub const LAG_EVENTS: &str = "gavel_view_lag_events";

/// Gauge: the age of the oldest of these events, in seconds.
pub const LAG_SECONDS: &str = "gavel_view_lag_seconds";

/// Gauge: rows that wait at an event which they cannot fold.
pub const PARKED_ROWS: &str = "gavel_view_parked_rows";

/// Gauge: events whose rows cannot be told.
pub const PARKED_EVENTS: &str = "gavel_view_parked_events";

/// Gauge: 1 while the rows have not moved for 10 seconds although there is work, by reason; else 0.
pub const STALLED: &str = "gavel_view_stalled";

/// Counter: events that were folded or parked.
pub const EVENTS: &str = "gavel_view_events_total";

/// Counter: rows that were written, or have ended.
pub const ROWS: &str = "gavel_view_rows_written_total";

/// Gauge, by namespace and view: the time that the newest build of a table took, in seconds.
pub const BUILD_SECONDS: &str = "gavel_view_build_seconds";
