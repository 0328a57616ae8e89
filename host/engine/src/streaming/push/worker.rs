//! The worker of one consumer: leases, delivers, and says what became of it.

use std::sync::Arc;
use std::time::Duration;

use gavel_model::{Clock, ConsumerId, ConsumerSettings, Lease, Push};
use gavel_store::ConsumerError;
use tokio::pin;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::health::{Health, Verdict};
use super::receiver::{Fault, Receiver, Refused};
use super::{BODY_BYTES, EVENTS, Encode, STREAMS, WAIT};
use crate::streaming::Consumers;

/// The pause after the store could not be asked.
const PAUSE: Duration = Duration::from_secs(1);
/// How often the store is told of an outcome. After that the events are delivered again when their lease expires.
const TELLINGS: u32 = 5;

/// Serves one consumer.
#[derive(Debug, Clone)]
pub(super) struct Worker {
    pub(super) consumers: Consumers,
    pub(super) receiver: Receiver,
    pub(super) encode: Encode,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) health: Arc<Health>,
    pub(super) id: ConsumerId,
    pub(super) settings: ConsumerSettings,
}

impl Worker {
    /// Delivers until it is stopped or the consumer is gone, and then finishes what is under way.
    pub(super) async fn run(self, stop: CancellationToken) {
        let Some(push) = self.settings.push.clone() else {
            return;
        };
        if let Err(refused) = self.receiver.url(&push)
            && refused.fault == Fault::NotAllowed
        {
            self.pause(&push, &refused).await;
        }
        let mut deliveries = JoinSet::new();
        while !stop.is_cancelled() {
            if let Some(until) = self.health.rests_until() {
                tokio::select! {
                    () = sleep_until(until) => {}
                    Some(_) = deliveries.join_next() => {}
                    () = stop.cancelled() => {}
                }
                continue;
            }
            let free = STREAMS.saturating_sub(u32::try_from(deliveries.len()).unwrap_or(STREAMS));
            if free == 0 {
                tokio::select! {
                    _ = deliveries.join_next() => {}
                    () = stop.cancelled() => {}
                }
                continue;
            }
            match self.lease(free, &mut deliveries, &stop).await {
                Ok(leases) if stop.is_cancelled() => self.give_back(leases).await,
                Ok(leases) => {
                    for lease in leases {
                        let (worker, push) = (self.clone(), push.clone());
                        deliveries.spawn(async move { worker.deliver(&push, lease).await });
                    }
                }
                Err(ConsumerError::NotFound) => break,
                Err(error) => {
                    tracing::warn!(
                        consumer = %self.id,
                        error = &error as &dyn std::error::Error,
                        "nothing can be leased to be pushed"
                    );
                    sleep(PAUSE).await;
                }
            }
        }
        while deliveries.join_next().await.is_some() {}
    }

    /// Leases, and meanwhile clears away deliveries that have ended. A lease that is being taken is not given up for that, nor to stop.
    async fn lease(
        &self,
        free: u32,
        deliveries: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> Result<Vec<Lease>, ConsumerError> {
        let stopped = stop.cancelled();
        let leasing = self.consumers.lease(&self.id, free, EVENTS, WAIT, stopped);
        pin!(leasing);
        loop {
            tokio::select! {
                leased = &mut leasing => return leased,
                Some(_) = deliveries.join_next() => {}
            }
        }
    }

    /// Leaves to others what is not to be delivered any more. What cannot be given back is free when its lease expires.
    async fn give_back(&self, leases: Vec<Lease>) {
        for lease in leases {
            let released = self.tell(&lease, &Outcome::Rests(Duration::ZERO)).await;
            if let Err(error) = released {
                tracing::warn!(
                    consumer = %self.id,
                    error = &error as &dyn std::error::Error,
                    "a lease cannot be given back"
                );
            }
        }
    }

    async fn deliver(&self, push: &Push, mut lease: Lease) {
        let began = Instant::now();
        let body = self.batch(&mut lease);
        // An answer that comes when the lease is over helps nobody.
        let timeout = self.settings.lock_timeout * 4 / 5;
        let delivered = self
            .receiver
            .deliver(&self.id, push, &lease, body, timeout)
            .await;
        let figures = &self.consumers.figures;
        figures.count_push(&self.id, delivered.is_ok());
        let not_allowed = delivered.as_ref().err().cloned();
        let not_allowed = not_allowed.filter(|refused| refused.fault == Fault::NotAllowed);
        let outcome = self.judge(&lease, began, delivered);
        for _ in 0..TELLINGS {
            match self.tell(&lease, &outcome).await {
                Err(error) if error.is_retryable() => sleep(PAUSE).await,
                Ok(()) | Err(_) => break,
            }
        }
        // Only now, so that who sees it paused finds nothing leased.
        if let Some(refused) = not_allowed {
            self.pause(push, &refused).await;
        }
    }

    /// Stops what must not be pushed. Where that cannot be written down, the next delivery is refused as well.
    async fn pause(&self, push: &Push, refused: &Refused) {
        let reason = &refused.reason;
        let paused = self.consumers.store.pause_push(&self.id, &push.url, reason);
        match paused.await {
            Ok(true) => {
                tracing::warn!(consumer = %self.id, reason, "a consumer is paused");
                self.consumers.changed();
            }
            Ok(false) => {}
            Err(error) => tracing::warn!(
                consumer = %self.id,
                reason,
                error = &error as &dyn std::error::Error,
                "a consumer cannot be paused"
            ),
        }
    }

    /// Cuts the events of a lease down to what is delivered at a time, and writes their body. The rest is leased again.
    fn batch(&self, lease: &mut Lease) -> Vec<u8> {
        lease.events.truncate(self.health.events(&lease.stream));
        loop {
            let body = (self.encode)(&self.id, lease);
            let events = lease.events.len();
            if body.len() <= BODY_BYTES || events <= 1 {
                return body;
            }
            lease.events.truncate(events / 2);
        }
    }

    /// Notes what became of a delivery, and decides what becomes of its lease.
    fn judge(&self, lease: &Lease, began: Instant, delivered: Result<(), Refused>) -> Outcome {
        let Err(refused) = delivered else {
            self.health.taken(&self.id, &lease.stream, began);
            return Outcome::Taken;
        };
        let sent = (&lease.stream, lease.events.len());
        let now = self.clock.now();
        match self.health.refused(&self.id, sent, began, &refused, now) {
            Verdict::Counts => Outcome::Failed(refused),
            Verdict::Rests(rest) => Outcome::Rests(rest),
        }
    }

    /// Lets the store know what becomes of a lease.
    async fn tell(&self, lease: &Lease, outcome: &Outcome) -> Result<(), ConsumerError> {
        let (store, id) = (&self.consumers.store, lease.id);
        match outcome {
            Outcome::Taken => {
                if let Some(last) = lease.events.last() {
                    store.ack(&self.id, id, last.position, false).await?;
                }
            }
            Outcome::Failed(refused) => {
                store
                    .nack(&self.id, id, refused.retry_after, &refused.reason)
                    .await?;
            }
            Outcome::Rests(rest) => store.release(&self.id, id, *rest).await?,
        }
        Ok(())
    }
}

/// What becomes of a lease.
#[derive(Debug)]
enum Outcome {
    /// Its events are done.
    Taken,
    /// An attempt of its stream has failed.
    Failed(Refused),
    /// It is given back, and its stream left alone for a while.
    Rests(Duration),
}
