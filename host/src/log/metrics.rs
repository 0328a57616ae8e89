//! The names of what is measured here; `http` describes them.

/// Histogram: from the creation of an event until it is there for those who follow the log, in seconds; of a page, its oldest event.
pub const TAIL_LAG_SECONDS: &str = "gavel_log_tail_lag_seconds";

/// Gauge: wanted events that are not done, by namespace and consumer.
pub const CONSUMER_LAG: &str = "gavel_consumer_lag_events";

/// Gauge: age of the oldest of them, in seconds, by namespace and consumer.
pub const CONSUMER_LAG_SECONDS: &str = "gavel_consumer_lag_seconds";

/// Gauge: streams that are leased, by namespace and consumer.
pub const CONSUMER_IN_FLIGHT: &str = "gavel_consumer_in_flight";

/// Gauge: streams that are parked, by namespace and consumer.
pub const CONSUMER_PARKED: &str = "gavel_consumer_parked";

/// Gauge: 1 if a consumer is paused, else 0, by namespace and consumer.
pub const CONSUMER_PAUSED: &str = "gavel_consumer_paused";

/// Counter: deliveries by push, by namespace, consumer and outcome.
pub const PUSHES: &str = "gavel_push_deliveries_total";
