//! The server's own loop, since `axum::serve` sets no deadlines.
//!
//! **Invariants:** no connection is open without a running deadline, unless a request of it is
//! being processed; once asked to stop, the server answers the requests that it has accepted,
//! refuses all others, and ends.

mod answer_body;
mod connection;
mod listen;
#[cfg(test)]
mod tests;
mod unread;

pub use listen::serve;
