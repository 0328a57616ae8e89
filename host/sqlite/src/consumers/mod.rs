//! Consumers in the file: the rules, each in a transaction.

mod rows;

use std::convert::identity;
use std::time::Duration;

use async_trait::async_trait;
use gavel_model::{
    Consumer, ConsumerId, ConsumerSettings, LeaseId, Namespace, Parked, Position, Start, StreamId,
};
use gavel_store::toolkit::consumers::rows::{self as toolkit_rows, Rows as _};
use gavel_store::toolkit::consumers::rules;
use gavel_store::toolkit::writes::{
    Ack, CarryOut, Change, DeleteConsumer, Extend, LeaseStreams, Nack, PassOver, PauseConsumer,
    PauseConsumerFor, PutConsumer, Release, ResetConsumer, RetryParked, UnparkStream,
};
use gavel_store::{ConsumerError, ConsumerStore, Error, Leased, Nacked, Page, Unpark};
use time::OffsetDateTime;

use super::SqliteStore;
use super::tables::Tables;

impl SqliteStore {
    /// Carries out one of the rules that write.
    async fn write_consumers<C>(&self, change: C) -> Result<C::Answer, ConsumerError>
    where
        C: Change<Error = ConsumerError>,
        for<'t> Tables<'t>: CarryOut<C>,
    {
        let written = self.writer.carry_out(change).await;
        written.map_err(|error| error.into_error(ConsumerError::Store))
    }

    /// Runs one of the rules that changes nothing. What it is refused comes as a value, for reads
    /// fail with [`Error`] only.
    async fn read_consumers<T: Send + 'static>(
        &self,
        id: &ConsumerId,
        work: impl FnOnce(&Tables<'_>, &ConsumerId, OffsetDateTime) -> Result<T, ConsumerError>
        + Send
        + 'static,
    ) -> Result<T, ConsumerError> {
        let (id, now) = (id.clone(), self.clock.now());
        let found = self.readers.read(move |database| {
            // One transaction, so that all statements see the same.
            let snapshot = database.unchecked_transaction()?;
            Ok(work(&Tables::of(&snapshot), &id, now))
        });
        found.await?
    }
}

#[async_trait]
impl ConsumerStore for SqliteStore {
    async fn put_consumer(
        &self,
        id: &ConsumerId,
        settings: &ConsumerSettings,
        start: Start,
    ) -> Result<bool, Error> {
        let (id, settings) = (id.clone(), settings.clone());
        let change = PutConsumer {
            id,
            settings,
            start,
        };
        let written = self.writer.carry_out(change).await;
        written.map_err(|error| error.into_error(identity))
    }

    async fn consumer(&self, id: &ConsumerId, look: u32) -> Result<Consumer, ConsumerError> {
        self.read_consumers(id, move |tables, id, now| {
            rules::report(tables, id, look, now)
        })
        .await
    }

    async fn consumer_cursor(
        &self,
        id: &ConsumerId,
    ) -> Result<(ConsumerSettings, Position), ConsumerError> {
        self.read_consumers(id, |tables, id, _| rules::cursor(tables, id))
            .await
    }

    async fn pass_over(
        &self,
        id: &ConsumerId,
        settings: &ConsumerSettings,
        from: Position,
        to: Position,
    ) -> Result<(), ConsumerError> {
        let (id, settings) = (id.clone(), settings.clone());
        let change = PassOver {
            id,
            settings,
            from,
            to,
        };
        self.write_consumers(change).await
    }

    async fn list_consumers(
        &self,
        namespace: Option<&Namespace>,
        after: Option<&ConsumerId>,
        limit: u32,
        look: u32,
    ) -> Result<Page<Consumer>, Error> {
        let after = after.cloned();
        let namespace = namespace.map(|namespace| namespace.as_str().to_owned());
        let now = self.clock.now();
        let reports = self.readers.read(move |database| {
            let snapshot = database.unchecked_transaction()?;
            let tables = Tables::of(&snapshot);
            let names = tables.names(namespace.as_deref())?;
            Ok(rules::report_page(
                &tables,
                &names,
                after.as_ref(),
                limit,
                look,
                now,
            )?)
        });
        reports.await
    }

    async fn has_room(&self, id: &ConsumerId, most: u32) -> Result<bool, Error> {
        let id = id.clone();
        let found = self
            .readers
            .read(move |database| Tables::of(database).has_room(&id, most));
        found.await
    }

    async fn delete_consumer(&self, id: &ConsumerId) -> Result<(), ConsumerError> {
        let id = id.clone();
        self.write_consumers(DeleteConsumer { id }).await
    }

    async fn pause_consumer(&self, id: &ConsumerId, is_paused: bool) -> Result<(), ConsumerError> {
        let id = id.clone();
        self.write_consumers(PauseConsumer { id, is_paused }).await
    }

    async fn pause_for(
        &self,
        id: &ConsumerId,
        settings: &ConsumerSettings,
        reason: &str,
    ) -> Result<bool, ConsumerError> {
        let (id, settings, reason) = (id.clone(), settings.clone(), reason.to_owned());
        let change = PauseConsumerFor {
            id,
            settings,
            reason,
        };
        self.write_consumers(change).await
    }

    async fn reset_consumer(&self, id: &ConsumerId, start: Start) -> Result<(), ConsumerError> {
        let id = id.clone();
        self.write_consumers(ResetConsumer { id, start }).await
    }

    /// Looks first whether there is anything to write, so that workers who wait do not hold up
    /// those who append.
    async fn lease(
        &self,
        id: &ConsumerId,
        max_streams: u32,
        max_events: u32,
    ) -> Result<Leased, ConsumerError> {
        let nothing = self
            .read_consumers(id, |tables, id, now| {
                rules::nothing_to_lease(tables, id, now)
            })
            .await?;
        if let Some(nothing) = nothing {
            return Ok(nothing);
        }
        let (id, leases) = (id.clone(), rules::new_leases(max_streams.min(max_events)));
        let change = LeaseStreams {
            id,
            leases,
            max_events,
        };
        self.write_consumers(change).await
    }

    async fn ack(
        &self,
        id: &ConsumerId,
        lease: LeaseId,
        through: Position,
        keep: bool,
    ) -> Result<Option<OffsetDateTime>, ConsumerError> {
        let id = id.clone();
        let change = Ack {
            id,
            lease,
            through,
            keep,
        };
        self.write_consumers(change).await
    }

    async fn nack(
        &self,
        id: &ConsumerId,
        lease: LeaseId,
        delay: Option<Duration>,
        reason: &str,
    ) -> Result<Nacked, ConsumerError> {
        let (id, reason) = (id.clone(), reason.to_owned());
        let change = Nack {
            id,
            lease,
            delay,
            reason,
        };
        self.write_consumers(change).await
    }

    async fn release(
        &self,
        id: &ConsumerId,
        lease: LeaseId,
        delay: Duration,
    ) -> Result<(), ConsumerError> {
        let id = id.clone();
        self.write_consumers(Release { id, lease, delay }).await
    }

    async fn extend(
        &self,
        id: &ConsumerId,
        lease: LeaseId,
    ) -> Result<OffsetDateTime, ConsumerError> {
        let id = id.clone();
        self.write_consumers(Extend { id, lease }).await
    }

    async fn list_parked(
        &self,
        id: &ConsumerId,
        after: Option<&StreamId>,
        limit: u32,
    ) -> Result<Vec<Parked>, ConsumerError> {
        let after = after.map(|after| (after.decider().as_str().to_owned(), after.id().to_owned()));
        let (decider, stream) = after.unwrap_or_default();
        self.read_consumers(id, move |tables, id, _| {
            tables.find(id)?.ok_or(ConsumerError::NotFound)?;
            let backlogs = tables.parked(id, &decider, &stream, limit)?;
            let parked = backlogs
                .into_iter()
                .filter_map(|(stream, backlog)| toolkit_rows::parked(stream, backlog));
            Ok(parked.collect())
        })
        .await
    }

    async fn unpark(
        &self,
        id: &ConsumerId,
        stream: &StreamId,
        how: Unpark,
    ) -> Result<(), ConsumerError> {
        let (id, stream) = (id.clone(), stream.clone());
        self.write_consumers(UnparkStream { id, stream, how }).await
    }

    async fn retry_parked(&self, id: &ConsumerId) -> Result<u64, ConsumerError> {
        let id = id.clone();
        self.write_consumers(RetryParked { id }).await
    }
}
