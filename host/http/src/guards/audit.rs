//! The audit log: all changes, with their authors.

use axum::extract::Request;
use axum::http::Method;
use axum::http::header::LOCATION;
use axum::middleware::Next;
use axum::response::Response;
use gavel_model::Namespace;

use crate::auth::Actor;
use crate::extract::namespace;

/// Lets a request through, and logs the change that it has made, with who has made it; also when
/// its sender hangs up: the change may be made all the same.
pub(crate) async fn record(request: Request, next: Next) -> Response {
    let mut change = AuditedChange {
        actor: request.extensions().get::<Actor>().cloned(),
        namespace: namespace(request.headers()).ok(),
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
        is_answered: false,
    };
    let response = next.run(request).await;
    change.is_answered = true;
    if response.status().is_success() {
        let location = response.headers().get(LOCATION);
        let location = location.and_then(|location| location.to_str().ok());
        let several = response.extensions().get::<Changed>();
        let several = several.map(|Changed(locations)| locations.join(" "));
        change.tell(location.or(several.as_deref()), "a change was made");
    }
    response
}

/// The locations that a request has changed, where an answer has room for one only.
#[derive(Debug, Clone)]
pub(crate) struct Changed(pub(crate) Vec<String>);

/// A requested change.
struct AuditedChange {
    actor: Option<Actor>,
    namespace: Option<Namespace>,
    method: Method,
    path: String,
    /// True once the outcome is known.
    is_answered: bool,
}

impl AuditedChange {
    fn tell(&self, location: Option<&str>, message: &str) {
        tracing::info!(
            actor = self.actor.as_ref().map(Actor::name),
            namespace = self.namespace.as_ref().map(Namespace::as_str),
            http.method = %self.method,
            http.path = self.path,
            http.location = location,
            "{message}"
        );
    }
}

impl Drop for AuditedChange {
    fn drop(&mut self) {
        if !self.is_answered {
            self.tell(
                None,
                "a change may have been made: its sender did not wait for the answer",
            );
        }
    }
}
