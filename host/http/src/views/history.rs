//! One row by its sources: as it was, as another module folds it, right now, and event by event.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use gavel_api::{RowQuery, RowSteps, RowStepsQuery};
use gavel_engine::views::{HistoryError, RowMoment};
use gavel_model::{Position, RowKey, ViewId};
use gavel_store::views::RowRead;

use super::headers_of;
use crate::error::{Code, Location, Problem, malformed};
use crate::extract::{AfterHeader, KnownModules, Query, RowPath};
use crate::state::AppState;

/// The value of a row that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowChoice {
    /// The row as it is stored.
    Stored,
    /// The row with all that is stored in the log.
    Fresh,
    /// The row as it was, or as another module folds it.
    Folded(RowMoment),
}

impl RowChoice {
    pub(super) async fn of(
        state: &AppState,
        query: RowQuery,
        known: &KnownModules,
    ) -> Result<Self, Problem> {
        let RowQuery { at, module, fresh } = query;
        if fresh && (at.is_some() || module.is_some()) {
            let reason = "give it alone, without `_at` and `_module`";
            return Err(malformed(Location::parameter("_fresh"), reason));
        }
        let module = match module {
            Some(text) => {
                let place = Location::parameter("_module");
                Some(known.digest(state, &text, place).await?)
            }
            None => None,
        };
        Ok(match (at, module) {
            (None, None) if fresh => Self::Fresh,
            (None, None) => Self::Stored,
            (at, module) => Self::Folded(RowMoment { at, module }),
        })
    }

    /// Reads the row, once the view has come to a position; a fresh one has all of the log, and
    /// waits for nothing.
    pub(super) async fn read(
        self,
        state: &AppState,
        view: &ViewId,
        key: &RowKey,
        after: Option<Position>,
    ) -> Result<RowRead, Problem> {
        let views = &state.services.views;
        if let Some(after) = after.filter(|_| self != Self::Fresh) {
            views.wait_for(view, after).await?;
        }
        Ok(match self {
            Self::Stored => views.row(view, key).await?,
            Self::Folded(moment) => views.row_at(view, key, moment).await?,
            Self::Fresh => match views.fresh_row(view, key).await {
                // Unlike a history, this becomes shorter: the view goes on.
                Err(HistoryError::TooLong { limit, .. }) => {
                    let detail = format!(
                        "The view `{}` is behind by more events than one answer reads: {limit} (the setting `views.history_events`). Try again.",
                        view.name()
                    );
                    let problem = Problem::new(Code::ViewBehind, detail);
                    return Err(problem.with("limit", limit));
                }
                read => read?,
            },
        })
    }
}

/// Explains a row
///
/// The events that the row follows from, in the order of the log, and the row after each: all that
/// the view has at `Gavel-Position`. A row that cannot fold an event stays as it was before, and
/// the list ends there. A page ends early when its events and rows take up about 512 KiB.
#[utoipa::path(
    get, path = "/v1/views/{view}/rows/{key}/why", tag = "views",
    params(
        RowStepsQuery,
        ("Gavel-After" = Option<String>, Header, description = "A position of the log that the list has to show: the answer waits for it."),
    ),
    responses(
        (status = 200, description = "A page of events.", body = RowSteps, headers(
            ("Gavel-Position" = String, description = "The position of the log that the view has reached."),
            ("Gavel-Module" = String, description = "The module that has folded the row."),
            ("Gavel-Incomplete" = String, description = "1 if there are events whose rows cannot be told."),
        )),
        (status = 404, description = "`view-not-found`; `row-not-found` when no event has the key"),
        (status = 409, description = "`module-outdated`: the module must be built with the present SDK"),
        (status = 422, description = "`sources-missing`; `history-too-long`, with the `limit`"),
        (status = 500, description = "`module-trapped`, `module-broke-contract`, with the `module`; `internal`"),
        (status = 503, description = "`view-behind`; `store-unavailable`, `overloaded`, `draining`"),
        (status = 504, description = "`module-deadline`, `module-out-of-fuel`, `module-out-of-memory`, with the `limit`"),
    )
)]
pub(crate) async fn explain_row(
    State(state): State<AppState>,
    RowPath { view, key }: RowPath,
    Query(query): Query<RowStepsQuery>,
    AfterHeader(wanted): AfterHeader,
) -> Result<Response, Problem> {
    let views = &state.services.views;
    if let Some(wanted) = wanted {
        views.wait_for(&view, wanted).await?;
    }
    let after = query.after.unwrap_or(Position::BEGINNING);
    let limit = query.limit.get();
    let steps = views.row_steps(&view, &key, after, limit).await?;
    let headers = headers_of(&steps.head);
    if steps.steps.is_empty() && query.after.is_none() {
        let detail = format!(
            "No event that the view `{}` has is one of row `{key}`.",
            view.name()
        );
        let problem = Problem::new(Code::RowNotFound, detail).with("key", key.as_str());
        return Ok((headers, problem).into_response());
    }
    Ok((headers, Json(RowSteps::new(&key, &steps))).into_response())
}
