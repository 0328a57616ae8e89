//! The task that looks after the tables: it runs a runner for each that belongs to this host, lets
//! pointers follow the activation log, and drops what nobody has read for long.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use gavel_model::{Activation, ModuleKind, ViewId};
use gavel_store::views::{TableId, ViewTable};
use gavel_store::{ActivationFilter, ResumeError};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::measures::Measures;
use super::progress;
use super::runner::Runner;
use super::{Inner, Views};
use crate::catalog;

/// The interval between two looks at the tables; what another host has changed is noticed after so
/// long.
const INTERVAL: Duration = Duration::from_secs(5);
/// The same while there are other hosts, whose tables may belong to this one.
const SHARED_INTERVAL: Duration = Duration::from_secs(1);
/// The pause before the module of a table is made ready again, after that has failed.
const UNREADY: Duration = Duration::from_secs(5);
/// The pause after a look, so that many changes are seen at once.
const REST: Duration = Duration::from_millis(20);

/// The task that looks after the tables. See [`Views::keeper`].
#[derive(Debug)]
pub struct ViewKeeper {
    inner: Arc<Inner>,
    running: HashMap<TableId, DropGuard>,
    /// The tables whose module could not be made ready, and when.
    unready: HashMap<TableId, Instant>,
    tasks: TaskTracker,
}

impl Views {
    /// Makes the task that looks after the tables once it is run.
    #[must_use]
    pub fn keeper(&self) -> ViewKeeper {
        ViewKeeper {
            inner: Arc::clone(&self.0),
            running: HashMap::new(),
            unready: HashMap::new(),
            tasks: TaskTracker::new(),
        }
    }
}

impl ViewKeeper {
    /// Runs until `stop` is cancelled, and then ends the runners, and leaves the work to others.
    pub async fn run(mut self, stop: CancellationToken) {
        let hosts = Arc::clone(&self.inner.hosts);
        let mut alive = hosts.changes();
        self.tasks.spawn(hosts.keep(stop.clone()));
        let measures = Measures::new(Arc::clone(&self.inner));
        self.tasks.spawn(measures.run(stop.clone()));
        let mut changes = self.inner.changes.subscribe();
        loop {
            if let Err(error) = self.look().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the tables of views cannot be looked at"
                );
            }
            let next_look = async {
                sleep(REST).await;
                let interval = match self.inner.hosts.has_others() {
                    true => SHARED_INTERVAL,
                    false => INTERVAL,
                };
                tokio::select! {
                    _ = timeout(interval, changes.changed()) => {}
                    _ = alive.changed() => {}
                }
            };
            tokio::select! {
                () = next_look => {}
                () = stop.cancelled() => break,
            }
        }
        self.running.clear();
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn look(&mut self) -> Result<(), catalog::Error> {
        let tables = self.inner.store.tables().await;
        let tables = tables.map_err(catalog::Error::Store)?;
        self.inner.heads.note(&tables);
        self.inner.seen.send_replace(tables.clone().into());
        self.serve(&tables).await;
        self.check_log(&tables).await;
        self.drop_unused(&tables).await;
        let filter = ActivationFilter {
            namespace: None,
            kind: Some(ModuleKind::View),
        };
        for newest in self.inner.modules.all_active(&filter).await? {
            if let Err(error) = self.follow(&newest, &tables).await {
                tracing::warn!(
                    view = %newest.key,
                    namespace = %newest.key.namespace(),
                    error = &error as &dyn std::error::Error,
                    "the rows of a view do not follow its activation yet"
                );
            }
        }
        Ok(())
    }

    /// Runs a runner for each table that belongs to this host and is not paused.
    async fn serve(&mut self, tables: &[ViewTable]) {
        let owned = tables
            .iter()
            .filter(|table| !table.is_paused && self.inner.owns(&table.view));
        let owned: Vec<&ViewTable> = owned.collect();
        let is_owned = |id: &TableId| owned.iter().any(|table| table.id == *id);
        self.running.retain(|id, _| is_owned(id));
        self.unready.retain(|id, _| is_owned(id));
        for table in owned {
            // One that has ended by itself is begun again.
            if self.running.contains_key(&table.id) && self.inner.progresses.of(table.id).is_some()
            {
                continue;
            }
            let failed_at = self.unready.get(&table.id);
            if failed_at.is_some_and(|at| at.elapsed() < UNREADY) {
                continue;
            }
            let view = match self.inner.modules.view(table.digest).await {
                Ok(view) => view,
                Err(error) => {
                    tracing::warn!(
                        view = %table.view,
                        module.digest = %table.digest,
                        error = &error as &dyn std::error::Error,
                        "the rows of a module stay as they are, it cannot be made ready"
                    );
                    self.unready.insert(table.id, Instant::now());
                    continue;
                }
            };
            let (sender, receiver) = progress::channel(table.position, table.is_finished);
            self.inner.progresses.keep(table.id, receiver);
            let runner = Runner::new(Arc::clone(&self.inner), table.clone(), view, sender);
            let stop = CancellationToken::new();
            self.tasks.spawn(runner.run(stop.clone()));
            self.running.insert(table.id, stop.drop_guard());
        }
    }

    /// Lets the runners compare their tables with the log when it does not go as far as the
    /// furthest of them: rows in another database outlive a log that is restored under the host.
    async fn check_log(&self, tables: &[ViewTable]) {
        let Some(furthest) = tables.iter().max_by_key(|table| table.position) else {
            return;
        };
        let (namespace, position) = (furthest.view.namespace(), furthest.position);
        match self
            .inner
            .log_store
            .check_position(namespace, position)
            .await
        {
            Ok(()) => {}
            Err(ResumeError::Lost { .. }) => self.inner.restored.send_modify(|()| {}),
            Err(ResumeError::Store(error)) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the log cannot be compared with the tables of views"
            ),
        }
    }

    /// Drops the tables that nobody has read for long.
    async fn drop_unused(&self, tables: &[ViewTable]) {
        let kept = self.inner.settings.keep_previous;
        let kept = time::Duration::try_from(kept).unwrap_or(time::Duration::MAX);
        let now = self.inner.clock.now();
        for table in tables {
            let is_old = table.unused_since.is_some_and(|since| now - since > kept);
            if !is_old {
                continue;
            }
            match self.inner.store.drop_table(table.id).await {
                Ok(()) => self.inner.tell_changes(),
                Err(error) => tracing::warn!(
                    view = %table.view,
                    error = &error as &dyn std::error::Error,
                    "a table that nobody reads cannot be dropped yet"
                ),
            }
        }
    }

    /// Lets the pointer of a view follow the newest entry of its activation log: where rows are in
    /// another database, or were lost, it is behind.
    async fn follow(
        &self,
        newest: &Activation,
        tables: &[ViewTable],
    ) -> Result<(), catalog::Error> {
        let Some(view) = ViewId::of(&newest.key) else {
            return Ok(());
        };
        let mut of_view = tables.iter().filter(|table| table.view == view);
        let store = &self.inner.store;
        let pointed = match newest.digest {
            None if of_view.all(|table| table.active.is_none()) => return Ok(()),
            None => store.point(&view, None, newest.number).await,
            Some(digest) => match of_view.find(|table| table.digest == digest) {
                Some(table) if table.active == Some(newest.number) => return Ok(()),
                Some(table) if table.is_finished => {
                    store.point(&view, Some(table.id), newest.number).await
                }
                // It is being built.
                Some(_) => return Ok(()),
                None => {
                    let module = self.inner.modules.view(digest).await?;
                    let views = Views(Arc::clone(&self.inner));
                    let begun = views.begin_table(&view, &module).await;
                    return begun.map(drop).map_err(catalog::Error::Store);
                }
            },
        };
        let moved = pointed.map_err(catalog::Error::Store)?;
        if moved {
            self.inner.tell_changes();
        }
        Ok(())
    }
}
