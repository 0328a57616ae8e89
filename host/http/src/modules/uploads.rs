//! The queue of uploads: an upload that waits holds no bytes, and no actor keeps others from their
//! turn.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Code, Problem};

/// The number of uploads that have a turn at one time: one is compiled while others arrive.
const TURNS: usize = 4;
/// The most turns of one actor at one time.
const ACTOR_TURNS: usize = 2;
/// The most uploads of one actor that wait or have a turn.
const ACTOR_PLACES: usize = 16;
/// The delay that a module may have against the pace at which the largest one arrives in time,
/// while others wait for a turn.
const HEADSTART: Duration = Duration::from_secs(5);

/// All uploads that wait or have a turn. Each actor has a queue; the heads of all queues get turns
/// in the order of their arrival there.
#[derive(Debug)]
pub(crate) struct Uploads {
    turns: Arc<Semaphore>,
    /// The queues by actor; as many as there are tokens.
    lines: Mutex<HashMap<String, UploadQueue>>,
    /// A token that each waiting upload holds a clone of.
    waiting: Arc<()>,
}

#[derive(Debug, Clone)]
struct UploadQueue {
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

/// The right to hold the bytes of a module, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _place: OwnedSemaphorePermit,
    _of_actor: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Default for Uploads {
    fn default() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(TURNS)),
            lines: Mutex::default(),
            waiting: Arc::default(),
        }
    }
}

impl Uploads {
    /// A turn for an upload of `actor`, as soon as there is one. Refused when too many of the same
    /// actor wait already.
    pub(crate) async fn turn(&self, actor: &str) -> Result<Turn, Problem> {
        let line = self.line(actor);
        let Ok(place) = line.places.try_acquire_owned() else {
            let detail =
                format!("{ACTOR_PLACES} uploads wait already. Try again when they are done.");
            return Err(Problem::new(Code::Overloaded, detail).with("limit", ACTOR_PLACES));
        };
        let _waits = Arc::clone(&self.waiting);
        let of_actor = line.turns.acquire_owned().await;
        let of_all = Arc::clone(&self.turns).acquire_owned().await;
        match (of_actor, of_all) {
            (Ok(of_actor), Ok(of_all)) => Ok(Turn {
                _place: place,
                _of_actor: of_actor,
                _of_all: of_all,
            }),
            // They are never closed.
            (Err(closed), _) | (_, Err(closed)) => Err(Problem::internal(closed)),
        }
    }

    /// Tells whether an upload has to give up its turn to others that wait: `percent` of it has
    /// arrived `after` its begin.
    pub(crate) fn is_too_slow(&self, percent: u32, limit: Duration, after: Duration) -> bool {
        after > HEADSTART + limit * percent / 100 && Arc::strong_count(&self.waiting) > 1
    }

    fn line(&self, actor: &str) -> UploadQueue {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let line = lines
            .entry(actor.to_owned())
            .or_insert_with(|| UploadQueue {
                places: Arc::new(Semaphore::new(ACTOR_PLACES)),
                turns: Arc::new(Semaphore::new(ACTOR_TURNS)),
            });
        line.clone()
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, poll};

    use super::*;

    #[tokio::test]
    async fn nobody_keeps_the_others_from_their_turn() {
        let uploads = Uploads::default();
        let _first = uploads.turn("ann").await.unwrap();
        let second = uploads.turn("ann").await.unwrap();
        let mut third = Box::pin(uploads.turn("ann"));
        assert!(poll!(&mut third).is_pending());
        let others = [uploads.turn("bob").await, uploads.turn("eve").await];
        assert!(others.iter().all(Result::is_ok));

        // The upload that was first in line for the turns of all comes first.
        let mut later = Box::pin(uploads.turn("kim"));
        assert!(poll!(&mut later).is_pending());
        drop(second);
        assert!(poll!(&mut third).is_pending());
        assert!(later.now_or_never().is_some());
        assert!(poll!(&mut third).is_ready());
    }

    #[tokio::test]
    async fn the_line_of_an_actor_has_an_end() {
        let uploads = Uploads::default();
        let _turns = [uploads.turn("ann").await, uploads.turn("ann").await];
        let waiting = (ACTOR_TURNS..ACTOR_PLACES).map(|_| Box::pin(uploads.turn("ann")));
        let mut waiting: Vec<_> = waiting.collect();
        for turn in &mut waiting {
            assert!(poll!(turn).is_pending());
        }
        let refused = uploads.turn("ann").await.unwrap_err();
        assert_eq!(refused.code(), Code::Overloaded);
        assert!(uploads.turn("bob").await.is_ok());
        waiting.pop();
        assert!(poll!(Box::pin(uploads.turn("ann"))).is_pending());
    }

    #[tokio::test]
    async fn a_module_may_arrive_slowly_unless_others_wait() {
        let uploads = Uploads::default();
        let limit = Duration::from_secs(60);
        let _turns = [uploads.turn("ann").await, uploads.turn("ann").await];
        assert!(!uploads.is_too_slow(0, limit, limit));
        let mut waiting = Box::pin(uploads.turn("ann"));
        assert!(poll!(&mut waiting).is_pending());
        assert!(uploads.is_too_slow(0, limit, HEADSTART + Duration::from_millis(1)));
        assert!(!uploads.is_too_slow(1, limit, HEADSTART));
        assert!(!uploads.is_too_slow(100, limit, limit));
    }
}
