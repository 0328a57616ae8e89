//! The JSON bodies and the queries of the HTTP API.
//!
//! Answers borrow from the values that they show, and stored JSON is sent as the very text that is
//! stored. Bodies and queries refuse unknown members.

mod accept;
mod command;
mod consumer;
mod decider;
mod event;
mod feed;
mod graph;
mod module;
mod operations;
mod output;
mod problem;
mod read;
mod rehearsal;
mod stream;
mod view;
mod why;

pub use accept::*;
pub use command::*;
pub use consumer::*;
pub use decider::*;
pub use event::*;
pub use feed::*;
pub use graph::*;
pub use module::*;
pub use operations::*;
pub use output::*;
pub use problem::*;
pub use read::*;
pub use rehearsal::*;
pub use stream::*;
pub use view::*;
pub use why::*;
