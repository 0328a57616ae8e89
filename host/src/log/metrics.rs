//! The names of what is measured here; `http` describes them.

/// Histogram: from the creation of an event until it is there for those who follow the log, in seconds; of a page, its oldest event.
pub const TAIL_LAG_SECONDS: &str = "gavel_log_tail_lag_seconds";
