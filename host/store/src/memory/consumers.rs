//! Consumers in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gavel_model::{
    Consumer, ConsumerId, ConsumerSettings, LeaseId, Namespace, Parked, Position, RecordedEvent,
    Start, StreamId, Version,
};
use time::OffsetDateTime;

use super::{Kept, MemoryStore};
use crate::toolkit::consumers::rows::{Backlog, Entry, Place, Progress, Registered, Rows, Visit};
use crate::toolkit::consumers::{rows, rules};
use crate::toolkit::writes::{
    Ack, DeleteConsumer, Extend, LeaseStreams, Nack, PassOver, PauseConsumer, PauseConsumerFor,
    PutConsumer, Release, ResetConsumer, RetryParked, UnparkStream,
};
use crate::{ConsumerError, ConsumerStore, Error, Leased, Nacked, Page, Unpark};

/// All consumers.
#[derive(Debug, Default)]
pub(super) struct Consumers(BTreeMap<ConsumerId, (Registered, BTreeMap<StreamId, Backlog>)>);

impl Consumers {
    pub(super) fn names(&self, namespace: Option<&Namespace>) -> Vec<ConsumerId> {
        let names = self.0.keys();
        names
            .filter(|id| namespace.is_none_or(|namespace| id.namespace() == namespace))
            .cloned()
            .collect()
    }

    pub(super) fn backlogs(&self, id: &ConsumerId) -> impl Iterator<Item = (&StreamId, &Backlog)> {
        self.0
            .get(id)
            .into_iter()
            .flat_map(|(_, backlogs)| backlogs)
    }
}

fn owned((stream, backlog): (&StreamId, &Backlog)) -> (StreamId, Backlog) {
    (stream.clone(), backlog.clone())
}

impl Rows for Kept {
    fn find(&self, id: &ConsumerId) -> Result<Option<Registered>, Error> {
        Ok(self
            .consumers
            .0
            .get(id)
            .map(|(consumer, _)| consumer.clone()))
    }

    fn keep(&mut self, id: &ConsumerId, consumer: &Registered) -> Result<(), Error> {
        match self.consumers.0.get_mut(id) {
            Some((kept, _)) => *kept = consumer.clone(),
            None => {
                let entry = (consumer.clone(), BTreeMap::new());
                self.consumers.0.insert(id.clone(), entry);
            }
        }
        Ok(())
    }

    fn remove(&mut self, id: &ConsumerId) -> Result<bool, Error> {
        Ok(self.consumers.0.remove(id).is_some())
    }

    fn backlog(&self, id: &ConsumerId, stream: &StreamId) -> Result<Option<Backlog>, Error> {
        let found = self.consumers.0.get(id);
        Ok(found.and_then(|(_, backlogs)| backlogs.get(stream).cloned()))
    }

    fn leased(
        &self,
        id: &ConsumerId,
        lease: LeaseId,
    ) -> Result<Option<(StreamId, Backlog)>, Error> {
        let is_held = |backlog: &Backlog| backlog.lease.is_some_and(|holder| holder.id == lease);
        let mut backlogs = self.consumers.backlogs(id);
        Ok(backlogs.find(|(_, backlog)| is_held(backlog)).map(owned))
    }

    fn keep_backlog(
        &mut self,
        id: &ConsumerId,
        stream: &StreamId,
        backlog: &Backlog,
    ) -> Result<(), Error> {
        if let Some((_, backlogs)) = self.consumers.0.get_mut(id) {
            backlogs.insert(stream.clone(), backlog.clone());
        }
        Ok(())
    }

    fn remove_backlog(&mut self, id: &ConsumerId, stream: &StreamId) -> Result<(), Error> {
        if let Some((_, backlogs)) = self.consumers.0.get_mut(id) {
            backlogs.remove(stream);
        }
        Ok(())
    }

    fn remove_backlogs(&mut self, id: &ConsumerId) -> Result<(), Error> {
        if let Some((_, backlogs)) = self.consumers.0.get_mut(id) {
            backlogs.clear();
        }
        Ok(())
    }

    fn retry_parked(&mut self, id: &ConsumerId, now: OffsetDateTime) -> Result<u64, Error> {
        let mut retried = 0;
        if let Some((_, backlogs)) = self.consumers.0.get_mut(id) {
            let parked = backlogs.values_mut().filter(|b| b.parked_at.is_some());
            for backlog in parked {
                backlog.retry(now);
                retried += 1;
            }
        }
        Ok(retried)
    }

    fn free(
        &self,
        id: &ConsumerId,
        now: OffsetDateTime,
        limit: u32,
    ) -> Result<Vec<(StreamId, Backlog)>, Error> {
        let backlogs = self.consumers.backlogs(id);
        let is_free = |backlog: &Backlog| backlog.parked_at.is_none() && backlog.is_available(now);
        let mut free: Vec<_> = backlogs
            .filter(|(_, backlog)| is_free(backlog))
            .map(owned)
            .collect();
        free.sort_by_key(|(_, backlog)| backlog.next.position);
        free.truncate(limit as usize);
        Ok(free)
    }

    fn next_available(&self, id: &ConsumerId) -> Result<Option<OffsetDateTime>, Error> {
        let backlogs = self.consumers.backlogs(id);
        let waiting = backlogs.filter(|(_, backlog)| backlog.parked_at.is_none());
        Ok(waiting.map(|(_, backlog)| backlog.available_at).min())
    }

    fn progress(&self, id: &ConsumerId, now: OffsetDateTime) -> Result<Progress, Error> {
        let mut progress = Progress::default();
        for (_, backlog) in self.consumers.backlogs(id) {
            let created_at = backlog.next.created_at;
            progress.pending += backlog.pending;
            progress.oldest = Some(
                progress
                    .oldest
                    .map_or(created_at, |oldest| oldest.min(created_at)),
            );
            progress.in_flight += u64::from(backlog.lease.is_some() && !backlog.is_available(now));
            progress.parked += u64::from(backlog.parked_at.is_some());
        }
        Ok(progress)
    }

    fn each_after(
        &self,
        id: &ConsumerId,
        after: Position,
        visit: Visit<'_, Entry>,
    ) -> Result<(), Error> {
        for event in self.events.log_after(id.namespace(), after) {
            if visit(entry(event)).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn end(&self, id: &ConsumerId) -> Result<Position, Error> {
        let newest = self
            .events
            .log_after(id.namespace(), Position::BEGINNING)
            .last();
        Ok(newest.map_or(Position::BEGINNING, |newest| newest.position))
    }

    fn before(&self, id: &ConsumerId, time: OffsetDateTime) -> Result<Position, Error> {
        let log = self.events.log_after(id.namespace(), Position::BEGINNING);
        let earlier = log.take_while(|event| event.created_at < time);
        Ok(earlier
            .last()
            .map_or(Position::BEGINNING, |event| event.position))
    }

    fn each_entry(
        &self,
        stream: &StreamId,
        from: Version,
        through: Version,
        visit: Visit<'_, Entry>,
    ) -> Result<(), Error> {
        for event in self.events.of_stream(stream, from, through) {
            if visit(entry(event)).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn each_event(
        &self,
        stream: &StreamId,
        from: Version,
        through: Version,
        visit: Visit<'_, Result<RecordedEvent, Error>>,
    ) -> Result<(), Error> {
        for event in self.events.of_stream(stream, from, through) {
            if visit(Ok(RecordedEvent::clone(event))).is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn entry(event: &Arc<RecordedEvent>) -> Entry {
    Entry {
        decider: event.stream.decider().as_str().to_owned(),
        id: event.stream.id().to_owned(),
        event: event.event.event.clone(),
        tags: Some(event.event.tags.clone()),
        place: Place {
            version: event.version,
            position: event.position,
            created_at: event.created_at,
        },
    }
}

#[async_trait]
impl ConsumerStore for MemoryStore {
    async fn put_consumer(
        &self,
        id: &ConsumerId,
        settings: &ConsumerSettings,
        start: Start,
    ) -> Result<bool, Error> {
        let (id, settings) = (id.clone(), settings.clone());
        self.carry_out(PutConsumer {
            id,
            settings,
            start,
        })
    }

    async fn consumer(&self, id: &ConsumerId, look: u32) -> Result<Consumer, ConsumerError> {
        rules::report(&*self.kept(), id, look, self.clock.now())
    }

    async fn consumer_cursor(
        &self,
        id: &ConsumerId,
    ) -> Result<(ConsumerSettings, Position), ConsumerError> {
        rules::cursor(&*self.kept(), id)
    }

    async fn pass_over(
        &self,
        id: &ConsumerId,
        settings: &ConsumerSettings,
        from: Position,
        to: Position,
    ) -> Result<(), ConsumerError> {
        let (id, settings) = (id.clone(), settings.clone());
        self.carry_out(PassOver {
            id,
            settings,
            from,
            to,
        })
    }

    async fn list_consumers(
        &self,
        namespace: Option<&Namespace>,
        after: Option<&ConsumerId>,
        limit: u32,
        look: u32,
    ) -> Result<Page<Consumer>, Error> {
        let kept = self.kept();
        let names = kept.consumers.names(namespace);
        rules::report_page(&*kept, &names, after, limit, look, self.clock.now())
    }

    async fn has_room(&self, id: &ConsumerId, most: u32) -> Result<bool, Error> {
        let consumers = &self.kept().consumers;
        let is_there = consumers.0.contains_key(id);
        Ok(is_there || consumers.names(Some(id.namespace())).len() < most as usize)
    }

    async fn delete_consumer(&self, id: &ConsumerId) -> Result<(), ConsumerError> {
        self.carry_out(DeleteConsumer { id: id.clone() })
    }

    async fn pause_consumer(&self, id: &ConsumerId, is_paused: bool) -> Result<(), ConsumerError> {
        let id = id.clone();
        self.carry_out(PauseConsumer { id, is_paused })
    }

    async fn pause_for(
        &self,
        id: &ConsumerId,
        settings: &ConsumerSettings,
        reason: &str,
    ) -> Result<bool, ConsumerError> {
        let (id, settings, reason) = (id.clone(), settings.clone(), reason.to_owned());
        self.carry_out(PauseConsumerFor {
            id,
            settings,
            reason,
        })
    }

    async fn reset_consumer(&self, id: &ConsumerId, start: Start) -> Result<(), ConsumerError> {
        let id = id.clone();
        self.carry_out(ResetConsumer { id, start })
    }

    async fn lease(
        &self,
        id: &ConsumerId,
        max_streams: u32,
        max_events: u32,
    ) -> Result<Leased, ConsumerError> {
        let (id, leases) = (id.clone(), rules::new_leases(max_streams.min(max_events)));
        self.carry_out(LeaseStreams {
            id,
            leases,
            max_events,
        })
    }

    async fn ack(
        &self,
        id: &ConsumerId,
        lease: LeaseId,
        through: Position,
        keep: bool,
    ) -> Result<Option<OffsetDateTime>, ConsumerError> {
        let id = id.clone();
        self.carry_out(Ack {
            id,
            lease,
            through,
            keep,
        })
    }

    async fn nack(
        &self,
        id: &ConsumerId,
        lease: LeaseId,
        delay: Option<Duration>,
        reason: &str,
    ) -> Result<Nacked, ConsumerError> {
        let (id, reason) = (id.clone(), reason.to_owned());
        self.carry_out(Nack {
            id,
            lease,
            delay,
            reason,
        })
    }

    async fn release(
        &self,
        id: &ConsumerId,
        lease: LeaseId,
        delay: Duration,
    ) -> Result<(), ConsumerError> {
        let id = id.clone();
        self.carry_out(Release { id, lease, delay })
    }

    async fn extend(
        &self,
        id: &ConsumerId,
        lease: LeaseId,
    ) -> Result<OffsetDateTime, ConsumerError> {
        let id = id.clone();
        self.carry_out(Extend { id, lease })
    }

    async fn list_parked(
        &self,
        id: &ConsumerId,
        after: Option<&StreamId>,
        limit: u32,
    ) -> Result<Vec<Parked>, ConsumerError> {
        let kept = self.kept();
        kept.find(id)?.ok_or(ConsumerError::NotFound)?;
        let backlogs = kept.consumers.backlogs(id);
        let later = backlogs.filter(|(stream, _)| after.is_none_or(|after| *stream > after));
        let parked =
            later.filter_map(|(stream, backlog)| rows::parked(stream.clone(), backlog.clone()));
        Ok(parked.take(limit as usize).collect())
    }

    async fn unpark(
        &self,
        id: &ConsumerId,
        stream: &StreamId,
        how: Unpark,
    ) -> Result<(), ConsumerError> {
        let (id, stream) = (id.clone(), stream.clone());
        self.carry_out(UnparkStream { id, stream, how })
    }

    async fn retry_parked(&self, id: &ConsumerId) -> Result<u64, ConsumerError> {
        self.carry_out(RetryParked { id: id.clone() })
    }
}
