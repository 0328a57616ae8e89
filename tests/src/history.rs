//! The invariants of every stored history.

use std::collections::HashSet;

use crate::Event;

/// Checks the events of one stream, oldest first: versions from 1 without a gap, each event the
/// successor of the one before it, no id twice, and the order of the log the order of the stream.
///
/// # Panics
///
/// When one of these is not so.
#[track_caller]
pub fn assert_sound(events: &[Event]) {
    let mut ids = HashSet::new();
    let mut previous: Option<&Event> = None;
    for (event, version) in events.iter().zip(1..) {
        let stream = format!("{}/{}", event.decider, event.id);
        assert_eq!(
            event.version, version,
            "versions of {stream} have no gap and no double"
        );
        assert_eq!(
            event.previous_id,
            previous.map(|event| event.event_id),
            "{stream} is one chain at version {version}"
        );
        assert!(
            ids.insert(event.event_id),
            "event ids of {stream} are unique: {}",
            event.event_id
        );
        if let Some(previous) = previous {
            assert!(
                previous.position < event.position,
                "positions of {stream} increase at version {version}"
            );
        }
        previous = Some(event);
    }
}
