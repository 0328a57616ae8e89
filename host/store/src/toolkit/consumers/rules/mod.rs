//! The rules of consumers, for stores that have no language of their own to write them in: SQLite,
//! and whatever is below `Composed`. Those of PostgreSQL are functions in its database, where plain
//! SQL finds them, too.
//!
//! A store says how rows are found and kept, in [`Rows`]; each function here is one transaction of
//! it.

#![allow(clippy::missing_errors_doc, reason = "a rule fails as its method does")]

mod parked;
mod paused;
mod reports;
mod writes;

use std::ops::ControlFlow;
use std::time::Duration;

use gavel_model::{
    ConsumerId, ConsumerSettings, Lease, LeaseId, Position, RecordedEvent, Start, StreamId,
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::toolkit::consumers::rows::{
    Backlog, Holder, Registered, Rows, named, readable, unreadable,
};
use crate::{ConsumerError, Error, Leased, Nacked, PAGE_BYTES, Room};
pub use parked::{retry_parked, unpark};
pub use paused::{pause, pause_for};
pub use reports::{report, report_page};

/// The number of events of the log that one lease hands out at most.
const HANDED_OUT: u32 = 1_000;

fn registered(rows: &impl Rows, id: &ConsumerId) -> Result<Registered, ConsumerError> {
    rows.find(id)?.ok_or(ConsumerError::NotFound)
}

fn begin(
    rows: &impl Rows,
    id: &ConsumerId,
    start: Start,
) -> Result<(Position, Option<OffsetDateTime>), Error> {
    Ok(match start {
        Start::Beginning => (Position::BEGINNING, None),
        Start::Now => (rows.end(id)?, None),
        Start::After(position) => (position, None),
        Start::Since(time) => (rows.before(id, time)?, Some(time)),
    })
}

/// Carries out [`ConsumerStore::put_consumer`](crate::ConsumerStore::put_consumer).
pub fn put(
    rows: &mut impl Rows,
    id: &ConsumerId,
    settings: &ConsumerSettings,
    start: Start,
    now: OffsetDateTime,
) -> Result<bool, Error> {
    let known = rows.find(id)?;
    let is_new = known.is_none();
    let consumer = match known {
        Some(known) => Registered {
            settings: settings.clone(),
            ..known
        },
        None => {
            let (cursor, since) = begin(rows, id, start)?;
            Registered {
                settings: settings.clone(),
                is_paused: false,
                paused_reason: None,
                created_at: now,
                cursor,
                since,
            }
        }
    };
    rows.keep(id, &consumer)?;
    Ok(is_new)
}

/// Carries out [`ConsumerStore::consumer_cursor`](crate::ConsumerStore::consumer_cursor).
pub fn cursor(
    rows: &impl Rows,
    id: &ConsumerId,
) -> Result<(ConsumerSettings, Position), ConsumerError> {
    let consumer = registered(rows, id)?;
    Ok((consumer.settings, consumer.cursor))
}

/// Carries out [`ConsumerStore::pass_over`](crate::ConsumerStore::pass_over).
pub fn pass_over(
    rows: &mut impl Rows,
    id: &ConsumerId,
    settings: &ConsumerSettings,
    from: Position,
    to: Position,
) -> Result<(), ConsumerError> {
    let Some(consumer) = rows.find(id)? else {
        return Ok(());
    };
    let known = &consumer.settings;
    if known.filter == settings.filter && from <= consumer.cursor && consumer.cursor < to {
        let cursor = to;
        rows.keep(id, &Registered { cursor, ..consumer })?;
    }
    Ok(())
}

/// Carries out [`ConsumerStore::delete_consumer`](crate::ConsumerStore::delete_consumer).
pub fn delete(rows: &mut impl Rows, id: &ConsumerId) -> Result<(), ConsumerError> {
    if rows.remove(id)? {
        Ok(())
    } else {
        Err(ConsumerError::NotFound)
    }
}

/// Carries out [`ConsumerStore::reset_consumer`](crate::ConsumerStore::reset_consumer).
pub fn reset(rows: &mut impl Rows, id: &ConsumerId, start: Start) -> Result<(), ConsumerError> {
    let mut consumer = registered(rows, id)?;
    (consumer.cursor, consumer.since) = begin(rows, id, start)?;
    rows.remove_backlogs(id)?;
    Ok(rows.keep(id, &consumer)?)
}

/// The answer that `lease` would give, if it would change nothing.
pub fn nothing_to_lease(
    rows: &impl Rows,
    id: &ConsumerId,
    now: OffsetDateTime,
) -> Result<Option<Leased>, ConsumerError> {
    let consumer = registered(rows, id)?;
    let nothing = |next_in| Leased {
        leases: Vec::new(),
        caught_up: true,
        next_in,
    };
    if consumer.is_paused {
        return Ok(Some(nothing(None)));
    }
    let mut is_at_end = true;
    rows.each_after(id, consumer.cursor, &mut |_| {
        is_at_end = false;
        ControlFlow::Break(())
    })?;
    if !is_at_end || !rows.free(id, now, 1)?.is_empty() {
        return Ok(None);
    }
    Ok(Some(nothing(next_in(rows, id, now)?)))
}

/// Makes ids for the leases of `max_streams` streams.
pub fn new_leases(max_streams: u32) -> Vec<LeaseId> {
    (0..max_streams).map(|_| Uuid::new_v4()).collect()
}

/// Carries out [`ConsumerStore::lease`](crate::ConsumerStore::lease) for as many streams as there
/// are ids of leases.
pub fn lease(
    rows: &mut impl Rows,
    id: &ConsumerId,
    ids: &[LeaseId],
    max_events: u32,
    now: OffsetDateTime,
) -> Result<Leased, ConsumerError> {
    if let Some(nothing) = nothing_to_lease(rows, id, now)? {
        return Ok(nothing);
    }
    let mut consumer = registered(rows, id)?;
    let limit = u32::try_from(ids.len()).map_or(max_events, |ids| ids.min(max_events));
    // Nothing that is not handed out yet is older than what is.
    let mut picked = pick(rows, id, &consumer.settings, limit, now)?;
    let mut caught_up = false;
    if picked.len() < limit as usize {
        caught_up = hand_out(rows, id, &mut consumer, now)?;
        picked = pick(rows, id, &consumer.settings, limit, now)?;
    }
    let share = max_events as usize / picked.len().max(1);
    let mut room = Room::new(max_events, PAGE_BYTES);
    let mut leases = Vec::with_capacity(picked.len());
    let mut ids = ids.iter();
    for (stream, mut backlog) in picked {
        match next_events(rows, &consumer, &stream, &backlog, share.max(1), &mut room) {
            Ok(events) => match events.last() {
                // It stays free, and so do those after it.
                None if room.is_full() => break,
                // The filter has changed, and leaves nothing of it.
                None => rows.remove_backlog(id, &stream)?,
                Some(last) => {
                    // There is one for each that was picked.
                    let Some(&lease) = ids.next() else { break };
                    backlog.attempt = backlog.attempt.saturating_add(1);
                    backlog.last(now, consumer.settings.lock_timeout);
                    backlog.lease = Some(Holder {
                        id: lease,
                        through: last.version,
                    });
                    rows.keep_backlog(id, &stream, &backlog)?;
                    leases.push(Lease {
                        id: lease,
                        stream,
                        attempt: backlog.attempt,
                        expires_at: backlog.available_at,
                        events,
                    });
                }
            },
            Err(error @ Error::Malformed { .. }) => {
                backlog.park(now, &unreadable(&error));
                rows.keep_backlog(id, &stream, &backlog)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Leased {
        next_in: next_in(rows, id, now)?.filter(|_| leases.is_empty()),
        leases,
        caught_up,
    })
}

fn next_in(
    rows: &impl Rows,
    id: &ConsumerId,
    now: OffsetDateTime,
) -> Result<Option<Duration>, Error> {
    let next = rows.next_available(id)?;
    Ok(next.map(|next| Duration::try_from(next - now).unwrap_or_default()))
}

/// Moves the cursor on, and gives what it has passed to the streams, but for those whose names are
/// none. Whether it is at the end of the log.
fn hand_out(
    rows: &mut impl Rows,
    id: &ConsumerId,
    consumer: &mut Registered,
    now: OffsetDateTime,
) -> Result<bool, Error> {
    let mut entries = Vec::new();
    let mut is_more = false;
    rows.each_after(id, consumer.cursor, &mut |entry| {
        is_more = entries.len() == HANDED_OUT as usize;
        if !is_more {
            entries.push(entry);
        }
        go_on_while(!is_more)
    })?;
    let Some(last) = entries.last() else {
        return Ok(true);
    };
    consumer.cursor = last.place.position;
    entries.retain(|entry| consumer.wants(entry));
    // A stable sort: those of one stream come together, and in their order.
    entries.sort_by(|a, b| (&a.decider, &a.id).cmp(&(&b.decider, &b.id)));
    for of_stream in entries.chunk_by(|a, b| (&a.decider, &a.id) == (&b.decider, &b.id)) {
        let first = &of_stream[0];
        let Some(stream) = readable(named(id, &first.decider, &first.id))? else {
            continue;
        };
        let mut entries = of_stream.iter();
        let known = rows.backlog(id, &stream)?;
        let known = known.or_else(|| entries.next().map(|first| Backlog::of(first.place, now)));
        let Some(mut backlog) = known else { continue };
        for entry in entries {
            backlog.last = entry.place.version;
            backlog.pending += 1;
        }
        rows.keep_backlog(id, &stream, &backlog)?;
    }
    rows.keep(id, consumer)?;
    Ok(!is_more)
}

/// The streams to lease next. Those whose last attempt has expired are parked.
fn pick(
    rows: &mut impl Rows,
    id: &ConsumerId,
    settings: &ConsumerSettings,
    limit: u32,
    now: OffsetDateTime,
) -> Result<Vec<(StreamId, Backlog)>, Error> {
    loop {
        let free = rows.free(id, now, limit)?;
        let (spent, free): (Vec<_>, Vec<_>) = free
            .into_iter()
            .partition(|(_, backlog)| backlog.is_spent(settings));
        if spent.is_empty() {
            return Ok(free);
        }
        for (stream, mut backlog) in spent {
            backlog.park(now, "the lease of the last attempt expired");
            rows.keep_backlog(id, &stream, &backlog)?;
        }
    }
}

/// The first `limit` wanted events of a backlog for which there is room: those before one that
/// cannot be read, or that error if there are none.
fn next_events(
    rows: &impl Rows,
    consumer: &Registered,
    stream: &StreamId,
    backlog: &Backlog,
    limit: usize,
    room: &mut Room,
) -> Result<Vec<RecordedEvent>, Error> {
    let mut events = Vec::new();
    let mut failed = None;
    rows.each_event(stream, backlog.next.version, backlog.last, &mut |event| {
        match event {
            Ok(event) => {
                let is_wanted = consumer.since.is_none_or(|since| since <= event.created_at)
                    && consumer.settings.filter.passes(
                        stream.decider().as_str(),
                        &event.event.event,
                        &event.event.tags,
                    );
                if is_wanted && room.take(&event) {
                    events.push(event);
                }
            }
            Err(error) => failed = Some(error),
        }
        go_on_while(failed.is_none() && events.len() < limit && !room.is_full())
    })?;
    match failed {
        Some(error) if events.is_empty() => Err(error),
        Some(error) if !matches!(error, Error::Malformed { .. }) => Err(error),
        _ => Ok(events),
    }
}

/// Carries out [`ConsumerStore::ack`](crate::ConsumerStore::ack).
pub fn ack(
    rows: &mut impl Rows,
    id: &ConsumerId,
    lease: LeaseId,
    through: Position,
    keep: bool,
    now: OffsetDateTime,
) -> Result<Option<OffsetDateTime>, ConsumerError> {
    let (consumer, stream, mut backlog, holder) = held(rows, id, lease)?;
    let mut done = 0;
    let mut is_leased = false;
    let mut next = None;
    rows.each_entry(&stream, backlog.next.version, backlog.last, &mut |entry| {
        let is_before = entry.place.position <= through;
        if consumer.wants(&entry) {
            if is_before {
                done += 1;
            } else {
                next = Some(entry.place);
            }
        }
        is_leased |= entry.place.position == through && entry.place.version <= holder.through;
        go_on_while(next.is_none())
    })?;
    if !is_leased {
        return Err(ConsumerError::NotLeased { through });
    }
    let Some(next) = next else {
        rows.remove_backlog(id, &stream)?;
        return Ok(None);
    };
    backlog.next = next;
    backlog.pending = backlog.pending.saturating_sub(done);
    backlog.reason.clear();
    let is_kept = keep && next.version <= holder.through;
    if is_kept {
        backlog.attempt = 1;
        backlog.last(now, consumer.settings.lock_timeout);
    } else {
        backlog.attempt = 0;
        backlog.rest(now, Duration::ZERO);
    }
    rows.keep_backlog(id, &stream, &backlog)?;
    Ok(is_kept.then_some(backlog.available_at))
}

/// Carries out [`ConsumerStore::nack`](crate::ConsumerStore::nack).
pub fn nack(
    rows: &mut impl Rows,
    id: &ConsumerId,
    lease: LeaseId,
    delay: Option<Duration>,
    reason: &str,
    now: OffsetDateTime,
) -> Result<Nacked, ConsumerError> {
    let (consumer, stream, mut backlog, _) = held(rows, id, lease)?;
    let nacked = if backlog.attempt >= consumer.settings.max_attempts {
        backlog.park(now, reason);
        Nacked::Parked
    } else {
        let rest = delay.unwrap_or_else(|| consumer.settings.rest_after(backlog.attempt));
        backlog.note(reason);
        backlog.rest(now, rest);
        Nacked::Delayed(rest)
    };
    rows.keep_backlog(id, &stream, &backlog)?;
    Ok(nacked)
}

/// Carries out [`ConsumerStore::release`](crate::ConsumerStore::release).
pub fn release(
    rows: &mut impl Rows,
    id: &ConsumerId,
    lease: LeaseId,
    delay: Duration,
    now: OffsetDateTime,
) -> Result<(), ConsumerError> {
    let (_, stream, mut backlog, _) = held(rows, id, lease)?;
    backlog.attempt = backlog.attempt.saturating_sub(1);
    backlog.rest(now, delay);
    Ok(rows.keep_backlog(id, &stream, &backlog)?)
}

/// Carries out [`ConsumerStore::extend`](crate::ConsumerStore::extend).
pub fn extend(
    rows: &mut impl Rows,
    id: &ConsumerId,
    lease: LeaseId,
    now: OffsetDateTime,
) -> Result<OffsetDateTime, ConsumerError> {
    let (consumer, stream, mut backlog, _) = held(rows, id, lease)?;
    backlog.last(now, consumer.settings.lock_timeout);
    rows.keep_backlog(id, &stream, &backlog)?;
    Ok(backlog.available_at)
}

type HeldLease = (Registered, StreamId, Backlog, Holder);

fn held(rows: &impl Rows, id: &ConsumerId, lease: LeaseId) -> Result<HeldLease, ConsumerError> {
    let consumer = registered(rows, id)?;
    let found = rows.leased(id, lease)?;
    let held = found.and_then(|(stream, backlog)| {
        let holder = backlog.lease?;
        Some((consumer, stream, backlog, holder))
    });
    held.ok_or(ConsumerError::LeaseLost)
}

fn go_on_while(condition: bool) -> ControlFlow<()> {
    if condition {
        ControlFlow::Continue(())
    } else {
        ControlFlow::Break(())
    }
}
