//! Appends of several parts: all of them, or none.

use std::sync::Arc;

use futures::future::join_all;
use gavel_model::{ActivationNumber, ExpectedVersion, StreamId};

use super::support::*;
use crate::{AppendError, Fence, Store};

pub(crate) async fn parts_are_stored_together_or_not_at_all(store: Arc<dyn Store>) {
    let fence = activate_counter(&*store).await;
    let account = stream_of("default", "account", "a");
    let account_fence = activate(&*store, &account).await;
    let both = |at: u64| {
        vec![
            decided(&account, account_fence, 0, increments(1)),
            decided(&stream("c"), fence, at, increments(2)),
        ]
    };

    let error = append_all(&*store, both(5)).await.unwrap_err();
    assert!(
        matches!(error, AppendError::VersionConflict { .. }),
        "{error:?}"
    );
    assert_eq!(version_of(&*store, &account).await, 0);
    assert_eq!(version_of(&*store, &stream("c")).await, 0);

    let parts = both(0);
    let commands = parts.clone().into_iter().filter_map(|part| part.command);
    append_all(&*store, parts).await.unwrap();
    assert_eq!(version_of(&*store, &account).await, 1);
    assert_eq!(version_of(&*store, &stream("c")).await, 2);
    for command in commands {
        let found = store
            .command(account.namespace(), command.command_id)
            .await
            .unwrap();
        assert_eq!(found, Some(command));
    }
}

pub(crate) async fn a_later_part_sees_the_events_of_those_before_it(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    let (a, b) = (stream("a"), stream("b"));
    let parts = vec![
        import(&a, ExpectedVersion::NoStream, increments(2)),
        import(&b, ExpectedVersion::NoStream, increments(1)),
        import(&a, exactly(2), increments(1)),
        import(&b, ExpectedVersion::Any, vec![closed()]),
        import(&a, exactly(3), Vec::new()),
    ];
    let appended = append_all(&*store, parts).await.unwrap();
    let versions: Vec<u64> = appended.iter().map(|part| part.version.get()).collect();
    assert_eq!(versions, [2, 1, 3, 2, 3]);
    let events = events_of(&*store, &a).await;
    assert_eq!(events[2].previous_id, Some(events[1].event.event_id));
    assert!(events.is_sorted_by_key(|event| event.position));

    let blind = vec![
        import(&a, exactly(3), increments(1)),
        import(&a, exactly(3), increments(1)),
    ];
    let error = append_all(&*store, blind).await.unwrap_err();
    assert!(
        matches!(error, AppendError::VersionConflict { current, .. } if current == version(4)),
        "{error:?}"
    );
    let after_the_end = vec![
        import(&a, exactly(3), vec![closed()]),
        import(&a, exactly(4), increments(1)),
    ];
    let error = append_all(&*store, after_the_end).await.unwrap_err();
    assert!(
        matches!(error, AppendError::StreamFinal { .. }),
        "{error:?}"
    );
    assert_eq!(version_of(&*store, &a).await, 3);
}

pub(crate) async fn answers_come_in_the_order_of_the_parts(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    let ids = ["m", "z", "a", "k"];
    let parts = ids
        .iter()
        .enumerate()
        .map(|(index, id)| import(&stream(id), ExpectedVersion::NoStream, increments(index)))
        .collect();
    let appended = append_all(&*store, parts).await.unwrap();
    assert_eq!(appended.len(), ids.len());
    for (index, (part, id)) in appended.iter().zip(ids).enumerate() {
        assert_eq!(part.events.len(), index);
        assert_eq!(part.events, events_of(&*store, &stream(id)).await);
    }
}

pub(crate) async fn fence_and_ledger_of_every_part_come_before_any_conflict(store: Arc<dyn Store>) {
    let fence = activate_counter(&*store).await;
    let known = decided(&stream("known"), fence, 0, increments(1));
    append(&*store, known.clone()).await.unwrap();
    let conflict = || import(&stream("c"), exactly(9), increments(1));
    let stale = decided(
        &stream("d"),
        Fence::of_decider(ActivationNumber::NONE),
        0,
        Vec::new(),
    );

    let error = append_all(&*store, vec![conflict(), known.clone()])
        .await
        .unwrap_err();
    assert!(
        matches!(error, AppendError::DuplicateCommand { .. }),
        "{error:?}"
    );
    let error = append_all(&*store, vec![conflict(), known, stale])
        .await
        .unwrap_err();
    assert!(matches!(error, AppendError::Fenced { .. }), "{error:?}");
}

pub(crate) async fn one_command_id_in_two_parts_is_refused(store: Arc<dyn Store>) {
    let fence = activate_counter(&*store).await;
    let first = decided(&stream("a"), fence, 0, increments(1));
    let mut second = decided(&stream("b"), fence, 0, increments(1));
    let command_id = first.command.as_ref().unwrap().command_id;
    second.command.as_mut().unwrap().command_id = command_id;
    let error = append_all(&*store, vec![first, second]).await.unwrap_err();
    assert!(
        matches!(error, AppendError::DuplicateCommand { command_id: id } if id == command_id),
        "{error:?}"
    );
    assert_eq!(version_of(&*store, &stream("a")).await, 0);
}

pub(crate) async fn opposite_orders_of_streams_never_deadlock(store: Arc<dyn Store>) {
    const ROUNDS: usize = 12;
    let fence = activate_counter(&*store).await;
    let streams: Vec<StreamId> = ["a", "b", "c"].map(stream).to_vec();
    let mut writers = Vec::new();
    for round in 0..ROUNDS * 2 {
        let mut order = streams.clone();
        if round % 2 == 1 {
            order.reverse();
        }
        let parts = order
            .iter()
            .map(|stream| {
                let mut part = decided(stream, fence, 0, increments(1));
                part.expected = ExpectedVersion::Any;
                part
            })
            .collect();
        let store = Arc::clone(&store);
        writers.push(tokio::spawn(async move {
            append_all(&*store, parts).await.map(|_| ())
        }));
    }
    for outcome in join_all(writers).await {
        outcome.unwrap().unwrap();
    }
    for stream in &streams {
        assert_eq!(version_of(&*store, stream).await, 2 * ROUNDS as u64);
    }
}
