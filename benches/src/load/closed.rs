//! The closed loop: each connection waits for its answer before it sends the next request.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Connection, Tally, Workload};

/// The end of a closed loop.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stop {
    /// The time after which no request is sent.
    After(Duration),
    /// The number of requests to send, over all connections.
    Count(u64),
}

/// Sends requests over `connections` and waits for the last answer.
///
/// # Errors
///
/// When a connection cannot be opened, neither at first nor again after one broke.
pub(crate) async fn closed(workload: &Workload, connections: usize, stop: Stop) -> Result<Tally> {
    let mut opened = Vec::with_capacity(connections);
    for _ in 0..connections {
        opened.push(Connection::open(workload.address()).await?);
    }
    let (tally, sent) = (RefCell::new(Tally::default()), Cell::new(0));
    let start = Instant::now();
    let goes_on = || {
        let number = sent.replace(sent.get() + 1);
        match stop {
            Stop::After(length) => start.elapsed() < length,
            Stop::Count(count) => number < count,
        }
    };
    let senders = opened.into_iter().map(async |mut connection| {
        while goes_on() {
            let sent = Instant::now();
            let answer = connection.send(workload.next()).await;
            let is_broken = answer.is_err();
            workload.judge(answer, sent.elapsed(), &mut tally.borrow_mut());
            if is_broken {
                connection = Connection::open(workload.address()).await?;
            }
        }
        Ok::<_, anyhow::Error>(())
    });
    futures::future::try_join_all(senders).await?;
    let mut tally = tally.into_inner();
    tally.elapsed = start.elapsed();
    Ok(tally)
}
