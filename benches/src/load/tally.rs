//! The outcomes of requests.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use hyper::StatusCode;

/// Counts, and the latencies of what was answered as expected.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    latencies_us: Histogram<u64>,
    /// Commands that were answered as expected; a batch holds many.
    pub(crate) commands: u64,
    /// Answers that were not expected, by status. A batch with a refused command counts as 207.
    pub(crate) others: BTreeMap<u16, u64>,
    /// Requests whose connection broke.
    pub(crate) broken: u64,
    /// Requests of an open loop that were due and never sent, because no connection was free in
    /// time.
    pub(crate) unsent: u64,
    /// The time from the first request to the last answer.
    pub(crate) elapsed: Duration,
    /// The time of each expected answer, since the start, and its latency; empty unless asked for.
    pub(crate) timeline: Vec<(Duration, Duration)>,
}

impl Default for Tally {
    fn default() -> Self {
        // Three digits from 1 µs to 10 minutes; what lasts longer counts as 10 minutes.
        let latencies_us =
            Histogram::new_with_bounds(1, 600_000_000, 3).expect("the bounds are valid");
        Self {
            latencies_us,
            commands: 0,
            others: BTreeMap::new(),
            broken: 0,
            unsent: 0,
            elapsed: Duration::ZERO,
            timeline: Vec::new(),
        }
    }
}

impl Tally {
    /// A tally of work whose parts were not timed.
    pub(crate) fn untimed(commands: u64, elapsed: Duration) -> Self {
        Self {
            commands,
            elapsed,
            ..Self::default()
        }
    }

    /// Counts an expected answer to a request of `commands`.
    pub(crate) fn accept(&mut self, latency: Duration, commands: u64) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.latencies_us.saturating_record(micros.max(1));
        self.commands += commands;
    }

    /// Counts an answer that was not expected.
    pub(crate) fn refuse(&mut self, status: StatusCode) {
        *self.others.entry(status.as_u16()).or_default() += 1;
    }

    /// Commands answered as expected, per second.
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 commands")]
    pub(crate) fn per_second(&self) -> f64 {
        self.commands as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency that `percent` of the expected answers did not pass, in milliseconds.
    pub(crate) fn percentile_ms(&self, percent: f64) -> f64 {
        micros_to_ms(self.latencies_us.value_at_percentile(percent))
    }

    /// The longest latency, in milliseconds.
    pub(crate) fn max_ms(&self) -> f64 {
        micros_to_ms(self.latencies_us.max())
    }

    /// Describes the unexpected outcomes; empty if there is none.
    pub(crate) fn complaint(&self) -> String {
        let mut parts: Vec<_> = self
            .others
            .iter()
            .map(|(status, count)| format!("{count} x {status}"))
            .collect();
        for (count, what) in [(self.broken, "broken"), (self.unsent, "unsent")] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        parts.join(", ")
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 µs")]
fn micros_to_ms(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

/// The latency that `percent` of these did not pass, in milliseconds; NaN if there are none.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "an index within the list"
)]
pub(crate) fn percentile_ms(mut latencies: Vec<Duration>, percent: f64) -> f64 {
    latencies.sort_unstable();
    let rank = (latencies.len() as f64 * percent / 100.0).ceil() as usize;
    latencies
        .get(rank.saturating_sub(1))
        .map_or(f64::NAN, |latency| latency.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_expected_answers_count_as_throughput() {
        let mut tally = Tally {
            elapsed: Duration::from_secs(2),
            ..Tally::default()
        };
        tally.accept(Duration::from_millis(3), 100);
        tally.refuse(StatusCode::SERVICE_UNAVAILABLE);
        tally.broken = 2;
        assert_eq!(tally.per_second(), 50.0);
        assert!((tally.percentile_ms(99.0) - 3.0).abs() < 0.01);
        assert_eq!(tally.complaint(), "1 x 503, 2 broken");
    }

    #[test]
    fn a_percentile_of_a_list_is_one_of_its_members() {
        let millis = |millis: &[u64]| millis.iter().copied().map(Duration::from_millis).collect();
        assert_eq!(percentile_ms(millis(&[3, 1, 2, 4]), 50.0), 2.0);
        assert_eq!(percentile_ms(millis(&[3, 1, 2, 4]), 99.0), 4.0);
        assert_eq!(percentile_ms(millis(&[7]), 0.0), 7.0);
        assert!(percentile_ms(Vec::new(), 50.0).is_nan());
    }
}
