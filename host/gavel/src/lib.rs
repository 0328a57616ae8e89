//! The command line: `gavel`, server and client in one binary.
//!
//! One file per command. Data goes to standard output, progress and logs to standard error; `-o
//! json` is for programs. The client commands speak the public HTTP API and nothing else: whatever
//! they do, `curl` can do.
//!
//! **Invariant:** a command ends with one of the six codes of [`Exit`], and text from a server or
//! module reaches a terminal only with its control characters escaped.

mod active;
mod answer;
mod arguments;
mod banner;
mod config;
mod deactivate;
mod deploy;
mod difference;
mod events;
mod exit;
mod following;
mod graph;
mod inspect;
mod lines;
mod logging;
mod logs;
mod module;
mod modules;
mod options;
mod output;
mod problem;
mod progress;
mod rehearsal;
mod rehearse;
mod report;
mod rollback;
mod rows;
mod run;
mod send;
mod serve;
mod shutdown;
mod state;
mod test;
#[cfg(test)]
mod test_server;
mod token;
mod verify;
mod views;
mod watch;
mod why;
mod wiring;

pub use arguments::{Arguments, Command};
pub use exit::Exit;
pub use options::{Connection, Format};
pub use output::Output;
pub use run::run;
