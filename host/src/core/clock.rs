//! Time is an input.

use std::fmt::Debug;

use time::OffsetDateTime;

/// Tells the time, in UTC and in whole milliseconds: as fine as the context that deciders see.
pub trait Clock: Debug + Send + Sync {
    /// The time now.
    fn now(&self) -> OffsetDateTime;
}

/// The computer's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the computer's clock"
    )]
    fn now(&self) -> OffsetDateTime {
        let now = OffsetDateTime::now_utc();
        now.replace_millisecond(now.millisecond())
            .expect("a time's own millisecond is in range")
    }
}
