//! The log as clients see it, and where it ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use gavel_model::{EventFilter, Namespace, Position, RecordedEvent};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::{Composed, Core};
use crate::{Error, LogFilter, LogPage, LogStore, PAGE_BYTES, ResumeError, Room, Withholding};

/// The number of events of the log that are looked at in one step.
pub(super) const PAGE_EVENTS: u32 = 1_000;

/// The longest time between two looks at what may change by another host, which may come without a
/// wake-up.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits until it is time to look again.
pub(super) async fn next_look(wakeups: &mut watch::Receiver<()>) {
    // Without a backend that wakes anybody, time alone is left.
    if let Ok(Err(_)) = timeout(LOOK_EVERY, wakeups.changed()).await {
        sleep(LOOK_EVERY).await;
    }
}

/// The last end of each namespace's log that was seen, from where the present one is found.
#[derive(Debug, Clone, Default)]
pub(super) struct Ends(Arc<Mutex<HashMap<Namespace, Position>>>);

impl Ends {
    /// The end of a log, once all earlier appends are at their places.
    pub(super) async fn find(
        &self,
        core: &impl Core,
        namespace: &Namespace,
    ) -> Result<Position, Error> {
        let mut end = self.last_seen(core, namespace).await?;
        let nothing = LogFilter::from(EventFilter {
            // Names begin with a letter or `_`.
            deciders: vec![String::new()],
            ..EventFilter::default()
        });
        let mut wakeups = core.wakeups();
        loop {
            let page = core.read_log(namespace, end, &nothing, PAGE_EVENTS).await?;
            end = page.next;
            if page.is_withheld {
                next_look(&mut wakeups).await;
            } else if page.caught_up {
                break;
            }
        }
        if end != Position::BEGINNING {
            let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            ends.insert(namespace.clone(), end);
        }
        Ok(end)
    }

    /// A position of the log. Where the backend was restored to an earlier state, the beginning.
    async fn last_seen(&self, core: &impl Core, namespace: &Namespace) -> Result<Position, Error> {
        let seen = {
            let ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            ends.get(namespace).copied().unwrap_or_default()
        };
        match core.check_position(namespace, seen).await {
            Ok(()) => Ok(seen),
            Err(ResumeError::Lost { end, .. }) => Ok(end),
            Err(ResumeError::Store(error)) => Err(error),
        }
    }
}

/// A page of the log without what a store keeps for itself.
pub(super) async fn read_log(
    core: &impl Core,
    namespace: &Namespace,
    after: Position,
    filter: &LogFilter,
    limit: u32,
) -> Result<LogPage, Error> {
    if limit == 0 {
        return core.read_log(namespace, after, filter, limit).await;
    }
    let mut page = LogPage {
        events: Vec::new(),
        next: after,
        caught_up: false,
        is_withheld: false,
    };
    let mut room = Room::new(limit, PAGE_BYTES);
    let (mut missing, mut ahead) = (limit, 1);
    loop {
        // Behind the last that there is room for, there may be nothing for clients: then the page
        // has caught up.
        let step = if missing > 0 { missing } else { ahead };
        let next = match core.read_log(namespace, page.next, filter, step).await {
            Err(Error::Malformed { .. }) if !page.events.is_empty() => return Ok(page),
            next => next?,
        };
        page.is_withheld |= next.is_withheld;
        for event in next.events {
            if event.stream.decider().is_internal() {
                continue;
            }
            if !room.take(&event) {
                return Ok(page);
            }
            page.next = event.position;
            page.events.push(event);
            missing -= 1;
        }
        (page.next, page.caught_up) = (next.next, next.caught_up);
        if page.caught_up {
            return Ok(page);
        }
        if missing == 0 {
            ahead = (ahead * 4).min(PAGE_EVENTS);
        }
    }
}

#[async_trait]
impl<B: Core> LogStore for Composed<B> {
    async fn read_log(
        &self,
        namespace: &Namespace,
        after: Position,
        filter: &LogFilter,
        limit: u32,
    ) -> Result<LogPage, Error> {
        read_log(&*self.core, namespace, after, filter, limit).await
    }

    async fn events_at(
        &self,
        namespace: &Namespace,
        positions: &[Position],
    ) -> Result<Vec<RecordedEvent>, Error> {
        let mut events = self.core.events_at(namespace, positions).await?;
        events.retain(|event| !event.stream.decider().is_internal());
        Ok(events)
    }

    async fn check_position(
        &self,
        namespace: &Namespace,
        position: Position,
    ) -> Result<(), ResumeError> {
        self.core.check_position(namespace, position).await
    }

    async fn withholding(&self) -> Result<Option<Withholding>, Error> {
        self.core.withholding().await
    }

    fn wakeups(&self) -> watch::Receiver<()> {
        self.core.wakeups()
    }
}
