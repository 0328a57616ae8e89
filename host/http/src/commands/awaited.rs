//! `await`: answers to commands that wait until views show what has followed.

use gavel_api::BehindView;
use gavel_engine::views::Lateness;
use gavel_model::{Namespace, RecordedEvent, ViewId};
use tokio::sync::OwnedSemaphorePermit;

use crate::error::{Code, Location, Problem, malformed};
use crate::guards::admit::Admission;
use crate::state::AppState;

/// The most views that an answer waits for (inclusive).
const VIEWS: usize = 16;

/// The views that an answer waits for.
#[derive(Debug, Default)]
pub(crate) struct AwaitedViews {
    views: Vec<ViewId>,
    /// A place among those who wait; none without views.
    _place: Option<OwnedSemaphorePermit>,
}

impl AwaitedViews {
    /// Takes the views of a request, before anything is decided, and a place to wait. A dry run
    /// waits for nothing.
    pub(crate) async fn take(
        state: &AppState,
        namespace: &Namespace,
        names: Option<&str>,
        is_dry_run: bool,
    ) -> Result<Self, Problem> {
        let names = names.filter(|names| !names.is_empty());
        let Some(names) = names else {
            return Ok(Self::default());
        };
        let wrong = |reason: String| malformed(Location::parameter("await"), reason);
        let views = names.split(',').map(|name| {
            let view = ViewId::new(namespace.clone(), name);
            view.map_err(|error| wrong(error.to_string()))
        });
        let mut views: Vec<ViewId> = views.collect::<Result<_, _>>()?;
        views.sort_unstable();
        views.dedup();
        if views.len() > VIEWS {
            return Err(wrong(format!("there may be {VIEWS} views")));
        }
        for view in &views {
            state.services.views.active_module(view).await?;
        }
        if is_dry_run {
            return Ok(Self::default());
        }
        let place = state.subscriptions.clone().try_acquire_owned();
        let place = place.map_err(|_| {
            let detail = "As many senders, workers and subscriptions wait as the host takes.";
            Problem::new(Code::Overloaded, format!("{detail} Try again."))
        })?;
        Ok(Self {
            views,
            _place: Some(place),
        })
    }

    /// Waits until the views show some events, and gives those that do not. Meanwhile the place of
    /// the request among those that are worked on is free for others.
    pub(crate) async fn wait(
        &self,
        state: &AppState,
        admission: &Admission,
        events: &[&RecordedEvent],
    ) -> Vec<BehindView<'_>> {
        if self.views.is_empty() || events.is_empty() {
            return Vec::new();
        }
        admission.leave();
        let views = &state.services.views;
        let late = tokio::select! {
            late = views.wait_for_events(&self.views, events) => late,
            () = state.drain.cancelled() => {
                let late = |view| (view, Lateness::Late);
                self.views.iter().map(late).collect()
            }
        };
        let late = late.into_iter();
        late.map(|(view, lateness)| BehindView::new(view, lateness))
            .collect()
    }
}
