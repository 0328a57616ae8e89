//! The clock, through which time is an input.

use std::fmt::Debug;

use time::macros::datetime;
use time::{OffsetDateTime, UtcOffset};

/// The first time that is taken, stored and shown.
pub const EARLIEST: OffsetDateTime = datetime!(0001-01-01 00:00 UTC);
/// The last time that is taken, stored and shown; databases keep microseconds.
pub const LATEST: OffsetDateTime = datetime!(9999-12-31 23:59:59.999999 UTC);

/// The time in UTC, unless it is not between [`EARLIEST`] and [`LATEST`]: every time from a client
/// or a store passes this check, so that all code that computes with it or shows it can do so.
#[must_use]
pub fn in_utc(time: OffsetDateTime) -> Option<OffsetDateTime> {
    time.checked_to_offset(UtcOffset::UTC)
        .filter(|time| (EARLIEST..=LATEST).contains(time))
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_leaves_the_calendar_in_utc_is_none() {
        for time in [
            datetime!(9999-12-31 23:59:59 -00:01),
            datetime!(0001-01-01 00:00:00 +00:01),
            datetime!(0000-12-31 23:59:59 UTC),
            datetime!(-9999-01-01 00:00:00 +23:59),
        ] {
            assert_eq!(in_utc(time), None);
        }
        for time in [EARLIEST, LATEST, datetime!(9999-12-31 23:59:59 +00:01)] {
            assert_eq!(in_utc(time), Some(time));
        }
    }
}
