//! Who is let in: nobody any more while draining, and no more than can be worked on.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::code::Code;
use super::problem::Problem;
use super::state::AppState;

/// Turns a request away at once rather than letting it wait in a queue that grows.
pub(super) async fn admit(State(state): State<AppState>, request: Request, next: Next) -> Response {
    if let Err(draining) = refuse_while_draining(&state) {
        return draining.into_response();
    }
    let Ok(_admitted) = state.admissions.try_acquire() else {
        return Problem::new(
            Code::Overloaded,
            "The host works on as many requests as it can. Try again.",
        )
        .into_response();
    };
    next.run(request).await
}

/// Also for those whose requests wait, and are counted elsewhere.
pub(super) fn refuse_while_draining(state: &AppState) -> Result<(), Problem> {
    if !state.drain.is_cancelled() {
        return Ok(());
    }
    Err(draining())
}

/// What those are told who come too late, or whose answer is broken off.
pub(super) fn draining() -> Problem {
    Problem::new(
        Code::Draining,
        "The host is shutting down. Send the request to another one.",
    )
}
