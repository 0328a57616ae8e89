//! The rows of consumers as types of the model.

use std::time::Duration;

use gavel_model::{
    Consumer, ConsumerId, ConsumerSettings, EventFilter, Lease, LeaseId, Namespace, Parked,
    Position, Push, RecordedEvent,
};
use gavel_store::Error;
use sqlx::postgres::PgRow;

use crate::rows::{Read, column, event, position, stream, time, unreadable, version};

/// A row of `gavel_lease`.
#[derive(Debug)]
pub(super) enum LeaseRow {
    /// An event, under the lease that it belongs to. The first of a lease comes without others.
    Event(Box<Lease>),
    /// An event of this lease that cannot be read.
    Unreadable(LeaseId, Error),
    /// The last one.
    End {
        caught_up: bool,
        next_in: Option<Duration>,
    },
}

pub(super) fn lease(row: &PgRow) -> Result<LeaseRow, Error> {
    let corrupt = |reason: crate::rows::Unreadable| reason.of("lease");
    let id: Option<LeaseId> = column(row, "lease").map_err(corrupt)?;
    let Some(id) = id else {
        let next_in: Option<i64> = column(row, "next_in_ms").map_err(corrupt)?;
        return Ok(LeaseRow::End {
            caught_up: column(row, "caught_up").map_err(corrupt)?,
            next_in: next_in.map(milliseconds),
        });
    };
    let event: RecordedEvent = match event(row) {
        Ok(event) => event,
        Err(error @ Error::Malformed { .. }) => return Ok(LeaseRow::Unreadable(id, error)),
        Err(error) => return Err(error),
    };
    Ok(LeaseRow::Event(Box::new(Lease {
        id,
        stream: event.stream.clone(),
        attempt: attempts(row).map_err(corrupt)?,
        expires_at: time(row, "expires_at").map_err(corrupt)?,
        events: vec![event],
    })))
}

fn duration(row: &PgRow, name: &str) -> Read<Duration> {
    column(row, name).map(milliseconds)
}

/// The columns that [`settings`] reads.
macro_rules! settings_columns {
    () => {
        "deciders, events, tags, lock_timeout_ms, max_attempts, backoff_ms, push_url, push_secret"
    };
}

pub(super) use settings_columns;

fn settings(row: &PgRow) -> Read<ConsumerSettings> {
    let url: Option<String> = column(row, "push_url")?;
    let secret = column(row, "push_secret")?;
    let max_attempts: i64 = column(row, "max_attempts")?;
    Ok(ConsumerSettings {
        filter: EventFilter {
            deciders: column(row, "deciders")?,
            events: column(row, "events")?,
            tags: column(row, "tags")?,
        },
        lock_timeout: duration(row, "lock_timeout_ms")?,
        max_attempts: max_attempts.try_into().map_err(unreadable)?,
        backoff: duration(row, "backoff_ms")?,
        push: url.map(|url| Push { url, secret }),
    })
}

pub(super) fn cursor(row: &PgRow) -> Read<(ConsumerSettings, Position)> {
    Ok((settings(row)?, position(row, column(row, "offset")?)?))
}

/// The texts by which a consumer is found, whether a consumer may have them or not.
pub(super) fn names(row: &PgRow) -> Read<(String, String)> {
    Ok((column(row, "namespace")?, column(row, "consumer")?))
}

pub(super) fn consumer(row: &PgRow) -> Read<Consumer> {
    let namespace = Namespace::new(column::<&str>(row, "namespace")?).map_err(unreadable)?;
    let count = |name| -> Read<u64> { column::<i64>(row, name)?.try_into().map_err(unreadable) };
    let is_paused = column(row, "paused")?;
    let paused_reason: Option<String> = column(row, "paused_reason")?;
    Ok(Consumer {
        id: ConsumerId::new(namespace, column::<&str>(row, "consumer")?).map_err(unreadable)?,
        settings: settings(row)?,
        is_paused,
        paused_reason: paused_reason.filter(|_| is_paused),
        created_at: time(row, "created_at")?,
        lag_events: count("lag_events")?,
        lag: duration(row, "lag_ms")?,
        in_flight: count("in_flight")?,
        parked: count("parked")?,
    })
}

pub(super) fn parked(row: &PgRow) -> Read<Parked> {
    Ok(Parked {
        stream: stream(row)?,
        version: version(row, "next_version")?,
        position: position(row, column(row, "next_offset")?)?,
        attempts: attempts(row)?,
        reason: column(row, "reason")?,
        parked_at: time(row, "parked_at")?,
    })
}

fn attempts(row: &PgRow) -> Read<u32> {
    let count: i64 = column(row, "attempt")?;
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

/// The duration of the milliseconds in a row; zero if they are negative.
pub(crate) fn milliseconds(count: i64) -> Duration {
    Duration::from_millis(count.try_into().unwrap_or_default())
}
