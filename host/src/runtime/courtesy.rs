//! Work that nobody waits for keeps out of the way of live calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// How long such work rests after something that was done while live calls were made, as a multiple of the time that this took. Priorities are not
/// enough: the store has none, and on a kernel that does not preempt, whoever wakes up waits for a slice to end.
const REST: u32 = 2;

/// The longest rest. What takes longer than it should does so on a machine that is full, or for a module that has other limits: then whoever waits
/// for the end of the work would wait without end.
const LONGEST_REST: Duration = Duration::from_millis(10);

/// How long after a live call the next one is expected.
const COMPANY: Duration = Duration::from_millis(20);

/// What stands for the time of a call that was not made.
const NEVER: u64 = u64::MAX;

/// Knows whether live calls are made. Cheap to clone; clones know of the same calls.
#[derive(Debug, Clone)]
pub struct Courtesy {
    start: Instant,
    /// When the last one was made, in milliseconds after the start.
    last_call: Arc<AtomicU64>,
    /// Whose turn it is, and who rests after it.
    turn: Arc<Mutex<()>>,
}

impl Default for Courtesy {
    /// No call was made yet.
    fn default() -> Self {
        Self {
            start: Instant::now(),
            last_call: Arc::new(AtomicU64::new(NEVER)),
            turn: Arc::default(),
        }
    }
}

impl Courtesy {
    /// A live call is made.
    pub(super) fn note_call(&self) {
        self.last_call.store(self.now(), Ordering::Relaxed);
    }

    /// Whether live calls are made these milliseconds.
    pub(super) fn has_company(&self) -> bool {
        let last_call = self.last_call.load(Ordering::Relaxed);
        let since = self.now().saturating_sub(last_call);
        last_call != NEVER && u128::from(since) < COMPANY.as_millis()
    }

    /// How long to rest after something that took `took`.
    pub(super) fn rest_after(took: Duration) -> Duration {
        took.saturating_mul(REST).min(LONGEST_REST)
    }

    /// Does a piece of work, of a few milliseconds. If live calls are made, one piece is done at a time, whoever wants it done, and a rest follows.
    /// Tells whether they are.
    pub async fn take_turns<T>(&self, work: impl Future<Output = T>) -> (T, bool) {
        let _turn = match self.has_company() {
            true => Some(self.turn.lock().await),
            false => None,
        };
        let began = Instant::now();
        let done = work.await;
        let has_company = self.has_company();
        if has_company {
            tokio::time::sleep(Self::rest_after(began.elapsed())).await;
        }
        (done, has_company)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(NEVER)
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
        assert!(began >= ended + took * REST, "it rests in between");
    }

    #[test]
    fn a_rest_is_in_proportion_and_has_an_end() {
        let short = Duration::from_millis(1);
        assert_eq!(Courtesy::rest_after(short), short * REST);
        assert_eq!(Courtesy::rest_after(Duration::from_secs(1)), LONGEST_REST);
    }
}
