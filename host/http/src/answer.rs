//! The common parts of every answer: an id, a log line for a fault of the host, and an entry in the
//! metrics.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt::Write as _;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;

use crate::error::{Code, Problem};
use crate::guards::{self, Conditions};
use crate::request_id::{REQUEST_ID, RequestId};
use crate::state::AppState;

/// The outermost layer.
pub(super) async fn complete(
    State((state, conditions)): State<(AppState, Conditions)>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let id = RequestId::of(request.headers());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("", MatchedPath::as_str);
    request.extensions_mut().insert(id.clone());

    let answering = AssertUnwindSafe(guards::enter(&state, conditions, request, next));
    let mut response = answering.catch_unwind().await.unwrap_or_else(panicked);

    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        problem.render(&mut response, &id);
        report(&problem, &id, route);
    }
    response
        .headers_mut()
        .insert(REQUEST_ID.clone(), id.value());
    response.headers_mut().insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    let (status, duration) = (response.status(), started.elapsed());
    state
        .request_metrics
        .count(&method, route, status, duration);
    state.samples.count(&state.metrics);
    tracing::debug!(
        request.id = id.as_str(), http.method = %method, http.route = route, http.status = status.as_u16(),
        duration_ms = duration.as_secs_f64() * 1000.0, "request answered"
    );
    response
}

/// The panic itself has been logged by the panic hook, which knows where it came from.
#[expect(clippy::needless_pass_by_value, reason = "what is caught is owned")]
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned());
    Problem::internal(format!("a handler panicked: {}", text.unwrap_or_default())).into_response()
}

/// Logs a problem that is not the client's, once, with all that led to it.
pub(super) fn report(problem: &Problem, id: &RequestId, route: &str) {
    let Some(cause) = problem.cause() else { return };
    let (request, code, chain) = (id.as_str(), problem.code().as_str(), chain(cause));
    match problem.code() {
        Code::Internal | Code::StoreUnavailable | Code::OutcomeUnknown => {
            tracing::error!(
                request.id = request,
                http.route = route,
                problem.code = code,
                error = chain,
                "request failed"
            );
        }
        _ => tracing::warn!(
            request.id = request,
            http.route = route,
            problem.code = code,
            error = chain,
            "request failed"
        ),
    }
}

/// An error and what caused it, outermost first.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let _ = write!(text, ": {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_names_every_cause_once() {
        let inner = std::io::Error::other("disk on fire");
        let outer = gavel_store::Error::Unavailable(Box::new(inner));
        assert_eq!(chain(&outer), "the store is unavailable: disk on fire");
    }
}
