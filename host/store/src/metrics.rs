//! The names of this crate's metrics; `http` describes them.

/// A histogram: the number of appends that share a transaction.
pub const BATCH_SIZE: &str = "gavel_append_batch_size";

/// A gauge: the number of appends that are not answered yet. Updated with each batch.
pub const QUEUE: &str = "gavel_append_queue";

/// A gauge: the size of SQLite's write-ahead log, in bytes. Updated with each write.
pub const LOG_BYTES: &str = "gavel_sqlite_log_bytes";
