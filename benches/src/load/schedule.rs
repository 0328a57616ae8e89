//! The due times of the requests of an open loop. Pure: the clock is the caller's.

use std::time::Duration;

/// Requests at a steady rate, the first at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Schedule {
    rate_per_s: f64,
    count: u64,
}

impl Schedule {
    /// As many requests as `rate_per_s` makes within `length`.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count far below the limits of both types"
    )]
    pub(super) fn new(rate_per_s: f64, length: Duration) -> Self {
        let count = (rate_per_s * length.as_secs_f64()).round().max(1.0) as u64;
        Self { rate_per_s, count }
    }

    /// The number of requests.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The due time of request `number` (from 0), since the start. It does not depend on the
    /// outcome of earlier requests, so that lateness never adds up.
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 requests")]
    pub(super) fn due(&self, number: u64) -> Duration {
        Duration::from_secs_f64(number as f64 / self.rate_per_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Tally;

    #[test]
    fn requests_are_due_at_a_steady_rate() {
        let schedule = Schedule::new(1000.0, Duration::from_secs(2));
        assert_eq!(schedule.count(), 2000);
        assert_eq!(schedule.due(0), Duration::ZERO);
        assert_eq!(schedule.due(1), Duration::from_millis(1));
        assert_eq!(schedule.due(1999), Duration::from_millis(1999));
        assert_eq!(Schedule::new(0.1, Duration::from_secs(1)).count(), 1);
    }

    /// One server takes 1 ms for a request, and once stalls for 100 ms. A driver that waits for
    /// each answer sees one slow request; the stall is in the latencies of all that were due
    /// meanwhile.
    #[test]
    fn a_stall_is_in_the_latency_of_every_request_that_it_held_up() {
        let schedule = Schedule::new(500.0, Duration::from_secs(1));
        let (mut from_due, mut from_sent) = (Tally::default(), Tally::default());
        let mut free = Duration::ZERO;
        for number in 0..schedule.count() {
            let due = schedule.due(number);
            let sent = due.max(free);
            let stall = if number == 100 { 100 } else { 0 };
            free = sent + Duration::from_millis(1 + stall);
            from_due.accept(free - due, 1);
            from_sent.accept(free - sent, 1);
        }
        assert!(from_sent.percentile_ms(99.0) < 1.1);
        assert!(from_due.percentile_ms(99.0) > 90.0);
        assert!(from_due.percentile_ms(50.0) < 1.1, "half came later");
    }
}
