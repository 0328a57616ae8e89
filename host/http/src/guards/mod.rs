//! The guards of a route: authentication, admission, and the audit log. One layer for all of them,
//! since each layer costs every request.

pub(crate) mod admit;
pub(crate) mod audit;
pub(crate) mod origin;
#[cfg(test)]
mod tests;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use gavel_config::Scope;

use self::admit::{Admission, admit};
use crate::auth::{Actor, authenticate, end_with_token};
use crate::error::Problem;
use crate::state::AppState;

/// The conditions that a request has to fulfil.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Conditions {
    /// The scope that a credential needs; none if no credential is needed.
    pub(crate) scope: Option<Scope>,
    /// True if requests are refused beyond the limits, or while the host drains.
    pub(crate) is_admitted: bool,
    /// True if the audit log records requests and their senders.
    pub(crate) is_change: bool,
}

impl Conditions {
    /// The place of a request that fulfils them, if it has to have one.
    fn check(self, state: &AppState, request: &mut Request) -> Result<Option<Admission>, Problem> {
        let admitted = self.is_admitted.then(|| admit(state, request));
        let admission = admitted.transpose()?;
        if let Some(scope) = self.scope {
            authenticate(state, scope, request)?;
        }
        Ok(admission)
    }
}

/// Lets a request in that fulfils all conditions.
pub(crate) async fn enter(
    state: &AppState,
    conditions: Conditions,
    request: Request,
    next: Next,
) -> Response {
    let guarded = async |request| answer(state, conditions, request, next).await;
    origin::guard(state, request, guarded).await
}

async fn answer(
    state: &AppState,
    conditions: Conditions,
    mut request: Request,
    next: Next,
) -> Response {
    // Until there is an answer.
    let _admission = match conditions.check(state, &mut request) {
        Ok(admission) => admission,
        Err(problem) => return problem.into_response(),
    };
    let actor = request.extensions().get::<Actor>().cloned();
    let answer = match conditions.is_change {
        true => audit::record(request, next).await,
        false => next.run(request).await,
    };
    end_with_token(state, actor, answer)
}
