//! The gate of views: a candidate's rows are built beside those that people read, and compared with
//! them before the pointer moves.
//!
//! ```text
//! examine.rs    the steps in order
//!   build.rs    the whole log into a table of its own, which follows the log from then on
//!   compare.rs  the two tables, row by row, and again what has changed since
//!   specs.rs, repeated.rs
//! swap.rs       the last comparison, while both tables are held, and the pointer
//! found.rs, comparison.rs   what the steps find, and what a comparison has seen
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

pub(super) use comparison::Comparisons;
pub use found::{
    Built, ChangedPointer, ColumnSum, RowCost, RowDifferences, RowExample, RowRepetition,
};
pub(super) use specs::run_all;
