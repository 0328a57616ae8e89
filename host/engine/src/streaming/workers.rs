//! The workers of this host, one for each consumer that has a receiver.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use gavel_model::{Consumer, ConsumerId, ConsumerSettings};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::Consumers;
use super::receiver::Receiver;
use super::worker::Worker;

/// The workers of all consumers whose events go to receivers. Every host has them; leases keep them
/// apart.
#[derive(Debug)]
pub(super) struct Workers {
    consumers: Consumers,
    running: HashMap<ConsumerId, (ConsumerSettings, DropGuard)>,
    /// The deliveries under way, among them those of workers that were stopped.
    tasks: TaskTracker,
}

impl Workers {
    pub(super) fn new(consumers: Consumers) -> Self {
        Self {
            consumers,
            running: HashMap::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Has a worker for each of the consumers for which there is a receiver and that is not paused,
    /// with its present settings.
    pub(super) fn serve(
        &mut self,
        consumers: &[Consumer],
        receiver: impl Fn(&Consumer) -> Option<Arc<dyn Receiver>>,
    ) {
        let wanted: HashMap<_, _> = consumers
            .iter()
            .filter(|consumer| !consumer.is_paused)
            .map(|consumer| (&consumer.id, consumer))
            .collect();
        self.running.retain(|id, (settings, _)| {
            let is_kept = wanted
                .get(id)
                .is_some_and(|wanted| wanted.settings == *settings);
            if !is_kept {
                self.consumers.watch(id, None);
            }
            is_kept
        });
        for (id, consumer) in wanted {
            let Entry::Vacant(place) = self.running.entry(id.clone()) else {
                continue;
            };
            let Some(receiver) = receiver(consumer) else {
                continue;
            };
            self.consumers.watch(id, Some(Arc::clone(&receiver)));
            let stop = CancellationToken::new();
            let worker = Worker {
                consumers: self.consumers.clone(),
                receiver,
                id: id.clone(),
                settings: consumer.settings.clone(),
            };
            self.tasks.spawn(worker.run(stop.clone()));
            place.insert((consumer.settings.clone(), stop.drop_guard()));
        }
    }

    /// Takes on nothing more, and waits for what is being handed over.
    pub(super) async fn stop(mut self) {
        self.running.clear();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
