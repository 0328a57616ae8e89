//! The parts that stores share if they keep rows and judge by themselves: the checks of appends,
//! the grouping of appends into batches, the rules of consumers, and the rows to write, as values.
//!
//! No store has to use any of it: the contract is in the traits, and a database may keep all of its
//! rules itself.

pub mod admit;
pub mod consumers;
pub mod group;
pub mod hold;
pub mod lean;
pub mod lookup;
pub mod orders;
pub mod roster_holds;
pub mod row_scans;
mod segments;
mod snapshots;
pub mod view_names;
pub mod writes;

pub use segments::Segments;
pub use snapshots::newest_of;
