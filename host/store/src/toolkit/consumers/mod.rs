//! Consumers as rows, and the rules by which the rows change.

pub mod rows;
pub mod rules;
