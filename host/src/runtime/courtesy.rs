//! Work that nobody waits for keeps out of the way of live calls.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

/// How long such work rests after something that was done while live calls were made: as a multiple of the time that this took, for each call that
/// is made per millisecond and core. Priorities are not enough: the store has none, and on a kernel that does not preempt, whoever wakes up waits
/// for a slice to end. A live call costs the whole machine a few tenths of a millisecond, so that one a millisecond and core leaves little of it.
const REST: f64 = 4.0;

/// The shortest rest beside live calls, however few there are, and the longest, however many, as such multiples.
const RESTS: (f64, f64) = (1.0, 10.0);

/// The longest rest. What takes longer than it should does so on a machine that is full, or for a module that has other limits: then whoever waits
/// for the end of the work would wait without end.
const LONGEST_REST: Duration = Duration::from_millis(10);

/// Over how long live calls are counted, and half of how long they are remembered.
const WINDOW: Duration = Duration::from_millis(20);

/// Knows how many live calls are made. Cheap to clone; clones know of the same calls.
#[derive(Debug, Clone)]
pub struct Courtesy {
    calls: Arc<Mutex<Calls>>,
    cores: f64,
    /// Whose turn it is, and who rests after it.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// The live calls of the present window, and those of the one before it.
#[derive(Debug)]
struct Calls {
    since: Instant,
    now: u32,
    before: u32,
}

impl Default for Courtesy {
    /// No call was made yet.
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self {
            calls: Arc::new(Mutex::new(Calls {
                since: Instant::now(),
                now: 0,
                before: 0,
            })),
            cores: f64::from(u32::try_from(cores).unwrap_or(u32::MAX)),
            turn: Arc::default(),
        }
    }
}

impl Courtesy {
    /// A live call is made.
    pub(super) fn note_call(&self) {
        let mut calls = self.calls();
        calls.now = calls.now.saturating_add(1);
    }

    /// How long to rest after something that took `took`; none without live calls.
    pub(super) fn rest_after(&self, took: Duration) -> Option<Duration> {
        let calls = self.calls();
        let number = f64::from(calls.before) + f64::from(calls.now);
        let milliseconds = (WINDOW + calls.since.elapsed()).as_secs_f64() * 1_000.0;
        let rest = REST * number / milliseconds / self.cores;
        let rest = took.mul_f64(rest.clamp(RESTS.0, RESTS.1));
        (number > 0.0).then_some(rest.min(LONGEST_REST))
    }

    /// Does a piece of work, of a few milliseconds. If live calls are made, one piece is done at a time, whoever wants it done, and a rest follows.
    /// Tells whether they are.
    pub async fn take_turns<T>(&self, work: impl Future<Output = T>) -> (T, bool) {
        let _turn = match self.rest_after(Duration::ZERO) {
            Some(_) => Some(self.turn.lock().await),
            None => None,
        };
        let began = Instant::now();
        let done = work.await;
        let rest = self.rest_after(began.elapsed());
        if let Some(rest) = rest {
            tokio::time::sleep(rest).await;
        }
        (done, rest.is_some())
    }

    /// The calls, those that were too long ago forgotten.
    fn calls(&self) -> MutexGuard<'_, Calls> {
        // Nothing panics while it is held.
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = calls.since.elapsed();
        if elapsed >= WINDOW {
            let is_next = elapsed < WINDOW * 2;
            calls.before = if is_next { calls.now } else { 0 };
            calls.now = 0;
            calls.since = if is_next {
                calls.since + WINDOW
            } else {
                Instant::now()
            };
        }
        calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_live_calls_nobody_rests() {
        let (done, has_company) = Courtesy::default().take_turns(async { 7 }).await;
        assert_eq!((done, has_company), (7, false));
    }

    #[tokio::test(start_paused = true)]
    async fn beside_live_calls_one_piece_is_done_at_a_time() {
        let courtesy = Courtesy::default();
        courtesy.note_call();
        let (end_first, first_ends) = tokio::sync::oneshot::channel();
        let mut first = Box::pin(courtesy.take_turns(first_ends));
        let second = courtesy.take_turns(async { Instant::now() });
        assert!(futures::poll!(&mut first).is_pending());
        let mut second = Box::pin(second);
        assert!(futures::poll!(&mut second).is_pending());

        let took = Duration::from_millis(3);
        tokio::time::advance(took).await;
        end_first.send(7).unwrap();
        let ended = Instant::now();
        let ((first, has_company), (began, _)) = futures::join!(first, second);

        assert_eq!((first, has_company), (Ok(7), true));
        assert!(began >= ended + took, "it rests in between");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_is_the_longer_the_more_calls_there_are_and_has_an_end() {
        let work = Duration::from_micros(100);
        let rest_beside = |calls_per_ms_and_core: u32| {
            let courtesy = Courtesy {
                cores: 2.0,
                ..Courtesy::default()
            };
            for _ in 0..calls_per_ms_and_core * 20 * 2 {
                courtesy.note_call();
            }
            courtesy.rest_after(work).unwrap()
        };
        assert_eq!(rest_beside(1), work * 4);
        assert_eq!(rest_beside(2), work * 8);
        assert_eq!(rest_beside(3), work * 10);

        let courtesy = Courtesy::default();
        courtesy.note_call();
        assert_eq!(courtesy.rest_after(work), Some(work));
        assert_eq!(
            courtesy.rest_after(Duration::from_secs(1)),
            Some(LONGEST_REST)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn calls_are_forgotten() {
        let courtesy = Courtesy::default();
        courtesy.note_call();
        tokio::time::advance(WINDOW).await;
        assert!(courtesy.rest_after(Duration::ZERO).is_some());
        tokio::time::advance(WINDOW).await;
        assert_eq!(courtesy.rest_after(Duration::ZERO), None);
    }
}
