//! Server-sent events of a feed of rows, beside [`Row`](super::Row) and
//! [`CaughtUp`](super::CaughtUp).

use gavel_engine::views as engine;
use gavel_model::{ModuleDigest, RowKey};
use serde::Serialize;

use super::text;

/// A key without a row that fulfils the conditions.
#[derive(Debug, Serialize)]
pub struct DeletedRow<'a> {
    key: &'a str,
}

impl<'a> From<&'a RowKey> for DeletedRow<'a> {
    fn from(key: &'a RowKey) -> Self {
        Self { key: key.as_str() }
    }
}

/// All rows that were sent before are void.
#[derive(Debug, Serialize)]
pub struct Resync {
    reason: &'static str,
    /// The module whose rows follow.
    #[serde(serialize_with = "text")]
    module: ModuleDigest,
}

impl Resync {
    /// Says why, and whose rows follow.
    pub fn new(reason: engine::ResyncReason, module: ModuleDigest) -> Self {
        use engine::ResyncReason as Reason;
        let reason = match reason {
            Reason::Module => "module",
            Reason::Rows => "rows",
            Reason::Behind => "behind",
            Reason::Lost => "lost",
        };
        Self { reason, module }
    }
}
