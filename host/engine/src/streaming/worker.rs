//! The worker of one consumer: leases events, hands them to the receiver, and reports the outcome.

use std::sync::Arc;
use std::time::Duration;

use gavel_model::{ConsumerId, ConsumerSettings, Lease, LeaseId};
use gavel_store::ConsumerError;
use tokio::pin;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Consumers;
use super::receiver::{DeliveryOutcome, Receiver};

/// The most streams of one consumer that are handed over at the same time.
const STREAMS: u32 = 16;
/// The most events that are leased at a time, shared out among the streams that are free.
pub(super) const EVENTS: u32 = 256;
/// The time that a worker waits for events before it asks again.
const WAIT: Duration = Duration::from_secs(60);
/// The pause after the store could not be asked.
const PAUSE: Duration = Duration::from_secs(1);
/// The number of attempts to record an outcome in the store. After that the events come again when
/// their lease expires.
const SETTLE_ATTEMPTS: u32 = 5;

/// Serves one consumer.
///
/// **Invariant:** a stream that fails, or whose receiver is slow, holds up no other stream, up to
/// [`STREAMS`] of them.
#[derive(Debug, Clone)]
pub(super) struct Worker {
    pub(super) consumers: Consumers,
    pub(super) receiver: Arc<dyn Receiver>,
    pub(super) id: ConsumerId,
    pub(super) settings: ConsumerSettings,
}

impl Worker {
    /// Hands over events until it is stopped or the consumer is deleted, and then finishes what is
    /// under way.
    pub(super) async fn run(self, stop: CancellationToken) {
        if let Some(reason) = self.receiver.forbids() {
            self.pause(&reason).await;
        }
        let mut handing_over = JoinSet::new();
        while !stop.is_cancelled() {
            if let Some(until) = self.receiver.rests_until() {
                tokio::select! {
                    () = sleep_until(until) => {}
                    Some(_) = handing_over.join_next() => {}
                    () = stop.cancelled() => {}
                }
                continue;
            }
            let free = STREAMS.saturating_sub(u32::try_from(handing_over.len()).unwrap_or(STREAMS));
            if free == 0 {
                tokio::select! {
                    _ = handing_over.join_next() => {}
                    () = stop.cancelled() => {}
                }
                continue;
            }
            match self.lease(free, &mut handing_over, &stop).await {
                Ok(leases) if stop.is_cancelled() => self.give_back(leases).await,
                Ok(leases) => {
                    for lease in leases {
                        let worker = self.clone();
                        handing_over.spawn(async move { worker.hand_over(lease).await });
                    }
                }
                Err(ConsumerError::NotFound) => break,
                Err(error) => {
                    tracing::warn!(
                        consumer = %self.id,
                        error = &error as &dyn std::error::Error,
                        "nothing can be leased for the receiver of a consumer"
                    );
                    sleep(PAUSE).await;
                }
            }
        }
        while handing_over.join_next().await.is_some() {}
    }

    /// Leases, and meanwhile collects finished deliveries. A lease that is being taken is not given
    /// up for them, nor to stop.
    async fn lease(
        &self,
        free: u32,
        handing_over: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> Result<Vec<Lease>, ConsumerError> {
        let stopped = stop.cancelled();
        let leasing = self.consumers.lease(&self.id, free, EVENTS, WAIT, stopped);
        pin!(leasing);
        loop {
            tokio::select! {
                leased = &mut leasing => return leased,
                Some(_) = handing_over.join_next() => {}
            }
        }
    }

    /// Leaves to others what is not to be handed over any more. What cannot be given back is free
    /// when its lease expires.
    async fn give_back(&self, leases: Vec<Lease>) {
        for lease in leases {
            let released = self
                .tell(lease.id, &DeliveryOutcome::Later(Duration::ZERO))
                .await;
            if let Err(error) = released {
                tracing::warn!(
                    consumer = %self.id,
                    error = &error as &dyn std::error::Error,
                    "a lease cannot be given back"
                );
            }
        }
    }

    async fn hand_over(&self, lease: Lease) {
        let id = lease.id;
        // An outcome that comes when the lease is over helps nobody.
        let within = self.settings.lock_timeout * 4 / 5;
        let outcome = self.receiver.take(lease, within).await;
        for _ in 0..SETTLE_ATTEMPTS {
            match self.tell(id, &outcome).await {
                Err(error) if error.is_retryable() => sleep(PAUSE).await,
                Ok(()) | Err(_) => break,
            }
        }
        // Only now, so that who sees it paused finds nothing leased.
        if let DeliveryOutcome::Forbidden { reason, .. } = outcome {
            self.pause(&reason).await;
        }
    }

    /// Stops what must not be handed over. Where that cannot be written down, the receiver forbids
    /// the next lease as well.
    async fn pause(&self, reason: &str) {
        let paused = self.consumers.pause_for(&self.id, &self.settings, reason);
        match paused.await {
            Ok(true) => tracing::warn!(consumer = %self.id, reason, "a consumer is paused"),
            Ok(false) => {}
            Err(error) => tracing::warn!(
                consumer = %self.id,
                reason,
                error = &error as &dyn std::error::Error,
                "a consumer cannot be paused"
            ),
        }
    }

    /// Lets the store know what becomes of a lease.
    async fn tell(&self, lease: LeaseId, outcome: &DeliveryOutcome) -> Result<(), ConsumerError> {
        let (consumers, id) = (&self.consumers, &self.id);
        match outcome {
            DeliveryOutcome::Taken(through) => {
                consumers.ack(id, lease, *through, false).await?;
            }
            DeliveryOutcome::Refused { reason, rest } => {
                consumers.nack(id, lease, *rest, reason).await?;
            }
            DeliveryOutcome::Later(rest) | DeliveryOutcome::Forbidden { rest, .. } => {
                consumers.release(id, lease, *rest).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use async_trait::async_trait;
    use gavel_model::{EventFilter, Namespace, Push, Start, SystemClock};
    use gavel_sandbox::BackgroundThrottle;
    use gavel_store::conformance::support::{activate_counter, grow, stream};
    use gavel_store::{MemoryStore, Store};
    use tokio::task::JoinHandle;
    use tokio::time::{Instant, timeout};

    use super::super::receiver::Outage;
    use super::super::{Log, PushRules, PushSettings};
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);

    /// Answers one lease after the other with a scripted outcome, and takes the rest.
    #[derive(Debug, Default)]
    struct Scripted {
        outcomes: Mutex<VecDeque<DeliveryOutcome>>,
        /// The first version and the attempt of each lease.
        seen: Mutex<Vec<(u64, u32)>>,
        forbids: Option<String>,
    }

    #[async_trait]
    impl Receiver for Scripted {
        async fn take(&self, lease: Lease, _: Duration) -> DeliveryOutcome {
            let first = lease.events[0].version.get();
            self.seen.lock().unwrap().push((first, lease.attempt));
            let all = lease.events.last().unwrap().position;
            let next = self.outcomes.lock().unwrap().pop_front();
            next.unwrap_or(DeliveryOutcome::Taken(all))
        }

        fn forbids(&self) -> Option<String> {
            self.forbids.clone()
        }

        fn rests_until(&self) -> Option<Instant> {
            None
        }

        fn outage(&self) -> Option<Outage> {
            None
        }
    }

    struct Case {
        store: Arc<dyn Store>,
        id: ConsumerId,
        receiver: Arc<Scripted>,
        stop: CancellationToken,
        worker: JoinHandle<()>,
    }

    impl Case {
        /// Hands over a stream of three events.
        async fn start(
            outcomes: impl FnOnce(&[gavel_model::RecordedEvent]) -> Vec<DeliveryOutcome>,
            forbids: Option<&str>,
        ) -> Self {
            let clock = Arc::new(SystemClock);
            let store: Arc<dyn Store> = Arc::new(MemoryStore::new(clock.clone()));
            activate_counter(&*store).await;
            let events = grow(&*store, &stream("a"), 3).await;
            let id = ConsumerId::new(Namespace::default(), "hook").unwrap();
            let settings = ConsumerSettings {
                filter: EventFilter::default(),
                lock_timeout: Duration::from_secs(3_600),
                max_attempts: 2,
                backoff: Duration::ZERO,
                push: Some(Push {
                    url: "http://receiver.example/".to_owned(),
                    secret: None,
                }),
            };
            store
                .put_consumer(&id, &settings, Start::Beginning)
                .await
                .unwrap();
            let receiver = Arc::new(Scripted {
                outcomes: Mutex::new(outcomes(&events).into()),
                forbids: forbids.map(str::to_owned),
                ..Scripted::default()
            });
            let log = Log::new(store.clone(), clock, BackgroundThrottle::default());
            let rules = PushRules::new(None, ([127, 0, 0, 1], 4000).into());
            let push = PushSettings {
                timeout: DEADLINE,
                rules,
            };
            let stop = CancellationToken::new();
            let worker = Worker {
                consumers: Consumers::new(store.clone(), log, push),
                receiver: receiver.clone(),
                id: id.clone(),
                settings,
            };
            let worker = tokio::spawn(worker.run(stop.clone()));
            Self {
                store,
                id,
                receiver,
                stop,
                worker,
            }
        }

        /// Waits until the consumer is as `wanted`, and stops the worker.
        async fn until(self, wanted: impl Fn(&gavel_model::Consumer) -> bool) -> Vec<(u64, u32)> {
            let waiting = async {
                while !wanted(&self.store.consumer(&self.id, 100).await.unwrap()) {
                    tokio::task::yield_now().await;
                }
            };
            timeout(DEADLINE, waiting).await.unwrap();
            self.stop.cancel();
            timeout(DEADLINE, self.worker).await.unwrap().unwrap();
            let seen = self.receiver.seen.lock().unwrap();
            seen.clone()
        }
    }

    #[tokio::test]
    async fn a_refusal_is_an_attempt_and_what_is_to_come_later_is_none() {
        let refused = || DeliveryOutcome::Refused {
            reason: "disk full".to_owned(),
            rest: None,
        };
        let outcomes = |events: &[gavel_model::RecordedEvent]| {
            let first = DeliveryOutcome::Taken(events[0].position);
            vec![
                first,
                DeliveryOutcome::Later(Duration::ZERO),
                refused(),
                refused(),
            ]
        };
        let case = Case::start(outcomes, None).await;
        let (store, id) = (case.store.clone(), case.id.clone());
        let seen = case.until(|consumer| consumer.parked == 1).await;
        assert_eq!(seen, [(1, 1), (2, 1), (2, 1), (2, 2)]);
        let parked = store.list_parked(&id, None, 10).await.unwrap();
        assert_eq!(parked[0].reason, "disk full");
    }

    #[tokio::test]
    async fn a_consumer_whose_receiver_is_forbidden_is_paused_and_loses_no_attempt() {
        let outcomes = |_: &[gavel_model::RecordedEvent]| {
            vec![DeliveryOutcome::Forbidden {
                reason: "not there".to_owned(),
                rest: Duration::ZERO,
            }]
        };
        let case = Case::start(outcomes, None).await;
        let seen = case
            .until(|consumer| consumer.paused_reason.as_deref() == Some("not there"))
            .await;
        assert_eq!(seen[0], (1, 1));

        let case = Case::start(|_| Vec::new(), Some("nowhere")).await;
        let seen = case
            .until(|consumer| consumer.paused_reason.as_deref() == Some("nowhere"))
            .await;
        assert_eq!(seen, [], "it was paused before anything was handed over");
    }
}
