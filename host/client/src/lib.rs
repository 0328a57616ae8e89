//! A client of a host: requests, answers, problems, and events as they come.
//!
//! It speaks the public HTTP API and knows nothing of a host's inside.

mod answer;
mod client;
mod error;
mod event_stream;
mod problem;

pub use answer::Answer;
pub use client::Client;
pub use error::{Error, Result};
pub use event_stream::{EventStream, Message};
pub use problem::Problem;
