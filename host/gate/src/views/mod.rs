//! The gate of views: a candidate's rows are built beside those that people read, and compared with
//! them before the pointer moves.
//!
//! ```text
//! examine.rs    the steps in order
//!   build.rs    the whole log into a table of its own, which follows the log from then on
//!   compare.rs  the two tables, row by row, and again what has changed since
//!   specs.rs, repeated.rs
//! swap.rs       the last comparison, while the tables are held, and the pointers
//! found.rs, comparison.rs   what the steps find, and what a comparison has seen
//! upkeep.rs     the comparisons that a host keeps, as far as the tables have come
//! ```

mod build;
mod compare;
mod comparison;
mod examine;
mod found;
mod repeated;
mod specs;
mod subject;
mod swap;
mod upkeep;

pub(super) use comparison::Comparisons;
pub(super) use examine::ViewLook;
pub use found::{
    Built, ChangedPointer, ColumnSum, RowCost, RowDifferences, RowExample, RowRepetition,
};
pub(super) use specs::run_all;
pub(super) use subject::ViewSubject;
