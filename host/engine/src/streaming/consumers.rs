//! The consumers, as workers and operators see them. All access goes through here, so that every
//! change wakes those who wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gavel_model::{ConsumerId, ConsumerSettings, Lease, Position};
use gavel_store::{ConsumerError, LogFilter, Store};
use reqwest::Url;
use tokio::pin;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::figures::Figures;
use super::push::{NotAllowed, PushSettings};
use super::receiver::{Outage, Receiver};
use super::{Delivery, Log, Subscription};

/// The most parts of the log that are looked through for a worker that does not wait.
const MAX_LOOKS: u32 = 100;
/// The shortest pause before a worker looks again: another worker may have leased the newest
/// events.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
/// The longest pause before a worker looks again: a retry, resumption or reset on another host is
/// noticed after so long.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The consumers of all namespaces, for workers and operators. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Consumers {
    pub(super) store: Arc<dyn Store>,
    log: Log,
    pub(super) push: PushSettings,
    pub(super) figures: Arc<Figures>,
    /// Changes when this host has changed something about a consumer.
    pub(super) changes: watch::Sender<()>,
    /// The receivers of those that this host has workers for.
    receivers: Arc<Mutex<HashMap<ConsumerId, Arc<dyn Receiver>>>>,
}

impl Consumers {
    /// Opens the consumers in `store`, which is where `log` comes from.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, log: Log, push: PushSettings) -> Self {
        Self {
            store,
            log,
            push,
            figures: Arc::default(),
            changes: watch::Sender::new(()),
            receivers: Arc::default(),
        }
    }

    fn receivers(&self) -> MutexGuard<'_, HashMap<ConsumerId, Arc<dyn Receiver>>> {
        self.receivers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the receiver whose outage [`Consumers::outage`] shows; none ends that.
    pub(super) fn watch(&self, id: &ConsumerId, receiver: Option<Arc<dyn Receiver>>) {
        match receiver {
            Some(receiver) => self.receivers().insert(id.clone(), receiver),
            None => self.receivers().remove(id),
        };
    }

    /// Refuses settings by which something would be pushed to an address that may not be pushed to.
    /// Where a name leads to shows later.
    ///
    /// # Errors
    ///
    /// [`NotAllowed`] names the receiver.
    pub fn admit(&self, settings: &ConsumerSettings) -> Result<(), NotAllowed> {
        let url = settings.push.as_ref().map(|push| Url::parse(&push.url));
        url.and_then(Result::ok)
            .map_or(Ok(()), |url| self.push.rules.check(&url))
    }

    /// Tells why the receiver of a consumer takes nothing at present, as this host has found.
    #[must_use]
    pub fn outage(&self, id: &ConsumerId) -> Option<Outage> {
        self.receivers().get(id)?.outage()
    }

    /// Leases as [`ConsumerStore::lease`](gavel_store::ConsumerStore::lease) does, as soon as there
    /// is an event within `wait`; none when there is not. Once `stop` is over this does not wait
    /// any more, but a lease that is being taken by then is returned all the same: nobody else
    /// would know of it.
    ///
    /// If the future is dropped, something may have been leased; it is free again when that
    /// expires.
    ///
    /// # Errors
    ///
    /// As [`ConsumerStore::lease`](gavel_store::ConsumerStore::lease).
    pub async fn lease(
        &self,
        id: &ConsumerId,
        max_streams: u32,
        max_events: u32,
        wait: Duration,
        stop: impl Future<Output = ()>,
    ) -> Result<Vec<Lease>, ConsumerError> {
        pin!(stop);
        let deadline = Instant::now() + wait;
        let mut changes = self.changes.subscribe();
        let mut arrivals = None;
        let mut looks = 0;
        loop {
            changes.mark_unchanged();
            let leased = self.store.lease(id, max_streams, max_events).await?;
            let left = deadline.saturating_duration_since(Instant::now());
            looks += 1;
            if !leased.leases.is_empty() {
                return Ok(leased.leases);
            }
            if !leased.caught_up && (looks < MAX_LOOKS || !left.is_zero()) {
                continue;
            }
            if left.is_zero() {
                return Ok(Vec::new());
            }
            let Some(awaited) = &mut arrivals else {
                // What comes from here on is noticed; for what has come until here there is one
                // more look.
                arrivals = Some(self.arrivals(id).await?);
                continue;
            };
            let pause = leased.next_in.unwrap_or(LONGEST_PAUSE);
            let pause = pause.clamp(SHORTEST_PAUSE, LONGEST_PAUSE).min(left);
            let something_new = async {
                tokio::select! {
                    () = wanted_events(&mut awaited.events) => true,
                    _ = changes.changed() => false,
                }
            };
            let is_new = tokio::select! {
                is_new = timeout(pause, something_new) => is_new == Ok(true),
                () = &mut stop => return Ok(Vec::new()),
            };
            // Whatever it was, the next look tells.
            if is_new {
                arrivals = None;
            } else {
                // What has come and is not wanted is left behind: the tail has looked at it once
                // for all, the store would for each consumer.
                let (from, to) = (awaited.after, awaited.events.position());
                if from < to {
                    let settings = &awaited.settings;
                    self.store.pass_over(id, settings, from, to).await?;
                }
            }
        }
    }

    /// Subscribes to the events that a consumer will be given.
    async fn arrivals(&self, id: &ConsumerId) -> Result<Arrivals, ConsumerError> {
        let (settings, cursor) = self.store.consumer_cursor(id).await?;
        let filter = LogFilter::from(settings.filter.clone());
        Ok(Arrivals {
            settings,
            after: cursor,
            events: self.log.subscribe(id.namespace().clone(), filter, cursor),
        })
    }

    /// Writes the metrics of the present consumers, in the text format of Prometheus; as the keeper
    /// has found them last.
    #[must_use]
    pub fn metrics(&self) -> String {
        self.figures.render()
    }

    /// Lets those who wait look again: a consumer was made, changed or resumed, or something of it
    /// retried.
    pub(super) fn changed(&self) {
        self.changes.send_replace(());
    }
}

/// The new events that a waiting worker listens for.
#[derive(Debug)]
struct Arrivals {
    /// The settings by which the consumer's events are chosen.
    settings: ConsumerSettings,
    /// The position where listening began: none of the events from here up to the position of
    /// `events` is wanted.
    after: Position,
    events: Subscription,
}

/// Waits for an event that passes the filter, or for one that cannot be read, which has to be
/// reported as well.
async fn wanted_events(events: &mut Subscription) {
    while matches!(events.next().await, Delivery::CaughtUp) {}
}
