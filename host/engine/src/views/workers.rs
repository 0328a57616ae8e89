//! The guests of one table's runner at work, on guests' threads.

use std::num::NonZeroUsize;
use std::sync::Arc;

use futures::future::try_join_all;
use gavel_sandbox::RunError;
use gavel_store::views::ViewTable;

use super::folding::{FoldedRow, Keys, RowFolder, RowTask};
use super::handle::TableHandle;
use super::page::{ReadEvents, keys_of};
use super::progress::Activity;
use crate::catalog::View;

/// Calls the module of a table, again and again until the call comes to an end that says something
/// of the module.
#[derive(Debug)]
pub(super) struct FoldWorkers {
    handle: TableHandle,
    table: ViewTable,
    view: Arc<View>,
    folders: Vec<RowFolder>,
    /// Tells whether what is folded is read by somebody. A table that is being built gives way to
    /// all live calls.
    pub(super) is_live: bool,
}

impl FoldWorkers {
    pub(super) fn new(handle: TableHandle, table: ViewTable, view: Arc<View>) -> Self {
        Self {
            is_live: table.is_finished,
            handle,
            table,
            view,
            folders: Vec::new(),
        }
    }

    /// The keys of events.
    pub(super) async fn keys(&mut self, events: &ReadEvents) -> Vec<Keys> {
        if self.view.manifest().key.is_some() {
            // Without a guest, and so without its thread.
            let limits = self.handle.inner.settings.limits;
            let mut folder = RowFolder::new(Arc::clone(&self.view), limits);
            if let Ok(keys) = keys_of(&mut folder, &events.list(), &self.view) {
                return keys;
            }
        }
        self.handle.now(Activity::Folding);
        loop {
            let (events, view) = (events.clone(), Arc::clone(&self.view));
            let folder = self.folders.pop();
            let keys = self.job(folder, move |folder| keys_of(folder, &events.list(), &view));
            match keys.await {
                Ok((folder, keys)) => {
                    self.folders.push(folder);
                    return keys;
                }
                Err(error) => self.handle.stall(&error).await,
            }
        }
    }

    /// Folds rows, with as many workers as are worth it.
    pub(super) async fn fold(
        &mut self,
        events: &ReadEvents,
        tasks: &Arc<[RowTask]>,
    ) -> Vec<FoldedRow> {
        self.handle.now(Activity::Folding);
        let workers = match self.is_live {
            true => NonZeroUsize::MIN,
            false => self.handle.inner.settings.build_workers,
        };
        let each = tasks.len().div_ceil(workers.get()).max(1);
        loop {
            let starts = (0..tasks.len()).step_by(each);
            let jobs = starts.map(|start| {
                let (events, tasks) = (events.clone(), Arc::clone(tasks));
                let folder = self.folders.pop();
                self.job(folder, move |folder| {
                    let end = tasks.len().min(start + each);
                    folder.fold(&events.list(), &tasks[start..end])
                })
            });
            match try_join_all(jobs.collect::<Vec<_>>()).await {
                Ok(done) => {
                    let (folders, rows): (Vec<_>, Vec<_>) = done.into_iter().unzip();
                    self.folders.extend(folders);
                    return rows.into_iter().flatten().collect();
                }
                Err(error) => self.handle.stall(&error).await,
            }
        }
    }

    /// Runs guest code.
    fn job<T, C>(
        &self,
        folder: Option<RowFolder>,
        call: C,
    ) -> impl Future<Output = Result<(RowFolder, T), RunError>> + use<T, C>
    where
        T: Send + 'static,
        C: FnOnce(&mut RowFolder) -> Result<T, RunError> + Send + 'static,
    {
        let inner = &self.handle.inner;
        let limits = inner.settings.limits;
        let view = Arc::clone(&self.view);
        let (runtime, is_live) = (inner.modules.runtime().clone(), self.is_live);
        let (id, digest) = (self.table.view.clone(), self.table.digest);
        let outputs = Arc::clone(inner.modules.outputs());
        let module = view.module().clone();
        let job = move || {
            let mut folder = folder.unwrap_or_else(|| RowFolder::new(view, limits));
            let done = call(&mut folder);
            if let Some(output) = folder.take_output() {
                outputs.add_of_view(&id, digest, output);
            }
            done.map(|done| (folder, done))
        };
        async move {
            let done = match is_live {
                true => runtime.run_for_reader(&module, job).await,
                false => runtime.run_in_background(job).await,
            };
            done?
        }
    }
}
