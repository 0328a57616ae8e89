//! Detection of silent hosts: those that have given no new sign of life for a while, by the clock
//! of this host.
//!
//! The clocks of two hosts are never compared: a host whose clock is ten minutes behind is as alive
//! as the others.

use std::collections::HashMap;
use std::time::Duration;

use gavel_model::RehearsalId;
use gavel_store::Beat;
use tokio::time::Instant;

/// The newest sign of life for each rehearsal, and since when this host knows it.
#[derive(Debug, Default)]
pub(super) struct Beats(HashMap<RehearsalId, (Beat, Instant)>);

impl Beats {
    /// Takes down what is there now, and returns what has been the same for `silence` (inclusive).
    pub(super) fn silent_for(
        &mut self,
        silence: Duration,
        found: Vec<Beat>,
        now: Instant,
    ) -> Vec<Beat> {
        let mut known = std::mem::take(&mut self.0);
        let mut silent = Vec::new();
        for beat in found {
            let since = match known.remove(&beat.id) {
                Some((last, since)) if last == beat => since,
                _ => now,
            };
            if now.duration_since(since) >= silence {
                silent.push(beat.clone());
            }
            self.0.insert(beat.id, (beat, since));
        }
        silent
    }
}

#[cfg(test)]
mod tests {
    use gavel_model::{Namespace, new_id};
    use time::OffsetDateTime;

    use super::*;

    const SILENCE: Duration = Duration::from_secs(10);

    fn beat(id: RehearsalId, seconds: i64) -> Beat {
        Beat {
            namespace: Namespace::default(),
            id,
            seen_at: OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds),
        }
    }

    #[test]
    fn a_host_is_silent_once_it_has_said_nothing_new_for_a_while_whatever_its_clock_says() {
        let (alive, gone, start) = (new_id(), new_id(), Instant::now());
        let mut beats = Beats::default();
        for second in 0..30 {
            // A clock that is an hour behind and runs backwards, and one far in the future that
            // stands still.
            let (behind, last) = (beat(alive, -3_600 - second), beat(gone, 1 << 35));
            let now = start + Duration::from_secs(second.unsigned_abs());
            let silent = beats.silent_for(SILENCE, vec![behind, last.clone()], now);
            let expected = if second < 10 { vec![] } else { vec![last] };
            assert_eq!(silent, expected, "after {second} s");
        }
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let (id, start) = (new_id(), Instant::now());
        let mut beats = Beats::default();
        for (second, found) in [(0, vec![beat(id, 1)]), (5, vec![]), (11, vec![beat(id, 1)])] {
            let now = start + Duration::from_secs(second);
            assert_eq!(beats.silent_for(SILENCE, found, now), []);
        }
        assert_eq!(beats.0.len(), 1);
    }
}
