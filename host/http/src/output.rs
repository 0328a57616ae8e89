//! `GET /v1/deciders/{decider}/logs`, and the same of views: what modules have written.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use futures::stream;
use gavel_api::{OutputLine, OutputQuery};
use gavel_engine::catalog::{FollowedOutputs, Output};
use gavel_model::ActivationKey;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::deciders::decider_not_found;
use crate::error::Problem;
use crate::extract::{DeciderPath, Query, ViewPath};
use crate::log::follow::{self, Format, streamed, write_line};
use crate::state::AppState;
use crate::views::view_not_found;

/// The rest of the output for one client.
struct OutputFeed {
    followed: FollowedOutputs,
    _place: follow::SubscriptionPermit,
    keep_alive: Duration,
    drain: CancellationToken,
}

/// Reads the output of modules
///
/// The output to stdout and stderr of modules that decided commands or folded events of this
/// decider on this host, which keeps the newest 256 KiB of a decider in memory. One object a line:
/// `{"time", "decider", "id", "command_id", "module", "text"}`, the oldest first; `command_id` is
/// null for output that was written while recorded events were folded. With `follow=true` the lines
/// do not end: later output follows as it is written, and an empty line is a sign of life.
#[utoipa::path(
    get, path = "/v1/deciders/{decider}/logs", tag = "deciders", params(OutputQuery),
    responses(
        (status = 200, description = "Lines.", content((String = "application/x-ndjson"))),
        (status = 404, description = "`decider-not-found`"),
    )
)]
pub(crate) async fn read_output(
    State(state): State<AppState>,
    DeciderPath { namespace, decider }: DeciderPath,
    Query(query): Query<OutputQuery>,
) -> Result<Response, Problem> {
    let key = ActivationKey::of_decider(&namespace, &decider);
    output(&state, key, &query, || decider_not_found(&decider)).await
}

/// Reads the output of modules of a view
///
/// The output to stdout and stderr of modules that folded rows of this view on this host, be they
/// active, candidates or former ones. A host folds the rows of some views, and keeps the newest 256
/// KiB of each in memory. One object a line: `{"time", "view", "module", "text"}`, the oldest
/// first. With `follow=true` the lines do not end: later output follows as it is written, and an
/// empty line is a sign of life.
#[utoipa::path(
    get, path = "/v1/views/{view}/logs", tag = "views", params(OutputQuery),
    responses(
        (status = 200, description = "Lines.", content((String = "application/x-ndjson"))),
        (status = 404, description = "`view-not-found`"),
    )
)]
pub(crate) async fn read_view_output(
    State(state): State<AppState>,
    ViewPath(view): ViewPath,
    Query(query): Query<OutputQuery>,
) -> Result<Response, Problem> {
    output(&state, view.key(), &query, || view_not_found(&view)).await
}

async fn output(
    state: &AppState,
    key: ActivationKey,
    query: &OutputQuery,
    not_found: impl FnOnce() -> Problem,
) -> Result<Response, Problem> {
    // Also as this keeps nobody's place for a name that is not there.
    let active = state.services.store.active(&key).await?;
    active.ok_or_else(not_found)?;
    let outputs = state.services.modules.outputs();
    let tail = query.tail.map_or(usize::MAX, |tail| tail as usize);
    if !query.follow {
        let lines = lines(&outputs.newest(&key, tail));
        let media_type = [(CONTENT_TYPE, Format::Lines.media_type())];
        return Ok((media_type, lines).into_response());
    }
    let feed = OutputFeed {
        _place: follow::SubscriptionPermit::take(&state.subscriptions, Format::Lines)?,
        followed: outputs.follow(key, tail),
        keep_alive: state.settings.keep_alive,
        drain: state.drain.clone(),
    };
    Ok(streamed(
        Format::Lines,
        stream::unfold(feed, OutputFeed::next),
    ))
}

impl OutputFeed {
    /// The next chunk, as soon as there is one; none at the end.
    async fn next(mut self) -> Option<(Bytes, Self)> {
        let outputs = tokio::select! {
            biased;
            () = self.drain.cancelled() => return None,
            outputs = timeout(self.keep_alive, self.followed.next()) => outputs,
        };
        let chunk = outputs.map_or_else(|_| b"\n".to_vec(), |outputs| lines(&outputs));
        Some((chunk.into(), self))
    }
}

fn lines(outputs: &[Arc<Output>]) -> Vec<u8> {
    let mut lines = Vec::new();
    for output in outputs {
        write_line(&mut lines, &OutputLine::from(&**output));
    }
    lines
}
