//! The progress that steps report while they run, and the way to cancel them.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::{Error, Progress, Step};

/// Progress that can be looked at from outside, and a way to stop. A cheap clone: all clones are
/// the same.
#[derive(Debug, Clone, Default)]
pub struct Watch(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    step: Mutex<Option<Begun>>,
    streams: AtomicU64,
    events: AtomicU64,
    commands: AtomicU64,
    cancelled: CancellationToken,
}

#[derive(Debug, Clone, Copy)]
struct Begun {
    step: Step,
    at: Instant,
    events_total: u64,
}

impl Watch {
    /// Has whatever is watched stop soon.
    pub fn cancel(&self) {
        self.0.cancelled.cancel();
    }

    /// Waits until the watch is cancelled.
    pub async fn cancelled(&self) {
        self.0.cancelled.cancelled().await;
    }

    /// # Errors
    ///
    /// [`Error::Cancelled`] when it is.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.0.cancelled.is_cancelled() {
            return Err(Error::Cancelled);
        }
        Ok(())
    }

    /// Begins a step, with so many events to fold.
    pub(super) fn begin(&self, step: Step, events_total: u64) {
        let begun = Begun {
            step,
            at: Instant::now(),
            events_total,
        };
        *self.0.step.lock().unwrap_or_else(PoisonError::into_inner) = Some(begun);
        for counter in [&self.0.streams, &self.0.events, &self.0.commands] {
            counter.store(0, Ordering::Relaxed);
        }
    }

    /// Counts what is done of a stream.
    pub(super) fn did(&self, streams: u64, events: usize, commands: usize) {
        self.0.streams.fetch_add(streams, Ordering::Relaxed);
        self.0.events.fetch_add(events as u64, Ordering::Relaxed);
        self.0
            .commands
            .fetch_add(commands as u64, Ordering::Relaxed);
    }

    /// Gives the progress of the step that is under way.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let begun = *self.0.step.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(begun) = begun else {
            return Progress::default();
        };
        let events = self.0.events.load(Ordering::Relaxed);
        let seconds = begun.at.elapsed().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate is shown to people")]
        let rate = if seconds > 0.0 {
            events as f64 / seconds
        } else {
            0.0
        };
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let left = begun.events_total.saturating_sub(events) as f64;
        Progress {
            step: Some(begun.step),
            streams: self.0.streams.load(Ordering::Relaxed),
            events,
            events_total: begun.events_total,
            commands: self.0.commands.load(Ordering::Relaxed),
            events_per_second: rate,
            seconds_left: (rate > 0.0).then(|| left / rate),
        }
    }
}
