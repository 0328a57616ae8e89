//! The names of what is measured here; `http` describes them.

/// Counter: appends of commands that lost a race.
pub const CONFLICTS: &str = "gavel_append_conflicts_total";

/// Counter: commands that found the state of their stream in memory.
pub const HOT_HITS: &str = "gavel_hot_hits_total";

/// Counter: streams that were loaded for a command.
pub const HOT_LOADS: &str = "gavel_hot_loads_total";

/// Counter: states that were let go of to make room for others.
pub const HOT_EVICTIONS: &str = "gavel_hot_evictions_total";

/// Gauge: streams in memory.
pub const HOT_STREAMS: &str = "gavel_hot_streams";

/// Gauge: linear memory of the instances in which their states live, in bytes.
pub const HOT_BYTES: &str = "gavel_hot_bytes";
