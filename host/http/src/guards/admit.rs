//! The admission of requests: none while draining, and no more at one time than the limits allow.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::HttpBody as _;
use axum::extract::Request;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Code, Problem};
use crate::state::AppState;

/// The place of a request among those that are worked on; in its extensions.
///
/// A request that waits for its own client works on nothing: it gives its place to others until its
/// body is there.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    places: Arc<Semaphore>,
    taken: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl Admission {
    fn take(places: &Arc<Semaphore>) -> Result<Self, Problem> {
        let admission = Self {
            places: Arc::clone(places),
            taken: Arc::default(),
        };
        admission.come_back()?;
        Ok(admission)
    }

    /// Gives up the place of a request that has a body to wait for; none if there is nothing to
    /// give up.
    pub(crate) fn step_aside(request: &Request) -> Option<Self> {
        let admission = request.extensions().get::<Self>()?;
        if request.body().is_end_stream() {
            return None;
        }
        admission.taken().take();
        Some(admission.clone())
    }

    /// Gives up the place of a request that has been worked on, and only waits.
    pub(crate) fn leave(&self) {
        self.taken().take();
    }

    /// Takes a place again.
    pub(crate) fn come_back(&self) -> Result<(), Problem> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            Problem::new(
                Code::Overloaded,
                "The host works on as many requests as it can. Try again.",
            )
        })?;
        *self.taken() = Some(place);
        Ok(())
    }

    fn taken(&self) -> MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a place for a request, or turns it away at once rather than letting it wait in a queue
/// that grows.
pub(crate) fn admit(state: &AppState, request: &mut Request) -> Result<Admission, Problem> {
    refuse_while_draining(state)?;
    let admission = Admission::take(&state.admissions)?;
    request.extensions_mut().insert(admission.clone());
    Ok(admission)
}

/// Refuses a request while draining. Requests that wait for events use this too: they are counted
/// elsewhere.
pub(crate) fn refuse_while_draining(state: &AppState) -> Result<(), Problem> {
    if !state.drain.is_cancelled() {
        return Ok(());
    }
    Err(draining())
}

/// The problem for a request that comes after the start of a drain, or whose answer is cut off by
/// it.
pub(crate) fn draining() -> Problem {
    Problem::new(
        Code::Draining,
        "The host is shutting down. Send the request to another one.",
    )
}
