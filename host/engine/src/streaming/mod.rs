//! The delivery of events: live subscriptions, workers of consumers that wait, and receivers of
//! consumers, of which push is one.
//!
//! ```text
//! store --pages--> tail, one per followed namespace --newest pages--> subscriptions at the end
//!   \-----------------------------pages-----------------------------> subscriptions behind it
//! ```
//!
//! A subscription pulls: nothing is read for it before it is asked for the next delivery, so that a
//! slow reader costs the page that it holds, and others nothing. The store wakes a tail when there
//! is something new ([`LogStore::wakeups`]).
//!
//! **Invariant:** a subscription hands over every event of its namespace that passes its filter and
//! comes after its position, once, by ascending position; a stored event that cannot be read is
//! handed over as [`Malformed`], never left out.
//!
//! [`LogStore::wakeups`]: gavel_store::LogStore::wakeups

mod consumers;
mod figures;
mod keeper;
mod log_tail;
mod manage;
pub mod metrics;
mod page_reader;
mod push;
mod receiver;
mod ring;
mod subscription;
mod tail_budget;
mod tail_page;
mod tail_registry;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod withheld;
mod worker;
mod workers;

use std::sync::Arc;

use gavel_model::{Clock, Namespace, Position};
use gavel_sandbox::BackgroundThrottle;
use gavel_store::{LogFilter, LogStore};

pub use consumers::Consumers;
pub use keeper::Keeper;
pub use push::{DELIVERY, Encode, NotAllowed, PushRules, PushSettings};
pub use receiver::Outage;
pub use subscription::{Delivery, Subscription};
pub use tail_page::{Events, Malformed};

use self::page_reader::PageReader;
use self::tail_registry::TailRegistry;

/// The log of all namespaces, to be followed. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Log {
    tails: Arc<TailRegistry>,
}

impl Log {
    /// Opens the log in `store`. Nothing is read before somebody follows it; `clock` is for metrics
    /// alone, and `throttle` for subscriptions that catch up.
    #[must_use]
    pub fn new(
        store: Arc<dyn LogStore>,
        clock: Arc<dyn Clock>,
        throttle: BackgroundThrottle,
    ) -> Self {
        Self {
            tails: Arc::new(TailRegistry::new(PageReader::new(store, throttle), clock)),
        }
    }

    /// Follows the events of a namespace that come after `after` (exclusive) and pass `filter`,
    /// first those that are stored, then those that come. Has no end of its own.
    #[must_use]
    pub fn subscribe(
        &self,
        namespace: Namespace,
        filter: LogFilter,
        after: Position,
    ) -> Subscription {
        Subscription::new(Arc::clone(&self.tails), namespace, filter, after)
    }
}
