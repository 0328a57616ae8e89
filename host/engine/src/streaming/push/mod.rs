//! Push: a receiver over HTTP, for those consumers that have somewhere to be pushed to.
//!
//! Each delivery is one POST of events of one lease. An answer of 2xx takes them. One that concerns
//! the events is a failure, after which the stream rests, and is parked in the end. One that
//! concerns the receiver (it cannot be reached, does not answer in time, has trouble of its own, or
//! wants to be left alone) costs no stream an attempt: the consumer rests, longer each time, until
//! something is taken. One that must not be pushed to ([`PushRules`]) has its consumer paused.

mod health;
mod poster;
mod rules;
mod signature;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gavel_model::{Clock, Consumer, ConsumerId, Lease, Push};
use tokio::time::Instant;

use self::health::{DeliveryVerdict, Health};
pub use self::poster::{DELIVERY, PushSettings};
use self::poster::{DeliveryFault, Poster};
pub use self::rules::{NotAllowed, PushRules};
use super::figures::Figures;
use super::receiver::{DeliveryOutcome, Outage, Receiver};

/// The largest body of a delivery, in bytes, unless one event alone is larger.
const BODY_BYTES: usize = 1024 * 1024;

/// Writes the body of a delivery: the lease and its events, as they look everywhere.
pub type Encode = fn(&ConsumerId, &Lease) -> Vec<u8>;

/// Makes the receivers of consumers that are pushed to.
#[derive(Debug)]
pub(super) struct Pushes {
    poster: Poster,
    encode: Encode,
    clock: Arc<dyn Clock>,
    figures: Arc<Figures>,
}

impl Pushes {
    pub(super) fn new(
        settings: PushSettings,
        encode: Encode,
        clock: Arc<dyn Clock>,
        figures: Arc<Figures>,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self {
            poster: Poster::new(settings, Arc::clone(&clock))?,
            encode,
            clock,
            figures,
        })
    }

    /// Makes the receiver of a consumer; none if it is not pushed to.
    pub(super) fn receiver(&self, consumer: &Consumer) -> Option<Arc<dyn Receiver>> {
        Some(Arc::new(PushReceiver {
            id: consumer.id.clone(),
            push: consumer.settings.push.clone()?,
            poster: self.poster.clone(),
            encode: self.encode,
            clock: Arc::clone(&self.clock),
            figures: Arc::clone(&self.figures),
            health: Health::default(),
        }))
    }
}

/// The receiver of one consumer.
#[derive(Debug)]
struct PushReceiver {
    id: ConsumerId,
    push: Push,
    poster: Poster,
    encode: Encode,
    clock: Arc<dyn Clock>,
    figures: Arc<Figures>,
    health: Health,
}

impl PushReceiver {
    /// Cuts the events of a lease down to what is delivered at a time, and writes their body.
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
}

#[async_trait]
impl Receiver for PushReceiver {
    async fn take(&self, mut lease: Lease, within: Duration) -> DeliveryOutcome {
        let began = Instant::now();
        let body = self.batch(&mut lease);
        let Some(last) = lease.events.last() else {
            return DeliveryOutcome::Later(Duration::ZERO);
        };
        let (id, push) = (&self.id, &self.push);
        let delivered = self.poster.deliver(id, push, &lease, body, within).await;
        self.figures.count_push(id, delivered.is_ok());
        let Err(refused) = delivered else {
            self.health.taken(id, &lease.stream, began);
            return DeliveryOutcome::Taken(last.position);
        };
        let sent = (&lease.stream, lease.events.len());
        let now = self.clock.now();
        let reason = refused.reason.clone();
        match self.health.refused(id, sent, began, &refused, now) {
            DeliveryVerdict::Counts => DeliveryOutcome::Refused {
                reason,
                rest: refused.retry_after,
            },
            DeliveryVerdict::Rests(rest) if refused.fault == DeliveryFault::NotAllowed => {
                DeliveryOutcome::Forbidden { reason, rest }
            }
            DeliveryVerdict::Rests(rest) => DeliveryOutcome::Later(rest),
        }
    }

    fn forbids(&self) -> Option<String> {
        let refused = self.poster.url(&self.push).err()?;
        (refused.fault == DeliveryFault::NotAllowed).then_some(refused.reason)
    }

    fn rests_until(&self) -> Option<Instant> {
        self.health.rests_until()
    }

    fn outage(&self) -> Option<Outage> {
        self.health.outage()
    }
}
