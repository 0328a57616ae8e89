//! The names of the metrics of delivery; `http` describes them.

/// Histogram: from the creation of an event until it is there for those who follow the log, in
/// seconds; of a page, its oldest event.
pub const TAIL_LAG_SECONDS: &str = "gavel_log_tail_lag_seconds";

/// Gauge: for how long a transaction that is left open has kept readers from what was committed
/// since; 0 when nothing is withheld.
pub const WITHHELD_SECONDS: &str = "gavel_log_withheld_seconds";
