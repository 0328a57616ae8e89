//! Views: the trait that an author implements, what it is told of events, and how rows are folded.

mod fold;
mod foreign;
mod key;
mod query;
mod recorded;
mod rules;
mod timestamp;

pub use fold::{FoldError, StoredRow, fold, keys};
pub use foreign::{Foreign, ForeignEvent, event_names, read_of, reads_of};
pub use key::Key;
pub use query::QueryItem;
pub use recorded::{EventText, Recorded};
pub use rules::{Row, Sources, View, ViewModule};
pub use timestamp::Timestamp;
