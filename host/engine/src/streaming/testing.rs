//! A log that does what a test says: it fails, holds events back, and forgets to tell of them.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;

use async_trait::async_trait;
use gavel_model::{
    DeciderName, Json, Metadata, Namespace, NewEvent, Position, RecordedEvent, StreamId,
    SystemClock, Version,
};
use gavel_sandbox::BackgroundThrottle;
use gavel_store::{Error, LogFilter, LogPage, LogStore, PAGE_BYTES, ResumeError, Room};
use time::OffsetDateTime;
use tokio::sync::watch;
use uuid::Uuid;

use super::{Delivery, Log, Subscription};

/// The log of a store that obeys a test.
#[derive(Debug, Default)]
pub(super) struct TestStore {
    insides: Mutex<Insides>,
    wakeups: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Insides {
    /// The event at position 1 and those after it.
    events: Vec<RecordedEvent>,
    /// The positions of events that cannot be read.
    malformed: Vec<u64>,
    /// The first position that readers do not see yet.
    held_from: Option<u64>,
    is_away: bool,
    reads: usize,
}

impl TestStore {
    pub(super) fn log(self: &Arc<Self>) -> Log {
        Log::new(
            self.clone(),
            Arc::new(SystemClock),
            BackgroundThrottle::default(),
        )
    }

    fn insides(&self) -> MutexGuard<'_, Insides> {
        self.insides.lock().unwrap()
    }

    /// Appends an event to the stream `id` in the default namespace, and tells of it.
    pub(super) fn append(&self, id: &str) {
        self.append_to("default", id, "{}");
        self.wake();
    }

    /// Appends an event, and tells nobody.
    pub(super) fn append_to(&self, namespace: &str, id: &str, data: &str) {
        let events = &mut self.insides().events;
        let stream = StreamId::new(
            Namespace::new(namespace).unwrap(),
            DeciderName::new("counter").unwrap(),
            id,
        );
        events.push(RecordedEvent {
            stream: stream.unwrap(),
            version: Version::new(1).unwrap(),
            position: at(events.len() as u64 + 1),
            previous_id: None,
            created_at: OffsetDateTime::UNIX_EPOCH,
            event: NewEvent {
                event_id: Uuid::now_v7(),
                event: "Incremented".to_owned(),
                schema_version: 1,
                data: Json::from_stored(data.to_owned()).unwrap(),
                is_final: false,
                tags: Vec::new(),
                metadata: Metadata::default(),
                command_id: Uuid::nil(),
            },
        });
    }

    pub(super) fn wake(&self) {
        self.wakeups.send_replace(());
    }

    /// Makes the event at a position unreadable.
    pub(super) fn spoil(&self, offset: u64) {
        self.insides().malformed.push(offset);
    }

    /// Holds back the event at a position, and what comes after it; none lets all go.
    pub(super) fn hold_from(&self, offset: Option<u64>) {
        self.insides().held_from = offset;
    }

    pub(super) fn set_away(&self, is_away: bool) {
        self.insides().is_away = is_away;
    }

    /// Counts the pages that were asked for.
    pub(super) fn reads(&self) -> usize {
        self.insides().reads
    }
}

pub(super) fn at(offset: u64) -> Position {
    Position::new(0, 0, offset)
}

pub(super) fn from(log: &Log, offset: u64) -> Subscription {
    log.subscribe(Namespace::default(), LogFilter::default(), at(offset))
}

/// Describes the next delivery in short: `1 2 3`, `caught up`, `malformed 4`.
pub(super) async fn next(subscription: &mut Subscription) -> String {
    match subscription.next().await {
        Delivery::Events(events) => {
            let offsets: Vec<_> = events
                .iter()
                .map(|event| event.position.offset().to_string())
                .collect();
            offsets.join(" ")
        }
        Delivery::CaughtUp => "caught up".to_owned(),
        Delivery::Malformed(malformed) => format!("malformed {}", malformed.position.offset()),
    }
}

#[async_trait]
impl LogStore for TestStore {
    async fn read_log(
        &self,
        namespace: &Namespace,
        after: Position,
        filter: &LogFilter,
        limit: u32,
    ) -> Result<LogPage, Error> {
        tokio::task::yield_now().await;
        let mut insides = self.insides();
        insides.reads += 1;
        if insides.is_away {
            return Err(Error::Unavailable("away".into()));
        }
        let mut room = Room::new(limit, PAGE_BYTES);
        let mut page = LogPage {
            events: Vec::new(),
            next: after,
            caught_up: true,
            is_withheld: false,
        };
        let held_from = insides.held_from.unwrap_or(u64::MAX);
        page.is_withheld = insides
            .events
            .iter()
            .any(|event| event.stream.namespace() == namespace && event.position >= at(held_from));
        let visible = insides.events.iter().filter(|event| {
            event.stream.namespace() == namespace
                && event.position > after
                && event.position < at(held_from)
        });
        for event in visible {
            let is_malformed = insides.malformed.contains(&event.position.offset());
            if is_malformed && page.next == after {
                return Err(Error::Malformed {
                    stream: event.stream.to_string(),
                    position: event.position,
                    reason: "spoiled".to_owned(),
                    raw: "?".to_owned(),
                });
            }
            if is_malformed || (filter.passes(event) && !room.take(event)) {
                page.caught_up = false;
                break;
            }
            page.next = event.position;
            if filter.passes(event) {
                page.events.push(event.clone());
            }
        }
        Ok(page)
    }

    async fn events_at(&self, _: &Namespace, _: &[Position]) -> Result<Vec<RecordedEvent>, Error> {
        Ok(Vec::new())
    }

    async fn check_position(&self, _: &Namespace, _: Position) -> Result<(), ResumeError> {
        Ok(())
    }

    fn wakeups(&self) -> watch::Receiver<()> {
        self.wakeups.subscribe()
    }
}
