//! Publishes the metrics of all consumers, reports transactions that keep events from them, and
//! runs a push worker for each push consumer.

use std::sync::Arc;
use std::time::Duration;

use gavel_model::{Clock, Consumer};
use gavel_store::Error;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::consumers::Consumers;
use super::push::{Encode, Pushes};
use super::withheld::Withheld;
use super::workers::Workers;

/// The number of events after a consumer's cursor that are looked at to show how far the consumer
/// lags behind: few, so that consumers that nobody works for cost those who append next to nothing.
const LOOK: u32 = 1_000;
/// The number of consumers that are read at once.
const PAGE: u32 = 1_000;
/// The interval between two looks at the consumers; a change on another host, or by plain SQL, is
/// noticed after so long.
const INTERVAL: Duration = Duration::from_secs(10);
/// The length of the rest after a look, in lengths of that look: however often consumers are
/// changed, looking at all of them takes a tenth of the time.
const REST: u32 = 9;

/// The task that looks after the consumers. See [`Consumers::keeper`].
#[derive(Debug)]
pub struct Keeper {
    consumers: Consumers,
    pushes: Pushes,
    workers: Workers,
}

impl Consumers {
    /// Makes the task that looks after the consumers once it is run.
    ///
    /// # Errors
    ///
    /// Fails when no HTTP client can be made.
    pub fn keeper(&self, encode: Encode, clock: Arc<dyn Clock>) -> Result<Keeper, reqwest::Error> {
        Ok(Keeper {
            consumers: self.clone(),
            pushes: Pushes::new(self.push.clone(), encode, clock, Arc::clone(&self.figures))?,
            workers: Workers::new(self.clone()),
        })
    }
}

impl Keeper {
    async fn consumers(&self) -> Result<Vec<Consumer>, Error> {
        let store = &self.consumers.store;
        let mut all: Vec<Consumer> = Vec::new();
        loop {
            let after = all.last().map(|last| &last.id);
            let page = store.list_consumers(None, after, PAGE, LOOK).await?;
            all.extend(page.items);
            if !page.has_more {
                return Ok(all);
            }
        }
    }

    /// Runs until `stop` is cancelled, and then waits for the deliveries that are under way.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut changes = self.consumers.changes.subscribe();
        let mut withheld = Withheld::default();
        loop {
            let began = Instant::now();
            withheld.look(&*self.consumers.store).await;
            match self.consumers().await {
                Ok(consumers) => {
                    self.consumers.figures.set(&consumers);
                    let pushes = &self.pushes;
                    self.workers
                        .serve(&consumers, |consumer| pushes.receiver(consumer));
                }
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the consumers cannot be looked at"
                ),
            }
            let rest = began.elapsed() * REST;
            let next_look = async {
                sleep(rest).await;
                // What has changed meanwhile is seen at once.
                let _ = timeout(INTERVAL, changes.changed()).await;
            };
            tokio::select! {
                () = next_look => {}
                () = stop.cancelled() => break,
            }
        }
        self.workers.stop().await;
    }
}
