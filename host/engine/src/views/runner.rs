//! The runner of one table: reads the log from where the table stands, folds page by page, and
//! commits each together with the progress.
//!
//! Everything is read and folded before a transaction begins. A table has its runner on one host,
//! and for a while on two, when hosts come and go: a commit succeeds only from where the table
//! stands, and who loses reads the position again.

use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use gavel_model::{Position, RowKey};
use gavel_sandbox::RunError;
use gavel_store::views::{CommitError, ParkedEvent, RowsChange, StoredRow, ViewTable};
use gavel_store::{Error, LogFilter, ResumeError};
use metrics::gauge;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Inner;
use super::folding::{FoldedRow, Keys, RowFolder, RowTask};
use super::metrics::BUILD_SECONDS;
use super::page::{Changes, PagePart, keys_of, read_by};
use super::progress::{Activity, TableProgress};
use super::tag_index;
use crate::catalog::View;
use crate::streaming::{Delivery, Events};

/// The most rows of one commit: its transaction is to be short.
const MOST_ROWS: usize = 1_000;
/// The rows of the first commit, before it is known how large they are.
const FIRST_ROWS: usize = 100;
/// The most bytes of rows that are read for one commit, about.
const BYTES_OF_ROWS: usize = 4 << 20;
/// The longest time for which the table does not say that it has moved past events that it does not
/// read.
const LAZY: Duration = Duration::from_millis(250);
/// The first pause after something has failed; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause before another try.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The pause before a table is looked at again that another host moves.
const OTHER_HOST: Duration = Duration::from_secs(1);

/// Moves one table on.
#[derive(Debug)]
pub(super) struct Runner {
    inner: Arc<Inner>,
    table: ViewTable,
    view: Arc<View>,
    progress: watch::Sender<TableProgress>,
    /// The place where the table stands.
    position: Position,
    folders: Vec<RowFolder>,
    most_rows: usize,
    /// Tells whether the events that the view reads by tags are indexed.
    is_indexed: bool,
    is_finished: bool,
    /// The time since which the table is built here, if it is.
    begun: Instant,
}

/// The reason for which a runner does not go on from where it is.
#[derive(Debug)]
enum Halt {
    /// Another host has moved the table.
    Moved,
    /// The table is not there any more.
    Gone,
    /// The log does not go as far as the table: it was restored to an earlier state.
    Lost,
}

impl Runner {
    pub(super) fn new(
        inner: Arc<Inner>,
        table: ViewTable,
        view: Arc<View>,
        progress: watch::Sender<TableProgress>,
    ) -> Self {
        Self {
            position: table.position,
            is_finished: table.is_finished,
            inner,
            table,
            view,
            progress,
            folders: Vec::new(),
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
            match self.inner.table(self.table.id).await {
                Ok(None) => return false,
                Ok(Some(table)) => {
                    self.is_finished = table.is_finished;
                    self.moved_to(table.position);
                    return true;
                }
                Err(error) => self.stall(&error).await,
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Empties the table, unless another host has done so already and moves it again.
    async fn build_anew(&mut self) {
        let restarted = match self.inner.table(self.table.id).await {
            Ok(Some(table)) if table.position == self.position => {
                tracing::warn!(view = %self.table.view, table = %self.table.id, "the log was restored to an earlier state, the view is built anew");
                self.begun = Instant::now();
                self.inner.store.restart_table(self.table.id).await
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = restarted {
            self.stall(&error).await;
        }
    }

    fn moved_to(&mut self, position: Position) {
        self.position = position;
        self.progress
            .send_modify(|progress| progress.position = position);
    }

    fn now(&self, activity: Activity) {
        self.progress
            .send_modify(|progress| progress.activity = activity);
    }

    /// Says that something failed, and rests.
    async fn stall(&self, error: &(dyn std::error::Error + Sync)) {
        self.now(Activity::Failing(in_words(error)));
        sleep(FIRST_PAUSE).await;
    }

    /// Checks that the log still goes as far as the table stands.
    async fn check(&mut self) -> Result<(), Halt> {
        // What was lost of the log may have taken guards of tags with it.
        self.is_indexed = false;
        let namespace = self.table.view.namespace();
        let log = &self.inner.log_store;
        match log.check_position(namespace, self.position).await {
            Ok(()) => Ok(()),
            Err(ResumeError::Lost { .. }) => Err(Halt::Lost),
            Err(ResumeError::Store(error)) => {
                self.stall(&error).await;
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
        let mut log = self.inner.log.subscribe(namespace, filter, self.position);
        let mut restored = self.inner.restored.subscribe();
        let mut said = Instant::now();
        loop {
            self.now(Activity::Waiting);
            let is_behind = log.position() > self.position;
            let delivery = tokio::select! {
                delivery = log.next_or_moved() => delivery,
                _ = restored.changed() => match self.check().await {
                    Ok(()) => continue,
                    Err(halt) => return halt,
                },
                () = sleep_until(said + LAZY), if is_behind => {
                    // What was passed over is said for the other hosts.
                    let change = RowsChange::moving(self.table.id, self.position, log.position());
                    match self.commit(change).await {
                        Ok(()) => {}
                        Err(halt) => return halt,
                    }
                    continue;
                }
            };
            let to = log.position();
            if to.generation() != self.position.generation()
                && let Err(halt) = self.check().await
            {
                // What comes now follows on an earlier state of the log.
                return halt;
            }
            let done = match delivery {
                Some(Delivery::Events(events)) => self.fold(events, to).await,
                Some(Delivery::Malformed(malformed)) => {
                    let mut change = RowsChange::moving(self.table.id, self.position, to);
                    change.parked_events.push(ParkedEvent {
                        position: malformed.position,
                        event_id: Uuid::nil(),
                        reason: format!("the stored event cannot be read: {}", malformed.reason),
                    });
                    self.commit(change).await
                }
                Some(Delivery::CaughtUp) => {
                    self.progress
                        .send_modify(|progress| progress.is_caught_up = true);
                    self.finish().await
                }
                None => {
                    if !is_behind {
                        said = Instant::now();
                    }
                    // On this host it is known at once.
                    self.progress.send_modify(|progress| progress.position = to);
                    Ok(())
                }
            };
            if let Err(halt) = done {
                return halt;
            }
        }
    }

    /// Makes the table one that can be read, once it has caught up for the first time.
    async fn finish(&mut self) -> Result<(), Halt> {
        let mut pause = FIRST_PAUSE;
        while !self.is_indexed {
            let namespace = self.table.view.namespace();
            let now = |activity| self.now(activity);
            match tag_index::complete(&self.inner, namespace, &self.view, now).await {
                Ok(()) => self.is_indexed = true,
                Err(error) => {
                    self.stall(&error).await;
                    sleep(LONGEST_PAUSE).await;
                }
            }
        }
        while !self.is_finished {
            self.now(Activity::Finishing);
            match self.inner.store.finish_table(self.table.id).await {
                Ok(()) => {
                    self.is_finished = true;
                    let view = &self.table.view;
                    let (namespace, name) = (view.namespace().to_string(), view.name().to_string());
                    gauge!(BUILD_SECONDS, "namespace" => namespace, "view" => name)
                        .set(self.begun.elapsed().as_secs_f64());
                }
                Err(error) => {
                    if self
                        .inner
                        .table(self.table.id)
                        .await
                        .is_ok_and(|found| found.is_none())
                    {
                        return Err(Halt::Gone);
                    }
                    self.stall(&error).await;
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        self.progress
            .send_modify(|progress| progress.is_finished = true);
        self.inner.tell_changes();
        Ok(())
    }

    /// Folds the events of a page, and moves the table to `to`.
    async fn fold(&mut self, events: Events, to: Position) -> Result<(), Halt> {
        let keys = self.keys(&events).await;
        let mut first = 0;
        while first < keys.len() {
            let part = PagePart::of(&keys, first, self.most_rows);
            let read = read_by(&events, &self.view);
            let last = first + part.events;
            let to = if last == keys.len() {
                to
            } else {
                read[last - 1].position
            };
            let rows: Vec<RowKey> = part.rows.keys().cloned().collect();
            let stored = self.rows(&rows).await?;
            self.note_size(&stored);
            let (tasks, waiting) = part.tasks(&read, stored);
            let folded = self.fold_rows(&events, &tasks).await;
            let (table, from) = (self.table.id, self.position);
            let mut changes = Changes::new(&read, self.inner.clock.now(), table, (from, to));
            changes.wait(waiting);
            for (place, reason) in part.parked {
                changes.park(place, reason);
            }
            for (task, folded) in tasks.iter().zip(folded) {
                changes.add(task, folded);
            }
            let change = changes.into_change();
            let rows = change.put.len() + change.ended.len();
            self.commit(change).await?;
            self.progress.send_modify(|progress| {
                progress.events += part.events as u64;
                progress.rows += rows as u64;
            });
            first = last;
        }
        if self.position < to {
            self.commit(RowsChange::moving(self.table.id, self.position, to))
                .await?;
        }
        Ok(())
    }

    /// The keys of the events that the view reads.
    async fn keys(&mut self, events: &Events) -> Vec<Keys> {
        self.now(Activity::Folding);
        let (page, view) = (events.clone(), Arc::clone(&self.view));
        self.call(move |folder| keys_of(folder, &read_by(&page, &view), &view))
            .await
    }

    /// Folds rows, with as many workers as are worth it.
    async fn fold_rows(&mut self, events: &Events, tasks: &[RowTask]) -> Vec<FoldedRow> {
        self.now(Activity::Folding);
        let workers = match self.is_finished {
            true => 1,
            false => self.inner.settings.build_workers.get(),
        };
        let each = tasks.len().div_ceil(workers).max(1);
        loop {
            let jobs = tasks.chunks(each).map(|tasks| {
                let (page, view, tasks) = (events.clone(), Arc::clone(&self.view), tasks.to_vec());
                let folder = self.folders.pop();
                self.job(folder, move |folder| {
                    folder.fold(&read_by(&page, &view), tasks.clone())
                })
            });
            match try_join_all(jobs.collect::<Vec<_>>()).await {
                Ok(done) => {
                    let (folders, rows): (Vec<_>, Vec<_>) = done.into_iter().unzip();
                    self.folders.extend(folders);
                    return rows.into_iter().flatten().collect();
                }
                Err(error) => self.stall(&error).await,
            }
        }
    }

    /// Runs one call until it comes to an end that says something of the module.
    async fn call<T: Send + 'static>(
        &mut self,
        call: impl Fn(&mut RowFolder) -> Result<T, RunError> + Clone + Send + 'static,
    ) -> T {
        loop {
            let folder = self.folders.pop();
            match self.job(folder, call.clone()).await {
                Ok((folder, done)) => {
                    self.folders.push(folder);
                    return done;
                }
                Err(error) => self.stall(&error).await,
            }
        }
    }

    /// Runs guest code: that of a table which is being built gives way to all live calls.
    fn job<T, C>(
        &self,
        folder: Option<RowFolder>,
        call: C,
    ) -> impl Future<Output = Result<(RowFolder, T), RunError>> + use<T, C>
    where
        T: Send + 'static,
        C: Fn(&mut RowFolder) -> Result<T, RunError> + Send + 'static,
    {
        let limits = self.inner.settings.limits;
        let view = Arc::clone(&self.view);
        let (runtime, is_live) = (self.inner.modules.runtime().clone(), self.is_finished);
        let (id, digest) = (self.table.view.clone(), self.table.digest);
        let outputs = Arc::clone(self.inner.modules.outputs());
        async move {
            let module = view.module().clone();
            let job = move || {
                let mut folder = folder.unwrap_or_else(|| RowFolder::new(view, limits));
                let done = call(&mut folder);
                if let Some(output) = folder.take_output() {
                    outputs.add_of_view(&id, digest, output);
                }
                done.map(|done| (folder, done))
            };
            let done = match is_live {
                true => runtime.run_for_reader(&module, job).await,
                false => runtime.run_in_background(job).await,
            };
            done?
        }
    }

    /// Reads rows as they are stored.
    async fn rows(&mut self, keys: &[RowKey]) -> Result<Vec<StoredRow>, Halt> {
        let mut pause = FIRST_PAUSE;
        loop {
            self.now(Activity::Reading);
            match self.inner.store.rows(self.table.id, keys).await {
                Ok(rows) => return Ok(rows),
                Err(error @ Error::Unavailable(_)) => self.stall(&error).await,
                Err(error) => {
                    self.stall(&error).await;
                    return Err(Halt::Moved);
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Estimates how many rows to take for the next commit, when they are as large as these.
    fn note_size(&mut self, rows: &[StoredRow]) {
        let sizes = rows.iter().filter_map(|row| row.value.as_ref());
        let sizes = sizes.map(|value| value.as_str().len());
        let each = sizes.max().unwrap_or_default().max(1);
        self.most_rows =
            (BYTES_OF_ROWS / each).clamp(1, self.most_rows.saturating_mul(4).min(MOST_ROWS));
    }

    /// Commits a change, however long the store is away.
    async fn commit(&mut self, change: RowsChange) -> Result<(), Halt> {
        let to = change.to;
        let mut pause = FIRST_PAUSE;
        loop {
            self.now(Activity::Writing);
            match self.inner.store.commit(change.clone()).await {
                Ok(()) => {
                    self.moved_to(to);
                    return Ok(());
                }
                Err(CommitError::Gone) => return Err(Halt::Gone),
                Err(CommitError::Moved) => {
                    // A commit whose answer was lost may have been made.
                    if let Ok(Some(table)) = self.inner.table(self.table.id).await
                        && table.position == to
                    {
                        self.moved_to(to);
                        return Ok(());
                    }
                    self.now(Activity::OtherHost);
                    sleep(OTHER_HOST).await;
                    return Err(Halt::Moved);
                }
                Err(CommitError::Held) => {}
                Err(CommitError::Store(error)) => self.stall(&error).await,
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// An error with its causes, in one line.
fn in_words(error: &(dyn std::error::Error + Sync)) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}
