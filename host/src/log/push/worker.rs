//! The worker of one consumer: leases, delivers, and says what became of it.

use std::time::Duration;

use metrics::counter;
use tokio::pin;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::receiver::{Receiver, Refused};
use super::{EVENTS, Encode, STREAMS, WAIT};
use crate::core::{ConsumerId, ConsumerSettings, Lease, Push};
use crate::log::Consumers;
use crate::log::metrics::PUSHES;
use crate::store::ConsumerError;

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
    pub(super) id: ConsumerId,
    pub(super) settings: ConsumerSettings,
}

impl Worker {
    /// Delivers until it is stopped or the consumer is gone, and then finishes what is under way.
    pub(super) async fn run(self, stop: CancellationToken) {
        let Some(push) = self.settings.push.clone() else {
            return;
        };
        let mut deliveries = JoinSet::new();
        while !stop.is_cancelled() {
            let free = STREAMS.saturating_sub(u32::try_from(deliveries.len()).unwrap_or(STREAMS));
            if free == 0 {
                tokio::select! {
                    _ = deliveries.join_next() => {}
                    () = stop.cancelled() => {}
                }
                continue;
            }
            match self.lease(free, &mut deliveries, &stop).await {
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

    /// Leases, and meanwhile clears away deliveries that have ended. A lease that is being taken is not given up for that.
    async fn lease(
        &self,
        free: u32,
        deliveries: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> Result<Vec<Lease>, ConsumerError> {
        let leasing = self.consumers.lease(&self.id, free, EVENTS, WAIT);
        pin!(leasing);
        loop {
            tokio::select! {
                leased = &mut leasing => return leased,
                Some(_) = deliveries.join_next() => {}
                () = stop.cancelled() => return Ok(Vec::new()),
            }
        }
    }

    async fn deliver(&self, push: &Push, lease: Lease) {
        let body = (self.encode)(&self.id, &lease);
        // An answer that comes when the lease is over helps nobody.
        let timeout = self.settings.lock_timeout * 4 / 5;
        let delivered = self
            .receiver
            .deliver(&self.id, push, &lease, body, timeout)
            .await;
        let outcome = if delivered.is_ok() {
            "delivered"
        } else {
            "failed"
        };
        counter!(PUSHES, "namespace" => self.id.namespace().to_string(), "consumer" => self.id.name().to_owned(), "outcome" => outcome)
            .increment(1);
        for _ in 0..TELLINGS {
            match self.tell(&lease, &delivered).await {
                Err(error) if error.is_retryable() => sleep(PAUSE).await,
                Ok(()) | Err(_) => return,
            }
        }
    }

    /// Lets the store know what became of a lease.
    async fn tell(
        &self,
        lease: &Lease,
        delivered: &Result<(), Refused>,
    ) -> Result<(), ConsumerError> {
        let store = &self.consumers.store;
        match (delivered, lease.events.last()) {
            (Ok(()), Some(last)) => {
                store.ack(&self.id, lease.id, last.position, false).await?;
            }
            (Ok(()), None) => {}
            (Err(refused), _) => {
                store
                    .nack(&self.id, lease.id, refused.retry_after, &refused.reason)
                    .await?;
            }
        }
        Ok(())
    }
}
