//! Reading some streams, and the whole log, through a moment.

use std::sync::Arc;

use gavel_model::{Namespace, Position, RecordedEvent, StreamId};

use super::support::*;
use crate::{LogFilter, Moment, Store};

/// All events of some streams after a position, in pages of so many.
async fn events_of_streams(
    store: &dyn Store,
    streams: &[StreamId],
    mut after: Position,
    through: &Moment,
    limit: u32,
) -> Vec<RecordedEvent> {
    let mut events = Vec::new();
    loop {
        let page = store.read_streams(streams, after, through, limit).await;
        let page = page.unwrap();
        assert!(page.items.len() <= limit as usize);
        assert_fits(&page.items);
        after = page.items.last().map_or(after, |last| last.position);
        assert!(!page.has_more || !page.items.is_empty());
        events.extend(page.items);
        if !page.has_more {
            return events;
        }
    }
}

pub(crate) async fn events_of_some_streams_come_in_the_order_of_the_log(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    for round in 0..4 {
        grow(&*store, &stream("long"), 7).await;
        grow(&*store, &stream("short"), 1 + round % 2).await;
        grow(&*store, &stream("other"), 1).await;
    }
    let home = Namespace::default();
    let log = log_of(&*store, &home, 38).await;
    let before = store.moment(&home).await.unwrap();
    grow(&*store, &stream("short"), 1).await;
    let [long, short, nothing] = ["long", "short", "nothing"].map(stream);

    for streams in [
        vec![],
        vec![nothing.clone()],
        vec![long.clone()],
        vec![short.clone(), nothing, long.clone()],
    ] {
        let starts = log.iter().map(|event| event.position);
        for start in [Position::BEGINNING].into_iter().chain(starts) {
            let expected = log.iter().filter(|event| streams.contains(&event.stream));
            let expected = expected.filter(|event| event.position > start).cloned();
            let expected: Vec<_> = expected.collect();
            for limit in [1, 3, 100] {
                let read = events_of_streams(&*store, &streams, start, &before, limit).await;
                assert_eq!(read, expected, "{streams:?} after {start} by {limit}");
            }
        }
    }
    let now = store.moment(&home).await.unwrap();
    let last = log.last().unwrap().position;
    let newest = events_of_streams(&*store, &[long, short.clone()], last, &now, 9).await;
    assert_eq!(newest, events_of(&*store, &short).await[6..]);
}

pub(crate) async fn pages_of_some_streams_are_bounded_in_bytes(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    let streams = ["a", "b"].map(stream);
    for stream in &streams {
        grow_by(&*store, stream, &SIZES).await;
    }
    let home = Namespace::default();
    let log = log_of(&*store, &home, 2 * SIZES.len()).await;
    let now = store.moment(&home).await.unwrap();
    let read = events_of_streams(&*store, &streams, Position::BEGINNING, &now, 100).await;
    assert_eq!(read, log);
}

pub(crate) async fn the_log_is_read_through_a_moment(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    grow(&*store, &stream("a"), 2).await;
    grow(&*store, &stream("b"), 4).await;
    let home = Namespace::default();
    log_of(&*store, &home, 6).await;
    let before = store.moment(&home).await.unwrap();
    grow(&*store, &stream("a"), 1).await;
    let now = store.moment(&home).await.unwrap();
    let all = log_of(&*store, &home, 7).await;
    for (through, expected) in [(before, &all[..6]), (now, &all)] {
        for limit in [1, 4, 100] {
            let (mut read, mut after) = (Vec::new(), Position::BEGINNING);
            loop {
                let filter = LogFilter::default();
                let page = store.read_log_through(&home, after, &filter, &through, limit);
                let page = page.await.unwrap();
                assert!(page.events.len() <= limit as usize);
                read.extend(page.events);
                after = page.next;
                if page.caught_up {
                    break;
                }
            }
            assert_eq!(read, *expected, "by {limit}");
        }
    }
}
