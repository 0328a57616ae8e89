//! The runner of one table: reads the log from where the table stands, folds page by page, and
//! commits what was folded together with the progress.
//!
//! Everything is read and folded before a transaction begins. A table has its runner on one host,
//! and for a while on two, when hosts come and go: a commit succeeds only from where the table
//! stands, and who loses reads the position again.
//!
//! ```text
//! live:   page, and what else is there -> fold -> commit -> page ...
//! build:  page -> fold -> page -> fold ... -> commit     (what was folded before)
//!                                 page -> fold -> page   (at the same time)
//! ```

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use gavel_model::{Position, RowKey};
use gavel_store::views::{ParkedEvent, RowsChange, StoredRow, ViewTable};
use gavel_store::{LogFilter, ResumeError};
use metrics::gauge;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Inner;
use super::folding::RowTask;
use super::handle::{FIRST_PAUSE, Halt, LONGEST_PAUSE, TableHandle};
use super::metrics::BUILD_SECONDS;
use super::page::{Changes, PagePart, ReadEvents};
use super::progress::{Activity, TableProgress};
use super::tag_index;
use super::workers::FoldWorkers;
use super::writer::TableWriter;
use crate::catalog::View;
use crate::streaming::{Delivery, Events, Subscription};

/// The most rows that are folded at once.
const MOST_ROWS: usize = 1_000;
/// The rows that are folded first, before it is known how large they are.
const FIRST_ROWS: usize = 100;
/// The most bytes of rows that are read to be folded at once, about.
const BYTES_OF_ROWS: usize = 4 << 20;
/// The events from which on no more are folded together with others.
const MOST_EVENTS: usize = 1_000;
/// The time from one fold of a live table to the next where events come faster than they are
/// folded: so more of them share a call of the module, and a commit.
const BUSY_INTERVAL: Duration = Duration::from_millis(20);
/// The longest time for which the table does not say that it has moved past events that it does not
/// read.
const LAZY: Duration = Duration::from_millis(250);

/// Moves one table on.
#[derive(Debug)]
pub(super) struct Runner {
    handle: TableHandle,
    table: ViewTable,
    view: Arc<View>,
    workers: FoldWorkers,
    writer: TableWriter,
    most_rows: usize,
    /// Tells whether the events that the view reads by tags are indexed.
    is_indexed: bool,
    is_finished: bool,
    /// The time since which the table is built here, if it is.
    begun: Instant,
}

impl Runner {
    pub(super) fn new(
        inner: Arc<Inner>,
        table: ViewTable,
        view: Arc<View>,
        progress: watch::Sender<TableProgress>,
    ) -> Self {
        let handle = TableHandle {
            inner,
            id: table.id,
            progress,
        };
        Self {
            workers: FoldWorkers::new(handle.clone(), table.clone(), Arc::clone(&view)),
            writer: TableWriter::new(handle.clone(), table.position, table.is_finished),
            handle,
            is_finished: table.is_finished,
            table,
            view,
            most_rows: FIRST_ROWS,
            is_indexed: false,
            begun: Instant::now(),
        }
    }

    /// Runs until `stop` is cancelled, or the table is gone.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        loop {
            let halt = tokio::select! {
                halt = self.follow() => halt,
                () = stop.cancelled() => return,
            };
            match halt {
                Halt::Gone => return,
                Halt::Moved => {}
                Halt::Lost => self.build_anew().await,
            }
            tokio::select! {
                found = self.look() => if !found { return },
                () = stop.cancelled() => return,
            }
        }
    }

    /// Reads again where the table stands. False when it is gone.
    async fn look(&mut self) -> bool {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.handle.inner.table(self.table.id).await {
                Ok(None) => return false,
                Ok(Some(table)) => {
                    self.is_finished = table.is_finished;
                    self.workers.is_live = table.is_finished;
                    let handle = self.handle.clone();
                    // What follows from an earlier look is forgotten.
                    self.writer = TableWriter::new(handle, table.position, table.is_finished);
                    self.handle.tell_position(table.position);
                    return true;
                }
                Err(error) => self.handle.stall(&error).await,
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Empties the table, unless another host has done so already and moves it again.
    async fn build_anew(&mut self) {
        let inner = &self.handle.inner;
        let restarted = match inner.table(self.table.id).await {
            Ok(Some(table)) if table.position == self.writer.position() => {
                tracing::warn!(view = %self.table.view, table = %self.table.id, "the log was restored to an earlier state, the view is built anew");
                self.begun = Instant::now();
                inner.store.restart_table(self.table.id).await
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = restarted {
            self.handle.stall(&error).await;
        }
    }

    /// Checks that the log still goes as far as the table stands.
    async fn check(&mut self) -> Result<(), Halt> {
        if !self.writer.is_settled() {
            // That follows from a log which may be another one by now.
            return Err(Halt::Moved);
        }
        // What was lost of the log may have taken guards of tags with it.
        self.is_indexed = false;
        let namespace = self.table.view.namespace();
        let log = &self.handle.inner.log_store;
        match log.check_position(namespace, self.writer.position()).await {
            Ok(()) => Ok(()),
            Err(ResumeError::Lost { .. }) => Err(Halt::Lost),
            Err(ResumeError::Store(error)) => {
                self.handle.stall(&error).await;
                Err(Halt::Moved)
            }
        }
    }

    /// Follows the log from where the table stands.
    async fn follow(&mut self) -> Halt {
        if let Err(halt) = self.check().await {
            return halt;
        }
        let namespace = self.table.view.namespace().clone();
        let filter = LogFilter::from(self.view.filter());
        let inner = Arc::clone(&self.handle.inner);
        let mut log = inner
            .log
            .subscribe(namespace, filter, self.writer.position());
        let mut restored = inner.restored.subscribe();
        let mut said = Instant::now();
        let mut rested = Instant::now();
        loop {
            self.handle.now(match self.writer.is_committing() {
                true => Activity::Writing,
                false => Activity::Waiting,
            });
            // What was passed over is said for the other hosts.
            let is_behind = log.position() > self.writer.to();
            let passing = is_behind.then_some(said + LAZY);
            let due = self.writer.due().or(passing);
            let delivery = {
                let next = async {
                    sleep_until(rested).await;
                    log.next_or_moved().await
                };
                tokio::select! {
                    delivery = next => Ok(delivery),
                    done = self.writer.committed() => Err(done),
                    _ = restored.changed() => Err(self.check().await),
                    () = sleep_until(due.unwrap_or(said)), if due.is_some() => {
                        Err(self.writer.pass(log.position()).await)
                    }
                }
            };
            let mut next = match delivery {
                Ok(delivery) => Some(delivery),
                Err(Ok(())) => continue,
                Err(Err(halt)) => return halt,
            };
            while let Some(delivery) = next.take() {
                let to = log.position();
                if to.generation() != self.writer.to().generation()
                    && let Err(halt) = self.check().await
                {
                    // What comes now follows on an earlier state of the log.
                    return halt;
                }
                let done = match delivery {
                    Some(Delivery::Events(events)) => {
                        let began = Instant::now();
                        let (events, to, other) = gather(&mut log, events);
                        next = other;
                        let events = ReadEvents::of(events, &self.view);
                        if self.is_finished && events.count() > 1 {
                            rested = began + BUSY_INTERVAL;
                        }
                        self.fold(&events, to).await
                    }
                    Some(Delivery::Malformed(malformed)) => {
                        let mut change = RowsChange::moving(self.table.id, self.writer.to(), to);
                        change.parked_events.push(ParkedEvent {
                            position: malformed.position,
                            event_id: Uuid::nil(),
                            reason: format!(
                                "the stored event cannot be read: {}",
                                malformed.reason
                            ),
                        });
                        self.writer.add(1, change).await
                    }
                    Some(Delivery::CaughtUp) => self.catch_up().await,
                    None => {
                        if !is_behind {
                            said = Instant::now();
                        }
                        if self.writer.is_settled() {
                            // On this host it is known at once.
                            self.handle.tell_position(to);
                        }
                        Ok(())
                    }
                };
                if let Err(halt) = done {
                    return halt;
                }
            }
        }
    }

    /// Commits what there is, for the end of the log is reached.
    async fn catch_up(&mut self) -> Result<(), Halt> {
        self.writer.finish().await?;
        let caught_up = |progress: &mut TableProgress| progress.is_caught_up = true;
        self.handle.progress.send_modify(caught_up);
        self.finish().await
    }

    /// Makes the table one that can be read, once it has caught up for the first time.
    async fn finish(&mut self) -> Result<(), Halt> {
        let mut pause = FIRST_PAUSE;
        while !self.is_indexed {
            let namespace = self.table.view.namespace();
            let now = |activity| self.handle.now(activity);
            let inner = &self.handle.inner;
            match tag_index::complete(inner, namespace, &self.view, now).await {
                Ok(()) => self.is_indexed = true,
                Err(error) => {
                    self.handle.stall(&error).await;
                    sleep(LONGEST_PAUSE).await;
                }
            }
        }
        while !self.is_finished {
            self.handle.now(Activity::Finishing);
            match self.handle.inner.store.finish_table(self.table.id).await {
                Ok(()) => {
                    self.is_finished = true;
                    self.workers.is_live = true;
                    self.writer.go_live();
                    let view = &self.table.view;
                    let (namespace, name) = (view.namespace().to_string(), view.name().to_string());
                    gauge!(BUILD_SECONDS, "namespace" => namespace, "view" => name)
                        .set(self.begun.elapsed().as_secs_f64());
                }
                Err(error) => {
                    if self
                        .handle
                        .inner
                        .table(self.table.id)
                        .await
                        .is_ok_and(|found| found.is_none())
                    {
                        return Err(Halt::Gone);
                    }
                    self.handle.stall(&error).await;
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        self.handle
            .progress
            .send_modify(|progress| progress.is_finished = true);
        self.handle.inner.tell_changes();
        Ok(())
    }

    /// Folds events, and moves on to `to`.
    async fn fold(&mut self, events: &ReadEvents, to: Position) -> Result<(), Halt> {
        let keys = self.workers.keys(events).await;
        let read = events.list();
        let mut first = 0;
        while first < keys.len() {
            let part = PagePart::of(&keys, first, self.most_rows);
            let last = first + part.events;
            let to = if last == keys.len() {
                to
            } else {
                read[last - 1].position
            };
            let rows: Vec<RowKey> = part.rows.keys().cloned().collect();
            let stored = self.writer.rows(&rows).await?;
            self.note_size(&stored);
            let (tasks, waiting) = part.tasks(&read, stored);
            let tasks: Arc<[RowTask]> = tasks.into();
            let folded = self.workers.fold(events, &tasks).await;
            let (table, now) = (self.table.id, self.handle.inner.clock.now());
            let mut changes = Changes::new(&read, now, table, (self.writer.to(), to));
            changes.wait(waiting);
            for (place, reason) in part.parked {
                changes.park(place, reason);
            }
            for (task, folded) in tasks.iter().zip(folded) {
                changes.add(task, folded);
            }
            self.writer
                .add(part.events as u64, changes.into_change())
                .await?;
            first = last;
        }
        if self.writer.to() < to {
            let change = RowsChange::moving(self.table.id, self.writer.to(), to);
            self.writer.add(0, change).await?;
        }
        Ok(())
    }

    /// Estimates how many rows to fold at once, when they are as large as these.
    fn note_size(&mut self, rows: &[StoredRow]) {
        let sizes = rows.iter().filter_map(|row| row.value.as_ref());
        let sizes = sizes.map(|value| value.as_str().len());
        let each = sizes.max().unwrap_or_default().max(1);
        self.most_rows =
            (BYTES_OF_ROWS / each).clamp(1, self.most_rows.saturating_mul(4).min(MOST_ROWS));
    }
}

/// Adds what else can be delivered at once. Gives all events, the position behind them, and what is
/// no event or belongs to another life of the log. A reader that is behind begins to read its next
/// page.
fn gather(
    log: &mut Subscription,
    first: Events,
) -> (Vec<Events>, Position, Option<Option<Delivery>>) {
    let mut to = log.position();
    let mut count = first.iter().count();
    let mut events = vec![first];
    let mut other = None;
    while count < MOST_EVENTS
        && let Some(next) = log.next_or_moved().now_or_never()
    {
        let position = log.position();
        let is_same_log = position.generation() == to.generation();
        match next {
            Some(Delivery::Events(more)) if is_same_log => {
                count += more.iter().count();
                events.push(more);
            }
            None if is_same_log => {}
            next => {
                other = Some(next);
                break;
            }
        }
        to = position;
    }
    (events, to, other)
}
