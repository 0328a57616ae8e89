//! The rows that the rules of consumers work on, read from a backend.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use gavel_model::{ConsumerId, LeaseId, Namespace, Position, RecordedEvent, StreamId, Version};
use time::OffsetDateTime;
use tokio::runtime::Handle;

use super::served::Served;
use crate::composed::Core;
use crate::composed::log::{Ends, PAGE_EVENTS, read_log};
use crate::toolkit::consumers::rows::{
    Backlog, ConsumerProgress, EventCoordinates, LogEntry, Registered, Rows, Visit,
};
use crate::{Error, LogFilter, StreamRange};

/// The number of events of the log that are read first: most often there are few, or one is enough.
const FIRST_EVENTS: u32 = 16;

/// A working copy of consumers for one rule, whose changes are made here only.
#[derive(Debug)]
pub(super) struct Working<B: Core> {
    pub(super) core: Arc<B>,
    pub(super) ends: Ends,
    pub(super) runtime: Handle,
    pub(super) consumers: BTreeMap<ConsumerId, Arc<Served>>,
}

impl<B: Core> Working<B> {
    fn served(&self, id: &ConsumerId) -> Option<&Served> {
        self.consumers.get(id).map(|served| &**served)
    }

    fn change(&mut self, id: &ConsumerId) -> &mut Served {
        Arc::make_mut(self.consumers.entry(id.clone()).or_default())
    }

    fn backlogs(&self, id: &ConsumerId) -> impl Iterator<Item = (&StreamId, &Backlog)> {
        let served = self.served(id).into_iter();
        served.flat_map(|served| &served.backlogs)
    }

    /// The log of a namespace after a position.
    fn each_recorded(
        &self,
        namespace: &Namespace,
        mut after: Position,
        visit: Visit<'_, RecordedEvent>,
    ) -> Result<(), Error> {
        let everything = LogFilter::default();
        let mut limit = FIRST_EVENTS;
        loop {
            let page = read_log(&*self.core, namespace, after, &everything, limit);
            let page = self.runtime.block_on(page)?;
            for event in page.events {
                if visit(event).is_break() {
                    return Ok(());
                }
            }
            if page.caught_up {
                return Ok(());
            }
            (after, limit) = (page.next, PAGE_EVENTS);
        }
    }

    /// The events of a stream from and through these versions: before one that cannot be read,
    /// each.
    fn each_of_stream(
        &self,
        stream: &StreamId,
        from: Version,
        through: Version,
        visit: Visit<'_, Result<RecordedEvent, Error>>,
    ) -> Result<(), Error> {
        let mut range = StreamRange {
            through: Some(through),
            limit: FIRST_EVENTS,
            ..StreamRange::page_after(from.previous())
        };
        loop {
            match self.runtime.block_on(self.core.read_stream(stream, range)) {
                Ok(page) => {
                    let Some(last) = page.last() else {
                        return Ok(());
                    };
                    range.after = last.version;
                    for event in page {
                        if visit(Ok(event)).is_break() {
                            return Ok(());
                        }
                    }
                }
                Err(Error::Malformed { .. }) if range.limit > 1 => range.limit = 1,
                Err(error @ Error::Malformed { .. }) => {
                    let _ = visit(Err(error));
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl<B: Core> Rows for Working<B> {
    fn find(&self, id: &ConsumerId) -> Result<Option<Registered>, Error> {
        let served = self.served(id);
        Ok(served.and_then(|served| served.consumer.clone()))
    }

    fn keep(&mut self, id: &ConsumerId, consumer: &Registered) -> Result<(), Error> {
        self.change(id).consumer = Some(consumer.clone());
        Ok(())
    }

    fn remove(&mut self, id: &ConsumerId) -> Result<bool, Error> {
        let removed = std::mem::take(self.change(id));
        Ok(removed.consumer.is_some())
    }

    fn backlog(&self, id: &ConsumerId, stream: &StreamId) -> Result<Option<Backlog>, Error> {
        let served = self.served(id);
        Ok(served.and_then(|served| served.backlogs.get(stream).cloned()))
    }

    fn leased(
        &self,
        id: &ConsumerId,
        lease: LeaseId,
    ) -> Result<Option<(StreamId, Backlog)>, Error> {
        let is_held = |backlog: &Backlog| backlog.lease.is_some_and(|holder| holder.id == lease);
        let mut backlogs = self.backlogs(id);
        Ok(backlogs.find(|(_, backlog)| is_held(backlog)).map(owned))
    }

    fn keep_backlog(
        &mut self,
        id: &ConsumerId,
        stream: &StreamId,
        backlog: &Backlog,
    ) -> Result<(), Error> {
        let served = self.change(id);
        served.backlogs.insert(stream.clone(), backlog.clone());
        Ok(())
    }

    fn remove_backlog(&mut self, id: &ConsumerId, stream: &StreamId) -> Result<(), Error> {
        self.change(id).backlogs.remove(stream);
        Ok(())
    }

    fn remove_backlogs(&mut self, id: &ConsumerId) -> Result<(), Error> {
        self.change(id).backlogs.clear();
        Ok(())
    }

    fn retry_parked(&mut self, id: &ConsumerId, now: OffsetDateTime) -> Result<u64, Error> {
        let mut retried = 0;
        let backlogs = self.change(id).backlogs.values_mut();
        for backlog in backlogs.filter(|backlog| backlog.parked_at.is_some()) {
            backlog.retry(now);
            retried += 1;
        }
        Ok(retried)
    }

    fn free(
        &self,
        id: &ConsumerId,
        now: OffsetDateTime,
        limit: u32,
    ) -> Result<Vec<(StreamId, Backlog)>, Error> {
        let is_free = |backlog: &Backlog| backlog.parked_at.is_none() && backlog.is_available(now);
        let backlogs = self.backlogs(id);
        let free = backlogs.filter(|(_, backlog)| is_free(backlog));
        let mut free: Vec<_> = free.map(owned).collect();
        free.sort_by_key(|(_, backlog)| backlog.next.position);
        free.truncate(limit as usize);
        Ok(free)
    }

    fn next_available(&self, id: &ConsumerId) -> Result<Option<OffsetDateTime>, Error> {
        let backlogs = self.backlogs(id);
        let waiting = backlogs.filter(|(_, backlog)| backlog.parked_at.is_none());
        Ok(waiting.map(|(_, backlog)| backlog.available_at).min())
    }

    fn progress(&self, id: &ConsumerId, now: OffsetDateTime) -> Result<ConsumerProgress, Error> {
        let mut progress = ConsumerProgress::default();
        for (_, backlog) in self.backlogs(id) {
            let created_at = backlog.next.created_at;
            let oldest = progress.oldest.unwrap_or(created_at);
            progress.oldest = Some(oldest.min(created_at));
            progress.pending += backlog.pending;
            progress.in_flight += u64::from(backlog.lease.is_some() && !backlog.is_available(now));
            progress.parked += u64::from(backlog.parked_at.is_some());
        }
        Ok(progress)
    }

    fn each_after(
        &self,
        id: &ConsumerId,
        after: Position,
        visit: Visit<'_, LogEntry>,
    ) -> Result<(), Error> {
        self.each_recorded(id.namespace(), after, &mut |event| visit(entry(&event)))
    }

    fn end(&self, id: &ConsumerId) -> Result<Position, Error> {
        let end = self.ends.find(&*self.core, id.namespace());
        self.runtime.block_on(end)
    }

    fn before(&self, id: &ConsumerId, time: OffsetDateTime) -> Result<Position, Error> {
        let mut before = Position::BEGINNING;
        self.each_recorded(id.namespace(), before, &mut |event| {
            if event.created_at >= time {
                return ControlFlow::Break(());
            }
            before = event.position;
            ControlFlow::Continue(())
        })?;
        Ok(before)
    }

    fn each_entry(
        &self,
        stream: &StreamId,
        from: Version,
        through: Version,
        visit: Visit<'_, LogEntry>,
    ) -> Result<(), Error> {
        let mut failed = None;
        self.each_of_stream(stream, from, through, &mut |event| match event {
            Ok(event) => visit(entry(&event)),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        })?;
        failed.map_or(Ok(()), Err)
    }

    fn each_event(
        &self,
        stream: &StreamId,
        from: Version,
        through: Version,
        visit: Visit<'_, Result<RecordedEvent, Error>>,
    ) -> Result<(), Error> {
        self.each_of_stream(stream, from, through, visit)
    }
}

fn owned((stream, backlog): (&StreamId, &Backlog)) -> (StreamId, Backlog) {
    (stream.clone(), backlog.clone())
}

fn entry(event: &RecordedEvent) -> LogEntry {
    LogEntry {
        decider: event.stream.decider().as_str().to_owned(),
        id: event.stream.id().to_owned(),
        event: event.event.event.clone(),
        tags: Some(event.event.tags.clone()),
        place: EventCoordinates {
            version: event.version,
            position: event.position,
            created_at: event.created_at,
        },
    }
}
