//! Conversion of commands and events between a name with JSON data, and a Rust enum.
//!
//! Both directions go straight between text and the enum, with no tree of JSON values in between:
//! this is the hot path.

mod decode;
mod encode;

pub(crate) use decode::decode;
pub(crate) use encode::{Encoded, encode};
