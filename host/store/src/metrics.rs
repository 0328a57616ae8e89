//! The names of what is measured here; `http` describes them.

/// Histogram: how many appends share a transaction.
pub const BATCH_SIZE: &str = "gavel_append_batch_size";

/// Gauge: how many appends are not answered yet. Brought up to date with each batch.
pub const QUEUE: &str = "gavel_append_queue";
