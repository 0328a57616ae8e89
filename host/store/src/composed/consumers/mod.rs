//! Consumers: a journal for each, with the changes that the rules of the toolkit have made.

mod served;
mod working;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gavel_model::{
    Consumer, ConsumerId, ConsumerSettings, DeciderName, LeaseId, Namespace, Parked, Position,
    Start, StreamId,
};
use time::OffsetDateTime;
use tokio::runtime::Handle;

pub(super) use self::served::Served;
use self::served::{CONSUMERS, id_of, journal_of};
use self::working::Working;
use super::journal::{Fold as _, failed};
use super::log::PAGE_EVENTS;
use super::{Composed, Core};
use crate::toolkit::consumers::rows::parked;
use crate::toolkit::consumers::rules;
use crate::toolkit::writes::{
    Ack, CarryOut, Change, DeleteConsumer, Extend, LeaseStreams, Nack, PassOver, PauseConsumer,
    PauseConsumerFor, PutConsumer, Release, ResetConsumer, RetryParked, UnparkStream,
};
use crate::{ConsumerError, ConsumerStore, Error, Leased, Nacked, Page, Unpark};

impl<B: Core> Composed<B> {
    fn working(&self, consumers: BTreeMap<ConsumerId, Arc<Served>>) -> Working<B> {
        Working {
            core: Arc::clone(&self.core),
            ends: self.ends.clone(),
            runtime: Handle::current(),
            consumers,
        }
    }

    /// Carries out one of the rules that write.
    async fn write_consumer<C>(&self, id: &ConsumerId, change: C) -> Result<C::Answer, C::Error>
    where
        C: Change<Error: From<Error>>,
        Working<B>: CarryOut<C>,
    {
        let journal = journal_of(id)?;
        loop {
            let mut opened = self.consumers.open(&*self.core, &journal).await?;
            let before = Arc::clone(opened.state());
            let consumers = BTreeMap::from([(id.clone(), Arc::clone(&before))]);
            let (mut working, id) = (self.working(consumers), id.clone());
            let (change, now) = (change.clone(), self.clock.now());
            let (answer, after) = blocking(move || {
                let answer = working.carry_out(change, now);
                (answer, working.consumers.remove(&id).unwrap_or_default())
            })
            .await?;
            let answer = answer?;
            let mut entries = after.since(&before);
            if entries.is_empty() {
                return Ok(answer);
            }
            if opened.next_version().get() % Served::WHOLE_EVERY == 0 {
                entries = after.whole();
            }
            let committed = opened.commit(&*self.core, &entries).await;
            if committed.map_err(failed)?.is_some() {
                return Ok(answer);
            }
        }
    }

    /// Runs one of the rules that change nothing.
    async fn read_consumer<T: Send + 'static>(
        &self,
        id: &ConsumerId,
        work: impl FnOnce(&Working<B>, OffsetDateTime) -> Result<T, ConsumerError> + Send + 'static,
    ) -> Result<T, ConsumerError> {
        let served = self.consumers.read(&*self.core, &journal_of(id)?).await?;
        let working = self.working(BTreeMap::from([(id.clone(), served)]));
        let now = self.clock.now();
        blocking(move || work(&working, now)).await?
    }

    /// The consumers that there are, of a namespace or of all.
    async fn all_consumers(
        &self,
        namespace: Option<&Namespace>,
    ) -> Result<BTreeMap<ConsumerId, Arc<Served>>, Error> {
        let (of_store, consumers) = (Namespace::internal(), DeciderName::internal(CONSUMERS));
        let (mut found, mut last) = (BTreeMap::new(), None);
        loop {
            let journals = &self.core;
            let page = journals.list_streams(&of_store, &consumers, last.as_deref(), PAGE_EVENTS);
            let page = page.await?;
            for journal in &page {
                let id = id_of(&journal.id)?;
                if namespace.is_none_or(|namespace| id.namespace() == namespace) {
                    let served = self.consumers.read(&*self.core, &journal_of(&id)?).await?;
                    if served.consumer.is_some() {
                        found.insert(id, served);
                    }
                }
            }
            match page.into_iter().next_back() {
                Some(journal) => last = Some(journal.id),
                None => return Ok(found),
            }
        }
    }
}

/// Runs work that waits for the backend on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::Unavailable(error.into()))
}

#[async_trait]
impl<B: Core> ConsumerStore for Composed<B> {
    async fn put_consumer(
        &self,
        id: &ConsumerId,
        settings: &ConsumerSettings,
        start: Start,
    ) -> Result<bool, Error> {
        let change = PutConsumer {
            id: id.clone(),
            settings: settings.clone(),
            start,
        };
        self.write_consumer(id, change).await
    }

    async fn consumer(&self, id: &ConsumerId, look: u32) -> Result<Consumer, ConsumerError> {
        let of = id.clone();
        let report = self.read_consumer(id, move |working, now| {
            rules::report(working, &of, look, now)
        });
        report.await
    }

    async fn consumer_cursor(
        &self,
        id: &ConsumerId,
    ) -> Result<(ConsumerSettings, Position), ConsumerError> {
        let of = id.clone();
        let cursor = self.read_consumer(id, move |working, _| rules::cursor(working, &of));
        cursor.await
    }

    async fn pass_over(
        &self,
        id: &ConsumerId,
        settings: &ConsumerSettings,
        from: Position,
        to: Position,
    ) -> Result<(), ConsumerError> {
        let change = PassOver {
            id: id.clone(),
            settings: settings.clone(),
            from,
            to,
        };
        self.write_consumer(id, change).await
    }

    async fn list_consumers(
        &self,
        namespace: Option<&Namespace>,
        after: Option<&ConsumerId>,
        limit: u32,
        look: u32,
    ) -> Result<Page<Consumer>, Error> {
        let consumers = self.all_consumers(namespace).await?;
        let names: Vec<_> = consumers.keys().cloned().collect();
        let (working, after, now) = (self.working(consumers), after.cloned(), self.clock.now());
        blocking(move || rules::report_page(&working, &names, after.as_ref(), limit, look, now))
            .await?
    }

    async fn has_room(&self, id: &ConsumerId, most: u32) -> Result<bool, Error> {
        let consumers = self.all_consumers(Some(id.namespace())).await?;
        Ok(consumers.contains_key(id) || consumers.len() < most as usize)
    }

    async fn delete_consumer(&self, id: &ConsumerId) -> Result<(), ConsumerError> {
        self.write_consumer(id, DeleteConsumer { id: id.clone() })
            .await
    }

    async fn pause_consumer(&self, id: &ConsumerId, is_paused: bool) -> Result<(), ConsumerError> {
        let change = PauseConsumer {
            id: id.clone(),
            is_paused,
        };
        self.write_consumer(id, change).await
    }

    async fn pause_for(
        &self,
        id: &ConsumerId,
        settings: &ConsumerSettings,
        reason: &str,
    ) -> Result<bool, ConsumerError> {
        let change = PauseConsumerFor {
            id: id.clone(),
            settings: settings.clone(),
            reason: reason.to_owned(),
        };
        self.write_consumer(id, change).await
    }

    async fn reset_consumer(&self, id: &ConsumerId, start: Start) -> Result<(), ConsumerError> {
        let change = ResetConsumer {
            id: id.clone(),
            start,
        };
        self.write_consumer(id, change).await
    }

    async fn lease(
        &self,
        id: &ConsumerId,
        max_streams: u32,
        max_events: u32,
    ) -> Result<Leased, ConsumerError> {
        let change = LeaseStreams {
            id: id.clone(),
            leases: rules::new_leases(max_streams.min(max_events)),
            max_events,
        };
        self.write_consumer(id, change).await
    }

    async fn ack(
        &self,
        id: &ConsumerId,
        lease: LeaseId,
        through: Position,
        keep: bool,
    ) -> Result<Option<OffsetDateTime>, ConsumerError> {
        let change = Ack {
            id: id.clone(),
            lease,
            through,
            keep,
        };
        self.write_consumer(id, change).await
    }

    async fn nack(
        &self,
        id: &ConsumerId,
        lease: LeaseId,
        delay: Option<Duration>,
        reason: &str,
    ) -> Result<Nacked, ConsumerError> {
        let change = Nack {
            id: id.clone(),
            lease,
            delay,
            reason: reason.to_owned(),
        };
        self.write_consumer(id, change).await
    }

    async fn release(
        &self,
        id: &ConsumerId,
        lease: LeaseId,
        delay: Duration,
    ) -> Result<(), ConsumerError> {
        let change = Release {
            id: id.clone(),
            lease,
            delay,
        };
        self.write_consumer(id, change).await
    }

    async fn extend(
        &self,
        id: &ConsumerId,
        lease: LeaseId,
    ) -> Result<OffsetDateTime, ConsumerError> {
        let change = Extend {
            id: id.clone(),
            lease,
        };
        self.write_consumer(id, change).await
    }

    async fn list_parked(
        &self,
        id: &ConsumerId,
        after: Option<&StreamId>,
        limit: u32,
    ) -> Result<Vec<Parked>, ConsumerError> {
        let served = self.consumers.read(&*self.core, &journal_of(id)?).await?;
        if served.consumer.is_none() {
            return Err(ConsumerError::NotFound);
        }
        let backlogs = served.backlogs.iter();
        let later = backlogs.filter(|(stream, _)| after.is_none_or(|after| *stream > after));
        let parked = later.filter_map(|(stream, backlog)| parked(stream.clone(), backlog.clone()));
        Ok(parked.take(limit as usize).collect())
    }

    async fn unpark(
        &self,
        id: &ConsumerId,
        stream: &StreamId,
        how: Unpark,
    ) -> Result<(), ConsumerError> {
        let change = UnparkStream {
            id: id.clone(),
            stream: stream.clone(),
            how,
        };
        self.write_consumer(id, change).await
    }

    async fn retry_parked(&self, id: &ConsumerId) -> Result<u64, ConsumerError> {
        self.write_consumer(id, RetryParked { id: id.clone() })
            .await
    }
}
