//! Management of consumers. Every change wakes the workers that wait for something to do.

#![allow(
    clippy::missing_errors_doc,
    reason = "each fails as the method of `ConsumerStore` that it carries out"
)]

use std::time::Duration;

use gavel_model::{
    Consumer, ConsumerId, ConsumerSettings, LeaseId, Namespace, Parked, Position, Start, StreamId,
};
use gavel_store::{ConsumerError, Error, Nacked, Page, Unpark};
use time::OffsetDateTime;

use super::Consumers;

impl Consumers {
    /// Carries out [`ConsumerStore::consumer`](gavel_store::ConsumerStore::consumer).
    pub async fn show(&self, id: &ConsumerId, look: u32) -> Result<Consumer, ConsumerError> {
        self.store.consumer(id, look).await
    }

    /// Carries out [`ConsumerStore::list_consumers`](gavel_store::ConsumerStore::list_consumers).
    pub async fn list(
        &self,
        namespace: &Namespace,
        after: Option<&ConsumerId>,
        limit: u32,
        look: u32,
    ) -> Result<Page<Consumer>, Error> {
        let namespace = Some(namespace);
        self.store
            .list_consumers(namespace, after, limit, look)
            .await
    }

    /// Carries out [`ConsumerStore::has_room`](gavel_store::ConsumerStore::has_room).
    pub async fn has_room(&self, id: &ConsumerId, most: u32) -> Result<bool, Error> {
        self.store.has_room(id, most).await
    }

    /// Carries out [`ConsumerStore::put_consumer`](gavel_store::ConsumerStore::put_consumer).
    pub async fn put(
        &self,
        id: &ConsumerId,
        settings: &ConsumerSettings,
        start: Start,
    ) -> Result<bool, Error> {
        let is_new = self.store.put_consumer(id, settings, start).await?;
        self.changed();
        Ok(is_new)
    }

    /// Carries out [`ConsumerStore::delete_consumer`](gavel_store::ConsumerStore::delete_consumer).
    pub async fn delete(&self, id: &ConsumerId) -> Result<(), ConsumerError> {
        self.store.delete_consumer(id).await?;
        self.changed();
        Ok(())
    }

    /// Carries out [`ConsumerStore::reset_consumer`](gavel_store::ConsumerStore::reset_consumer).
    pub async fn reset(&self, id: &ConsumerId, start: Start) -> Result<(), ConsumerError> {
        self.store.reset_consumer(id, start).await?;
        self.changed();
        Ok(())
    }

    /// Carries out [`ConsumerStore::pause_consumer`](gavel_store::ConsumerStore::pause_consumer).
    pub async fn pause(&self, id: &ConsumerId, is_paused: bool) -> Result<(), ConsumerError> {
        self.store.pause_consumer(id, is_paused).await?;
        self.changed();
        Ok(())
    }

    /// Carries out [`ConsumerStore::pause_for`](gavel_store::ConsumerStore::pause_for).
    pub(super) async fn pause_for(
        &self,
        id: &ConsumerId,
        settings: &ConsumerSettings,
        reason: &str,
    ) -> Result<bool, ConsumerError> {
        let is_paused = self.store.pause_for(id, settings, reason).await?;
        if is_paused {
            self.changed();
        }
        Ok(is_paused)
    }

    /// Carries out [`ConsumerStore::ack`](gavel_store::ConsumerStore::ack).
    pub async fn ack(
        &self,
        id: &ConsumerId,
        lease: LeaseId,
        through: Position,
        keep: bool,
    ) -> Result<Option<OffsetDateTime>, ConsumerError> {
        self.store.ack(id, lease, through, keep).await
    }

    /// Carries out [`ConsumerStore::nack`](gavel_store::ConsumerStore::nack).
    pub async fn nack(
        &self,
        id: &ConsumerId,
        lease: LeaseId,
        delay: Option<Duration>,
        reason: &str,
    ) -> Result<Nacked, ConsumerError> {
        self.store.nack(id, lease, delay, reason).await
    }

    /// Carries out [`ConsumerStore::release`](gavel_store::ConsumerStore::release).
    pub(super) async fn release(
        &self,
        id: &ConsumerId,
        lease: LeaseId,
        delay: Duration,
    ) -> Result<(), ConsumerError> {
        self.store.release(id, lease, delay).await
    }

    /// Carries out [`ConsumerStore::extend`](gavel_store::ConsumerStore::extend).
    pub async fn extend(
        &self,
        id: &ConsumerId,
        lease: LeaseId,
    ) -> Result<OffsetDateTime, ConsumerError> {
        self.store.extend(id, lease).await
    }

    /// Carries out [`ConsumerStore::list_parked`](gavel_store::ConsumerStore::list_parked).
    pub async fn list_parked(
        &self,
        id: &ConsumerId,
        after: Option<&StreamId>,
        limit: u32,
    ) -> Result<Vec<Parked>, ConsumerError> {
        self.store.list_parked(id, after, limit).await
    }

    /// Carries out [`ConsumerStore::unpark`](gavel_store::ConsumerStore::unpark).
    pub async fn unpark(
        &self,
        id: &ConsumerId,
        stream: &StreamId,
        how: Unpark,
    ) -> Result<(), ConsumerError> {
        self.store.unpark(id, stream, how).await?;
        self.changed();
        Ok(())
    }

    /// Carries out [`ConsumerStore::retry_parked`](gavel_store::ConsumerStore::retry_parked).
    pub async fn retry_parked(&self, id: &ConsumerId) -> Result<u64, ConsumerError> {
        let retried = self.store.retry_parked(id).await?;
        self.changed();
        Ok(retried)
    }
}
