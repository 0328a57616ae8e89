//! The open loop: requests are due at a rate, whatever becomes of those before them.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::join_all;
use tokio::sync::{Notify, mpsc};

use super::schedule::Schedule;
use super::{Connection, Tally, Workload};

/// The time after the end for which requests that are due but not sent still wait for a free
/// connection.
const GRACE: Duration = Duration::from_secs(1);

/// A rate, for a while.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenLoop {
    /// Requests that become due per second.
    pub(crate) rate_per_s: f64,
    /// The duration of the load.
    pub(crate) length: Duration,
    /// The most requests at a time. One that is due while all are taken waits, and its latency
    /// counts that.
    pub(crate) connections: usize,
    /// Keeps each single latency as well.
    pub(crate) with_timeline: bool,
}

/// Sends requests when they are due, and waits for the last answer.
///
/// # Errors
///
/// When a connection cannot be opened at first. One that cannot be opened again is given up.
pub(crate) async fn open(workload: &Workload, load: OpenLoop) -> Result<Tally> {
    let mut opened = Vec::with_capacity(load.connections);
    for _ in 0..load.connections {
        opened.push(Connection::open(workload.address()).await?);
    }
    let schedule = Schedule::new(load.rate_per_s, load.length);
    let start = Instant::now();
    let queue = Queue::default();
    let tally = RefCell::new(Tally::default());
    tally.borrow_mut().elapsed = load.length;
    let count = |answer, latency| {
        let (at, mut tally) = (start.elapsed(), tally.borrow_mut());
        let is_expected = workload.judge(answer, latency, &mut tally);
        tally.elapsed = tally.elapsed.max(at);
        if is_expected && load.with_timeline {
            tally.timeline.push((at, latency));
        }
    };
    let send = async |mut connection: Connection| {
        while let Some(due) = queue.take().await {
            let answer = connection.send(workload.next()).await;
            let latency = due.elapsed();
            let is_broken = answer.is_err();
            count(answer, latency);
            if is_broken {
                match Connection::open(workload.address()).await {
                    Ok(opened) => connection = opened,
                    Err(_) => return,
                }
            }
        }
    };
    let fill = async {
        let mut clock = clock(start, schedule);
        while let Some(due) = clock.recv().await {
            queue.add(due);
        }
        tokio::time::sleep(GRACE.min(load.length)).await;
        queue.close()
    };
    let senders = join_all(opened.into_iter().map(send));
    let (unsent, _) = tokio::join!(fill, senders);
    let mut tally = tally.into_inner();
    tally.unsent = unsent;
    Ok(tally)
}

/// Starts a thread that reports due requests: the timers of the runtime are accurate to a
/// millisecond, a thread that sleeps to 0.1 ms.
fn clock(start: Instant, schedule: Schedule) -> mpsc::UnboundedReceiver<Instant> {
    let (sender, receiver) = mpsc::unbounded_channel();
    thread::spawn(move || {
        for number in 0..schedule.count() {
            let due = start + schedule.due(number);
            let wait = due.saturating_duration_since(Instant::now());
            if !wait.is_zero() {
                thread::sleep(wait);
            }
            if sender.send(due).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The requests that are due and not sent yet, oldest first.
#[derive(Debug, Default)]
struct Queue {
    state: RefCell<Waiting>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    due: VecDeque<Instant>,
    is_closed: bool,
}

impl Queue {
    fn add(&self, due: Instant) {
        self.state.borrow_mut().due.push_back(due);
        self.changed.notify_one();
    }

    /// Drops the rest and returns its number. Waiting connections get no request.
    fn close(&self) -> u64 {
        let mut state = self.state.borrow_mut();
        state.is_closed = true;
        self.changed.notify_waiters();
        state.due.drain(..).len() as u64
    }

    /// The next one, or none once the queue is closed.
    async fn take(&self) -> Option<Instant> {
        loop {
            // Nothing else runs between the look and the wait: there is one thread.
            {
                let mut state = self.state.borrow_mut();
                if state.is_closed {
                    return None;
                }
                if let Some(due) = state.due.pop_front() {
                    return Some(due);
                }
            }
            self.changed.notified().await;
        }
    }
}
