//! Consumers as rows: what a store keeps of them, and what becomes of that.

pub mod rows;
pub mod rules;
