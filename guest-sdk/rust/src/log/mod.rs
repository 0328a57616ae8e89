//! The log as views and processes read it: events of deciders, what is stored with them, the keys
//! that they name, and conditions on them.

mod foreign;
mod key;
mod query;
mod recorded;
mod timestamp;

pub use foreign::{Foreign, ForeignEvent, event_names, read_of, reads_of};
pub use key::Key;
pub(crate) use key::keys;
pub use query::{QueryItem, Sources};
pub(crate) use recorded::read;
pub use recorded::{EventText, FoldError, Recorded};
pub use timestamp::Timestamp;
