//! The foundation of the end-to-end tests: the real `gavel` binary as a process, a store of each
//! kind, and a client.
//!
//! Nothing here reaches into the host: it is started, killed and spoken to from outside, as a user
//! would. Whatever goes wrong is a panic that says what was expected; a client checks of *every*
//! answer that it carries a `Request-Id` and that `/openapi.json` documents it.

mod answer;
mod binary;
mod cases;
mod cli;
mod client;
mod cluster;
mod consumer;
mod event;
mod former;
mod history;
mod host;
mod modules;
mod openapi;
mod receiver;
mod store;
mod stream;
mod view;
mod wait;

pub mod postgres;

pub use answer::Answer;
pub use binary::idle_compiler;
pub use cli::CliOutput;
pub use client::{Client, Request};
pub use cluster::Cluster;
pub use consumer::Consumer;
pub use event::{Accepted, Event};
pub use former::leave_counter_of_former_contract;
pub use history::assert_sound;
pub use host::Host;
pub use modules::{COUNTER, component, revision, with_manifest};
pub use openapi::Document;
pub use receiver::{Delivery, Receiver};
pub use store::{Backend, Store};
pub use stream::{CommandRequest, Stream};
pub use view::View;
pub use wait::{LIMIT, eventually};
