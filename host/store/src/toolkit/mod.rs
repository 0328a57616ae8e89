//! What stores have in common that keep rows and judge by themselves: how appends are judged, who goes with whom, the rules of consumers, and
//! what is written, as values.
//!
//! No store has to use any of it: the contract is in the traits, and a database may keep all of its rules itself.

pub mod admit;
pub mod consumers;
pub mod group;
pub mod hold;
pub mod lookup;
mod passages;
mod snapshots;
pub mod writes;

pub use passages::Passages;
pub use snapshots::newest_of;
