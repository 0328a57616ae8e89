//! Views: the trait that an author implements, and how rows are folded.

mod fold;
mod rules;

pub use fold::{StoredRow, fold, keys};
pub use rules::{Row, View, ViewModule};
