//! The throttle of background work, and of clients that read much: both give way to live calls.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use super::table::{
    LIVE_REST, LIVE_RESTS, LONGEST_REST, LONGEST_TURN, REST, RESTS, SMALL_READ_EVENTS, WINDOW,
};

/// Knows how many live calls are made. Cheap to clone; clones know of the same calls.
#[derive(Debug, Clone)]
pub struct BackgroundThrottle {
    start: Instant,
    /// The count of live calls, packed as [`Calls`].
    calls: Arc<AtomicU64>,
    cores: f64,
    /// The lock of background work, which each piece of work holds through the rest after it.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// The lock of large reads that a client waits for, held in the same way.
    reading: Arc<tokio::sync::Mutex<()>>,
}

/// The live calls of a window, and those of the one before it.
#[derive(Debug, Clone, Copy)]
struct Calls {
    /// The number of the window since the start.
    window: u32,
    before: u16,
    now: u16,
}

impl Calls {
    fn unpack(packed: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = packed.to_be_bytes();
        Self {
            window: u32::from_be_bytes([a, b, c, d]),
            before: u16::from_be_bytes([e, f]),
            now: u16::from_be_bytes([g, h]),
        }
    }

    fn pack(self) -> u64 {
        u64::from(self.window) << 32 | u64::from(self.before) << 16 | u64::from(self.now)
    }

    /// The calls as seen from another window; those of windows before the preceding one count as
    /// none.
    fn at(self, window: u32) -> Self {
        match window.saturating_sub(self.window) {
            0 => self,
            1 => Self {
                window,
                before: self.now,
                now: 0,
            },
            _ => Self {
                window,
                before: 0,
                now: 0,
            },
        }
    }
}

impl Default for BackgroundThrottle {
    /// Starts without any call.
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self {
            start: Instant::now(),
            calls: Arc::default(),
            cores: f64::from(u32::try_from(cores).unwrap_or(u32::MAX)),
            turn: Arc::default(),
            reading: Arc::default(),
        }
    }
}

impl BackgroundThrottle {
    /// Notes a live call: a command, or another call that needs a guest.
    pub fn note_call(&self) {
        let (window, _) = self.window();
        let count = |packed| {
            let calls = Calls::unpack(packed).at(window);
            let now = calls.now.saturating_add(1);
            Some(Calls { now, ..calls }.pack())
        };
        // It is never refused.
        let _ = self
            .calls
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
    }

    /// Tells whether live calls are made.
    #[must_use]
    pub fn live_calls_running(&self) -> bool {
        self.calls() > 0.0
    }

    /// The rest after work that took `took`; none without live calls.
    pub(crate) fn rest_after(&self, took: Duration) -> Option<Duration> {
        let calls = self.calls();
        let long = took.mul_f64((REST * calls).clamp(RESTS.0, RESTS.1));
        (calls > 0.0).then_some(long.min(LONGEST_REST))
    }

    /// The same for a live call that computes without end, in whole multiples of the time that it
    /// took. It has a deadline: it rests only where the others are many, and for no more than
    /// [`LIVE_RESTS`].
    pub(crate) fn live_rests(&self) -> u32 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "cut off on purpose; not negative"
        )]
        let rests = (LIVE_REST * self.calls()) as u32;
        rests.min(LIVE_RESTS)
    }

    /// The live calls per millisecond and core.
    fn calls(&self) -> f64 {
        let (window, elapsed) = self.window();
        let calls = Calls::unpack(self.calls.load(Ordering::Relaxed)).at(window);
        let number = f64::from(calls.before) + f64::from(calls.now);
        let milliseconds = (WINDOW + elapsed).as_secs_f64() * 1_000.0;
        number / milliseconds / self.cores
    }

    /// Runs a piece of work, of a few milliseconds at most. While live calls are made, one piece is
    /// run at a time in the whole host, and a rest follows. Tells whether live calls are made.
    pub async fn take_turns<T>(&self, work: impl Future<Output = T>) -> (T, bool) {
        let _turn = match self.live_calls_running() {
            true => Some(self.turn.lock().await),
            false => None,
        };
        let began = Instant::now();
        let done = work.await;
        let rest = self.rest_after(began.elapsed());
        if let Some(rest) = rest {
            tokio::time::sleep(rest).await;
        }
        (done, rest.is_some())
    }

    /// Reads up to `events` events for a client that waits for them, and processes them: a few
    /// milliseconds of work at most. While live calls are made, one large read is done at a time in
    /// the whole host, and a rest follows: as long as the read took, or twice that if live calls
    /// are many.
    pub async fn read_in_turn<T>(&self, events: u32, read: impl Future<Output = T>) -> T {
        if events <= SMALL_READ_EVENTS || !self.live_calls_running() {
            return read.await;
        }
        let turn = self.reading.lock().await;
        let began = Instant::now();
        let mut read = pin!(read);
        match tokio::time::timeout(LONGEST_TURN, &mut read).await {
            Ok(done) => {
                let rest = began.elapsed().saturating_mul(self.live_rests().max(1));
                tokio::time::sleep(rest).await;
                done
            }
            Err(_) => {
                drop(turn);
                read.await
            }
        }
    }

    /// The number of the present window, and how much of it has passed.
    fn window(&self) -> (u32, Duration) {
        let elapsed = self.start.elapsed();
        let number = elapsed.as_nanos() / WINDOW.as_nanos();
        let passed = elapsed.as_nanos() % WINDOW.as_nanos();
        (
            // For two years.
            u32::try_from(number).unwrap_or(u32::MAX),
            Duration::from_nanos(u64::try_from(passed).unwrap_or_default()),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_live_calls_nobody_rests() {
        let (done, live_calls_running) =
            BackgroundThrottle::default().take_turns(async { 7 }).await;
        assert_eq!((done, live_calls_running), (7, false));
    }

    #[tokio::test(start_paused = true)]
    async fn beside_live_calls_one_piece_is_done_at_a_time() {
        let throttle = BackgroundThrottle::default();
        throttle.note_call();
        let (end_first, first_ends) = tokio::sync::oneshot::channel();
        let mut first = Box::pin(throttle.take_turns(first_ends));
        let second = throttle.take_turns(async { Instant::now() });
        assert!(futures::poll!(&mut first).is_pending());
        let mut second = Box::pin(second);
        assert!(futures::poll!(&mut second).is_pending());

        let took = Duration::from_millis(3);
        tokio::time::advance(took).await;
        end_first.send(7).unwrap();
        let ended = Instant::now();
        let ((first, live_calls_running), (began, _)) = futures::join!(first, second);

        assert_eq!((first, live_calls_running), (Ok(7), true));
        assert!(began >= ended + took, "it rests in between");
    }

    #[tokio::test(start_paused = true)]
    async fn beside_live_calls_one_large_read_is_done_at_a_time_and_small_ones_wait_for_none() {
        let throttle = BackgroundThrottle::default();
        let large = SMALL_READ_EVENTS + 1;
        let never = || throttle.read_in_turn(large, std::future::pending::<()>());
        let mut alone = [Box::pin(never()), Box::pin(never())];
        for read in &mut alone {
            assert!(futures::poll!(read).is_pending());
        }
        assert_eq!(throttle.read_in_turn(large, async { 7 }).await, 7);

        throttle.note_call();
        let mut first = Box::pin(never());
        assert!(futures::poll!(&mut first).is_pending());
        let mut second = Box::pin(throttle.read_in_turn(large, async { 7 }));
        assert!(futures::poll!(&mut second).is_pending());
        let small = throttle.read_in_turn(SMALL_READ_EVENTS, async { 7 });
        assert_eq!(futures::poll!(pin!(small)), std::task::Poll::Ready(7));

        // What does not come to its end keeps the others waiting for a while only.
        tokio::time::advance(LONGEST_TURN).await;
        assert!(futures::poll!(&mut first).is_pending());
        assert_eq!(second.await, 7);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_is_the_longer_the_more_calls_there_are_and_has_an_end() {
        let work = Duration::from_micros(100);
        let rest_beside = |calls_per_ms_and_core: u32| {
            let throttle = BackgroundThrottle {
                cores: 2.0,
                ..BackgroundThrottle::default()
            };
            for _ in 0..calls_per_ms_and_core * 20 * 2 {
                throttle.note_call();
            }
            throttle.rest_after(work).unwrap()
        };
        assert_eq!(rest_beside(1), work * 8);
        assert_eq!(rest_beside(2), work * 16);
        assert_eq!(rest_beside(3), work * 20);

        let throttle = BackgroundThrottle::default();
        throttle.note_call();
        assert_eq!(throttle.rest_after(work), Some(work));
        assert_eq!(
            throttle.rest_after(Duration::from_secs(1)),
            Some(LONGEST_REST)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_live_call_rests_only_beside_many_others() {
        let throttle = BackgroundThrottle {
            cores: 2.0,
            ..BackgroundThrottle::default()
        };
        let rests_beside = |calls: u32| {
            for _ in 0..calls {
                throttle.note_call();
            }
            throttle.live_rests()
        };
        // Four times 9 in 20 ms on two cores is 0.9, 10 are 1.0.
        assert_eq!(rests_beside(0), 0);
        assert_eq!(rests_beside(9), 0);
        assert_eq!(rests_beside(1), 1);
        assert_eq!(rests_beside(1_000), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_are_forgotten() {
        let throttle = BackgroundThrottle::default();
        throttle.note_call();
        tokio::time::advance(WINDOW).await;
        assert!(throttle.rest_after(Duration::ZERO).is_some());
        tokio::time::advance(WINDOW).await;
        assert_eq!(throttle.rest_after(Duration::ZERO), None);
    }
}
