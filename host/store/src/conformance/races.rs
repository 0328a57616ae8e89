//! Writers that arrive together.

use std::sync::Arc;
use std::task::Poll;

use futures::future::join_all;
use gavel_model::{ActivationNumber, ExpectedVersion, NewEvent, StreamId};
use uuid::Uuid;

use super::support::*;
use crate::{ActivateError, Append, AppendError, Appended, Fence, Store, StreamAppend};

/// Appends every part on a task of its own.
async fn race(
    store: &Arc<dyn Store>,
    parts: Vec<StreamAppend>,
) -> Vec<Result<Appended, AppendError>> {
    let writers = parts.into_iter().map(|part| {
        let store = Arc::clone(store);
        tokio::spawn(async move { append(&*store, part).await })
    });
    join_all(writers)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect()
}

/// Asserts that one writer won and all others were refused for the same reason.
#[track_caller]
fn assert_one_wins(
    outcomes: &[Result<Appended, AppendError>],
    is_expected: impl Fn(&AppendError) -> bool,
) {
    let winners = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(winners, 1, "{outcomes:?}");
    let losers = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
    for error in losers {
        assert!(is_expected(error), "{error:?}");
    }
}

pub(crate) async fn of_racing_writers_one_wins(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    for round in 0..5 {
        let parts = (0..8)
            .map(|_| import(&stream("c"), exactly(round), increments(1)))
            .collect();
        assert_one_wins(&race(&store, parts).await, |error| {
            matches!(error, AppendError::VersionConflict { expected, current, .. }
                if expected.get() == round && current.get() == round + 1)
        });
    }
    assert_eq!(version_of(&*store, &stream("c")).await, 5);
}

pub(crate) async fn of_twenty_concurrent_first_events_one_is_stored(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    let parts = (0..20)
        .map(|_| import(&stream("c"), ExpectedVersion::NoStream, increments(1)))
        .collect();
    assert_one_wins(
        &race(&store, parts).await,
        |error| matches!(error, AppendError::VersionConflict { current, .. } if current.get() == 1),
    );
    assert_eq!(events_of(&*store, &stream("c")).await.len(), 1);
}

pub(crate) async fn writers_without_expectation_each_get_a_version(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    let parts = (0..20)
        .map(|_| import(&stream("c"), ExpectedVersion::Any, increments(1)))
        .collect();
    let mut versions: Vec<u64> = race(&store, parts)
        .await
        .into_iter()
        .map(|outcome| outcome.unwrap().version.get())
        .collect();
    versions.sort_unstable();
    assert_eq!(versions, (1..=20).collect::<Vec<_>>());
    let events = events_of(&*store, &stream("c")).await;
    for (older, newer) in events.iter().zip(&events[1..]) {
        assert_eq!(newer.previous_id, Some(older.event.event_id));
    }
}

pub(crate) async fn a_command_that_races_itself_is_recorded_once(store: Arc<dyn Store>) {
    let fence = activate_counter(&*store).await;
    let command_id = Uuid::now_v7();
    let parts = (0..10)
        .map(|writer| {
            let mut part = decided(&stream(&format!("c-{writer}")), fence, 0, increments(1));
            part.command.as_mut().unwrap().command_id = command_id;
            part
        })
        .collect();
    assert_one_wins(
        &race(&store, parts).await,
        |error| matches!(error, AppendError::DuplicateCommand { command_id: id } if *id == command_id),
    );
    assert_eq!(log_of(&*store, stream("c").namespace(), 1).await.len(), 1);
}

pub(crate) async fn an_event_id_that_races_itself_is_stored_once(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    let event_id = Uuid::now_v7();
    let parts = (0..10)
        .map(|writer| {
            let event = NewEvent {
                event_id,
                ..incremented()
            };
            let stream = stream(&format!("c-{writer}"));
            import(&stream, ExpectedVersion::NoStream, vec![event])
        })
        .collect();
    assert_one_wins(
        &race(&store, parts).await,
        |error| matches!(error, AppendError::DuplicateEventId { event_id: id } if *id == event_id),
    );
    assert_eq!(log_of(&*store, stream("c").namespace(), 1).await.len(), 1);
}

pub(crate) async fn no_stale_append_follows_an_activation(store: Arc<dyn Store>) {
    let stale = activate_counter(&*store).await;
    let writers: Vec<_> = (0..20)
        .map(|_| {
            let mut part = decided(&stream("c"), stale, 0, increments(1));
            part.expected = ExpectedVersion::Any;
            let store = Arc::clone(&store);
            tokio::spawn(async move { append(&*store, part).await })
        })
        .collect();
    activate_counter(&*store).await;
    let version_at_activation = version_of(&*store, &stream("c")).await;

    let outcomes = join_all(writers).await.into_iter().map(Result::unwrap);
    let mut stored = 0;
    for outcome in outcomes {
        match outcome {
            Ok(_) => stored += 1,
            Err(error) => assert!(
                matches!(error, AppendError::Fenced { fence, current, .. }
                    if fence == stale && current == stale.number.next()),
                "{error:?}"
            ),
        }
    }
    assert_eq!(stored, version_at_activation);
    assert_eq!(
        version_of(&*store, &stream("c")).await,
        version_at_activation
    );
}

pub(crate) async fn of_racing_activations_one_wins(store: Arc<dyn Store>) {
    let first = activate_counter(&*store).await;
    let writers = (0..8).map(|_| {
        let store = Arc::clone(&store);
        let activation = activation(&stream("c"), first.number, "counter 0");
        tokio::spawn(async move { store.activate_one(activation).await })
    });
    let outcomes: Vec<_> = join_all(writers)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let winners = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(winners, 1, "{outcomes:?}");
    for error in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert!(
            matches!(error, ActivateError::Moved { current, .. } if *current == first.number.next()),
            "{error:?}"
        );
    }
}

pub(crate) async fn a_dropped_append_is_whole_or_absent(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    // Dropped after 0, 1, 2 … polls: at each place where an append can be waiting.
    for polls in 0..12 {
        let stream = stream(&format!("dropped-{polls}"));
        let part = import(&stream, ExpectedVersion::NoStream, increments(3));
        let mut appending = store.append(Append { parts: vec![part] });
        for _ in 0..polls {
            if let Poll::Ready(outcome) = futures::poll!(appending.as_mut()) {
                outcome.unwrap();
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(appending);

        // The next append settles what becomes of the dropped one.
        let appended = append(
            &*store,
            import(&stream, ExpectedVersion::Any, increments(1)),
        )
        .await
        .unwrap();
        assert!([1, 4].contains(&appended.version.get()), "{appended:?}");
        let events = events_of(&*store, &stream).await;
        assert_eq!(events.len() as u64, appended.version.get());
    }
}

pub(crate) async fn of_appends_at_the_same_time_each_has_its_own_outcome(store: Arc<dyn Store>) {
    let fence = activate_counter(&*store).await;
    let known = decided(&stream("known"), fence, 0, increments(1));
    append(&*store, known.clone()).await.unwrap();
    for round in 0..5 {
        let at = |id: &str| stream(&format!("{round}-{id}"));
        let mut known_command = decided(&at("command"), fence, 0, increments(1));
        known_command.command.clone_from(&known.command);
        let mut known_event = decided(&at("event"), fence, 0, increments(1));
        known_event.events.clone_from(&known.events);
        let stale = Fence::of_decider(ActivationNumber::new(99));
        let unheard = vec![event("Unheard")];
        let mut parts = vec![
            known_command,
            known_event,
            decided(&at("fence"), stale, 0, increments(1)),
            decided(&at("conflict"), fence, 7, increments(1)),
            decided(&at("unregistered"), fence, 0, unheard),
        ];
        let bystanders: Vec<StreamId> = (0..5).map(|number| at(&number.to_string())).collect();
        // Each between two that are refused, on streams of their own.
        for (number, bystander) in bystanders.iter().enumerate() {
            parts.insert(2 * number, decided(bystander, fence, 0, increments(1)));
        }
        let appends = parts.into_iter().map(|part| append(&*store, part));
        let outcomes = futures::future::join_all(appends).await;
        let mut refused = Vec::new();
        for (place, outcome) in outcomes.into_iter().enumerate() {
            match outcome {
                Ok(appended) => assert_eq!((appended.version, place % 2), (version(1), 0)),
                Err(error) => refused.push(error),
            }
        }
        assert!(
            matches!(
                refused.as_slice(),
                [
                    AppendError::DuplicateCommand { .. },
                    AppendError::DuplicateEventId { .. },
                    AppendError::Fenced { .. },
                    AppendError::VersionConflict { .. },
                    AppendError::EventUnregistered { .. },
                ]
            ),
            "{refused:?}"
        );
        for bystander in &bystanders {
            assert_eq!(version_of(&*store, bystander).await, 1);
        }
    }
}
