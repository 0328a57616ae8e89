//! Push: the host as a worker of those consumers that have somewhere to deliver to.
//!
//! Each delivery is one POST of events of one lease. An answer of 2xx acknowledges them. One that concerns the events is a failure, after
//! which the stream rests, and is parked in the end. One that concerns the receiver (it cannot be reached, does not answer in time, has
//! trouble of its own, or wants to be left alone) costs no stream an attempt: the consumer rests, longer each time, until something is taken.
//! One that must not be pushed to ([`PushRules`]) has its consumer paused.
//! **Invariant:** a stream that fails, or whose receiver is slow, holds up no other stream, up to [`STREAMS`] of them.

mod health;
mod receiver;
mod rules;
mod signature;
mod worker;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use gavel_model::{Clock, Consumer, ConsumerId, ConsumerSettings, Lease};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub(super) use self::health::Health;
pub use self::health::Outage;
use self::receiver::Receiver;
pub use self::receiver::{DELIVERY, PushSettings};
pub use self::rules::{NotAllowed, PushRules};
use self::worker::Worker;
use super::Consumers;

/// How many streams of one consumer are delivered at the same time.
const STREAMS: u32 = 16;
/// How many events are leased at a time, shared out among the streams that are free.
const EVENTS: u32 = 256;
/// The largest body of a delivery, in bytes, unless one event alone is larger.
const BODY_BYTES: usize = 1024 * 1024;
/// How long a worker waits for events before it asks anew.
const WAIT: Duration = Duration::from_secs(60);

/// Writes the body of a delivery: the lease and its events, as they look everywhere.
pub type Encode = fn(&ConsumerId, &Lease) -> Vec<u8>;

/// The workers of all consumers that are pushed to.
#[derive(Debug)]
pub(super) struct Pushers {
    consumers: Consumers,
    receiver: Receiver,
    encode: Encode,
    clock: Arc<dyn Clock>,
    workers: HashMap<ConsumerId, (ConsumerSettings, DropGuard)>,
    /// Deliveries that are under way, those of workers that have been told to stop among them.
    tasks: TaskTracker,
}

impl Pushers {
    pub(super) fn new(
        consumers: Consumers,
        encode: Encode,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self {
            receiver: Receiver::new(consumers.push.clone(), Arc::clone(&clock))?,
            consumers,
            encode,
            clock,
            workers: HashMap::new(),
            tasks: TaskTracker::new(),
        })
    }

    /// Has a worker for each of the consumers that needs one, with its present settings.
    pub(super) fn serve(&mut self, consumers: &[Consumer]) {
        let is_pushed =
            |consumer: &&Consumer| consumer.settings.push.is_some() && !consumer.is_paused;
        let pushed: HashMap<_, _> = consumers
            .iter()
            .filter(is_pushed)
            .map(|consumer| (&consumer.id, &consumer.settings))
            .collect();
        self.workers.retain(|id, (settings, _)| {
            let is_kept = pushed.get(id).is_some_and(|wanted| *wanted == settings);
            if !is_kept {
                self.consumers.watch(id, None);
            }
            is_kept
        });
        for (id, settings) in pushed {
            let Entry::Vacant(place) = self.workers.entry(id.clone()) else {
                continue;
            };
            let stop = CancellationToken::new();
            let health = Arc::new(Health::default());
            self.consumers.watch(id, Some(Arc::clone(&health)));
            let worker = Worker {
                consumers: self.consumers.clone(),
                receiver: self.receiver.clone(),
                encode: self.encode,
                clock: Arc::clone(&self.clock),
                health,
                id: id.clone(),
                settings: settings.clone(),
            };
            self.tasks.spawn(worker.run(stop.clone()));
            place.insert((settings.clone(), stop.drop_guard()));
        }
    }

    /// Takes on nothing more, and waits for what is being delivered.
    pub(super) async fn stop(mut self) {
        self.workers.clear();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
