//! The load driver: requests over kept-alive HTTP/1.1 connections, in a closed or an open loop.
//!
//! **Closed loop**: each of N connections sends its next request when the last one is answered. It
//! finds the throughput, and hides stalls. **Open loop**: requests are due at a given rate whatever
//! the answers do, and a latency counts from the moment at which the request was due, so that a
//! stall is seen in every request that it held up.

mod closed;
mod connection;
mod feed;
mod open;
mod schedule;
mod tally;
mod workload;

pub(crate) use closed::{Stop, closed};
pub(crate) use connection::Connection;
pub(crate) use feed::{Feed, stuck_reader};
pub(crate) use open::{OpenLoop, open};
pub(crate) use tally::{Tally, percentile_ms};
pub(crate) use workload::{Requests, Workload, scattered};
