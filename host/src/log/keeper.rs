//! Looks after all consumers of the installation: shows how far they are, and has those pushed to that are to be.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::consumers::Consumers;
use super::metrics::{
    CONSUMER_IN_FLIGHT, CONSUMER_LAG, CONSUMER_LAG_SECONDS, CONSUMER_PARKED, CONSUMER_PAUSED,
};
use super::push::{Encode, Pushers};
use crate::core::{Clock, Consumer, ConsumerId};

/// How many events of the log after its cursor are looked at to show how far a consumer lags behind: few, so that consumers that nobody works
/// for cost those who append next to nothing.
const LOOK: u32 = 1_000;
/// How often the consumers are looked at; what was changed on another host, or by plain SQL, is noticed after so long.
const INTERVAL: Duration = Duration::from_secs(10);

/// Looks after the consumers. See [`Consumers::keeper`].
#[derive(Debug)]
pub struct Keeper {
    consumers: Consumers,
    pushers: Pushers,
}

impl Consumers {
    /// What looks after the consumers, once it is run.
    ///
    /// # Errors
    ///
    /// When HTTP cannot be spoken.
    pub fn keeper(&self, encode: Encode, clock: Arc<dyn Clock>) -> Result<Keeper, reqwest::Error> {
        Ok(Keeper {
            consumers: self.clone(),
            pushers: Pushers::new(self.clone(), encode, clock)?,
        })
    }
}

impl Keeper {
    /// Goes on until `stop` is cancelled, and then waits for what is being delivered.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut changes = self.consumers.changes.subscribe();
        let mut shown = HashSet::new();
        loop {
            match self.consumers.store.list_consumers(None, LOOK).await {
                Ok(consumers) => {
                    show(&consumers, &mut shown);
                    self.pushers.serve(&consumers);
                }
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the consumers cannot be looked at"
                ),
            }
            tokio::select! {
                _ = timeout(INTERVAL, changes.changed()) => {}
                () = stop.cancelled() => break,
            }
        }
        self.pushers.stop().await;
    }
}

/// Sets the gauges. Those of a consumer that is gone go to 0.
#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is as exact as it can be"
)]
fn show(consumers: &[Consumer], shown: &mut HashSet<ConsumerId>) {
    let present: HashSet<_> = consumers
        .iter()
        .map(|consumer| consumer.id.clone())
        .collect();
    for gone in shown.difference(&present) {
        set(gone, [0.0; 5]);
    }
    for consumer in consumers {
        let values = [
            consumer.lag_events as f64,
            consumer.lag.as_secs_f64(),
            consumer.in_flight as f64,
            consumer.parked as f64,
            f64::from(u8::from(consumer.is_paused)),
        ];
        set(&consumer.id, values);
    }
    *shown = present;
}

fn set(id: &ConsumerId, values: [f64; 5]) {
    let names = [
        CONSUMER_LAG,
        CONSUMER_LAG_SECONDS,
        CONSUMER_IN_FLIGHT,
        CONSUMER_PARKED,
        CONSUMER_PAUSED,
    ];
    for (name, value) in names.into_iter().zip(values) {
        gauge!(name, "namespace" => id.namespace().to_string(), "consumer" => id.name().to_owned())
            .set(value);
    }
}
