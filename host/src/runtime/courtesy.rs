//! Work that nobody waits for keeps out of the way of live calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

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
}

impl Default for Courtesy {
    /// No call was made yet.
    fn default() -> Self {
        Self {
            start: Instant::now(),
            last_call: Arc::new(AtomicU64::new(NEVER)),
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

    /// Does a piece of work, of a few milliseconds, and rests after it if live calls are made. Tells whether they are.
    pub async fn take_turns<T>(&self, work: impl Future<Output = T>) -> (T, bool) {
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

    #[test]
    fn a_rest_is_in_proportion_and_has_an_end() {
        let short = Duration::from_millis(1);
        assert_eq!(Courtesy::rest_after(short), short * REST);
        assert_eq!(Courtesy::rest_after(Duration::from_secs(1)), LONGEST_REST);
    }
}
