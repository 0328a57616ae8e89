//! Commands and events between their name and JSON data on one side, and a Rust enum on the other.
//!
//! Both directions go straight between text and the enum, with no tree of JSON values in between:
//! this is the hot path.

mod decode;
mod encode;

pub(crate) use decode::decode;
pub(crate) use encode::{Encoded, encode};
