//! The health of one consumer's receiver, as the consumer's worker knows it: whether the receiver
//! takes anything at present, and which streams it has had trouble with.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gavel_model::{ConsumerId, StreamId};
use time::OffsetDateTime;
use tokio::time::Instant;

use super::poster::{DeliveryError, DeliveryFault};
use crate::streaming::receiver::Outage;
use crate::streaming::worker::EVENTS;

/// The first rest of a receiver that begins to fail; it doubles after each further failure.
const FIRST_REST: Duration = Duration::from_secs(1);
/// The longest that a receiver is left alone, whatever it asks for, so that one that is back is
/// noticed.
const LONGEST_REST: Duration = Duration::from_secs(60);
/// The most streams that are remembered because of trouble. Beyond that all are forgotten, which
/// costs each of them a delivery.
const TROUBLED_STREAMS: usize = 4_096;

/// The verdict on a lease whose delivery has failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DeliveryVerdict {
    /// The failure counts as an attempt of the stream.
    Counts,
    /// The failure says nothing about the stream, which is tried again after this time.
    Rests(Duration),
}

/// The health of one receiver, in memory alone: another host, or a worker with other settings,
/// finds out for itself.
#[derive(Debug, Default)]
pub(super) struct Health(Mutex<DeliveryRecord>);

#[derive(Debug, Default)]
struct DeliveryRecord {
    failing: Option<Failing>,
    /// The start of the last delivery that the receiver took.
    taken: Option<Instant>,
    troubled: HashMap<StreamId, Trouble>,
}

#[derive(Debug)]
struct Failing {
    outage: Outage,
    since: Instant,
    /// The time of the last failure.
    last: Instant,
    /// The time until which nothing is delivered.
    until: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Trouble {
    /// The most events of the next delivery.
    events: usize,
    /// The time at which the receiver failed for this stream as it may fail for any.
    failed: Option<Instant>,
}

impl Health {
    fn known(&self) -> MutexGuard<'_, DeliveryRecord> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the present outage of the receiver.
    pub(super) fn outage(&self) -> Option<Outage> {
        let known = self.known();
        known.failing.as_ref().map(|failing| failing.outage.clone())
    }

    /// Gives the time until which nothing is to be delivered.
    pub(super) fn rests_until(&self) -> Option<Instant> {
        let until = self.known().failing.as_ref()?.until;
        (until > Instant::now()).then_some(until)
    }

    /// Gives the most events of a stream that one delivery holds.
    pub(super) fn events(&self, stream: &StreamId) -> usize {
        let known = self.known();
        known
            .troubled
            .get(stream)
            .map_or(EVENTS as usize, |trouble| trouble.events)
    }

    /// Records that the receiver has taken a delivery that began at `began`.
    pub(super) fn taken(&self, id: &ConsumerId, stream: &StreamId, began: Instant) {
        let mut known = self.known();
        known.taken = known.taken.max(Some(began));
        if let Some(trouble) = known.troubled.get_mut(stream) {
            // So that a receiver of small batches is not asked for large ones each time.
            trouble.events *= 2;
            trouble.failed = None;
            if trouble.events >= EVENTS as usize {
                known.troubled.remove(stream);
            }
        }
        known.answered(id, began);
    }

    /// Records that a delivery of `events` events that began at `began` was not taken at `now`.
    ///
    /// A failure of the receiver does not count against the stream, unless the receiver has taken
    /// something else since it last failed for this stream.
    pub(super) fn refused(
        &self,
        id: &ConsumerId,
        (stream, events): (&StreamId, usize),
        began: Instant,
        refused: &DeliveryError,
        now: OffsetDateTime,
    ) -> DeliveryVerdict {
        let mut known = self.known();
        if known.troubled.len() >= TROUBLED_STREAMS {
            known.troubled.clear();
        }
        let taken = known.taken;
        let trouble = known.troubled.entry(stream.clone()).or_insert(Trouble {
            events,
            failed: None,
        });
        trouble.events = (events / 2).max(1);
        let failed = trouble.failed;
        match refused.fault {
            DeliveryFault::TooLarge if events > 1 => {
                known.answered(id, began);
                return DeliveryVerdict::Rests(Duration::ZERO);
            }
            DeliveryFault::TooLarge | DeliveryFault::Events => {
                known.answered(id, began);
                return DeliveryVerdict::Counts;
            }
            DeliveryFault::Unknown if failed.is_some_and(|failed| taken > Some(failed)) => {
                trouble.failed = Some(Instant::now());
                return DeliveryVerdict::Counts;
            }
            DeliveryFault::Unknown | DeliveryFault::Receiver | DeliveryFault::NotAllowed => {
                trouble.failed = Some(Instant::now());
            }
        }
        let rest = known.failed(id, began, refused, now);
        // Once more, so that others are tried first.
        let rest = rest + FIRST_REST;
        DeliveryVerdict::Rests(refused.retry_after.map_or(rest, |wanted| wanted.max(rest)))
    }
}

impl DeliveryRecord {
    /// Records that the receiver answers. An answer to a delivery from before the outage says
    /// nothing.
    fn answered(&mut self, id: &ConsumerId, began: Instant) {
        if self
            .failing
            .as_ref()
            .is_some_and(|failing| failing.since < began)
        {
            self.failing = None;
            tracing::info!(consumer = %id, "the receiver of a consumer works again");
        }
    }

    /// Records a failure of the receiver, and gives the time for which the receiver is left alone.
    /// A delivery that was under way when the receiver failed before says nothing new.
    fn failed(
        &mut self,
        id: &ConsumerId,
        began: Instant,
        refused: &DeliveryError,
        now: OffsetDateTime,
    ) -> Duration {
        let moment = Instant::now();
        let (since, attempt) = match &self.failing {
            Some(failing) if began <= failing.last => {
                return failing.until.saturating_duration_since(moment);
            }
            Some(failing) => (failing.since, failing.outage.attempt.saturating_add(1)),
            None => {
                tracing::warn!(
                    consumer = %id,
                    reason = refused.reason,
                    "the receiver of a consumer fails, and is left alone for a while"
                );
                (moment, 1)
            }
        };
        let doubled = FIRST_REST.saturating_mul(1 << (attempt - 1).min(30));
        let rest = doubled
            .max(refused.retry_after.unwrap_or_default())
            .min(LONGEST_REST);
        self.failing = Some(Failing {
            outage: Outage {
                last_error: refused.reason.clone(),
                attempt,
                retry_at: now + rest,
            },
            since,
            last: moment,
            until: moment + rest,
        });
        rest
    }
}

#[cfg(test)]
mod tests {
    use gavel_model::{DeciderName, Namespace};

    use super::*;

    struct Case {
        health: Health,
        id: ConsumerId,
    }

    impl Case {
        fn new() -> Self {
            Self {
                health: Health::default(),
                id: ConsumerId::new(Namespace::default(), "hook").unwrap(),
            }
        }

        fn refuse(&self, name: &str, events: usize, fault: DeliveryFault) -> DeliveryVerdict {
            let refused = DeliveryError {
                fault,
                reason: "no".to_owned(),
                retry_after: None,
            };
            let now = OffsetDateTime::UNIX_EPOCH;
            let began = Instant::now();
            self.health
                .refused(&self.id, (&stream(name), events), began, &refused, now)
        }

        fn take(&self, name: &str) {
            self.health.taken(&self.id, &stream(name), Instant::now());
        }
    }

    fn stream(id: &str) -> StreamId {
        let decider = DeciderName::new("counter").unwrap();
        StreamId::new(Namespace::default(), decider, id).unwrap()
    }

    async fn pass(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_costs_no_stream_an_attempt_and_rests_longer_each_time() {
        let case = Case::new();
        let mut rests = Vec::new();
        for attempt in 1..=9 {
            let verdict = case.refuse("a", 8, DeliveryFault::Unknown);
            let DeliveryVerdict::Rests(rest) = verdict else {
                panic!("{verdict:?}")
            };
            rests.push((rest - FIRST_REST).as_secs());
            assert_eq!(case.health.outage().unwrap().attempt, attempt);
            assert!(case.health.rests_until().is_some());
            pass(90).await;
            assert!(case.health.rests_until().is_none());
        }
        assert_eq!(rests, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        case.take("a");
        assert_eq!(case.health.outage(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_blamed_once_the_receiver_has_taken_another_meanwhile() {
        let case = Case::new();
        for fault in [DeliveryFault::Unknown, DeliveryFault::Receiver] {
            assert!(matches!(
                case.refuse("bad", 8, fault),
                DeliveryVerdict::Rests(_)
            ));
            pass(3).await;
            case.take("good");
            pass(3).await;
        }
        assert_eq!(
            case.refuse("bad", 1, DeliveryFault::Unknown),
            DeliveryVerdict::Counts
        );
        assert_eq!(case.health.outage(), None, "the receiver works");
        // Nothing was taken since.
        assert!(matches!(
            case.refuse("bad", 1, DeliveryFault::Unknown),
            DeliveryVerdict::Rests(_)
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_comes_in_halves_down_to_one_event() {
        let case = Case::new();
        assert_eq!(case.health.events(&stream("a")), EVENTS as usize);
        assert_eq!(
            case.refuse("a", 5, DeliveryFault::TooLarge),
            DeliveryVerdict::Rests(Duration::ZERO)
        );
        assert_eq!(case.health.events(&stream("a")), 2);
        assert_eq!(
            case.refuse("a", 2, DeliveryFault::Events),
            DeliveryVerdict::Counts
        );
        assert_eq!(case.health.events(&stream("a")), 1);
        assert_eq!(
            case.refuse("a", 1, DeliveryFault::TooLarge),
            DeliveryVerdict::Counts
        );
        assert_eq!(case.health.events(&stream("a")), 1);
        assert_eq!(case.health.outage(), None);
        for events in [2, 4, 8, 16, 32, 64, 128, EVENTS as usize] {
            case.take("a");
            assert_eq!(case.health.events(&stream("a")), events);
        }
        assert!(case.health.known().troubled.is_empty());
    }
}
