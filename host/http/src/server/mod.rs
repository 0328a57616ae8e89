//! The server's own loop, since `axum::serve` sets no deadlines.
//!
//! **Invariants:** no connection is open without a deadline running, unless a request of it is being worked on; told to stop, the server
//! answers what it has let in, turns the rest away, and ends.

mod connection;
mod listen;
mod stall;
#[cfg(test)]
mod tests;
mod unread;

pub use listen::serve;
