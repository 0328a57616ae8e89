//! Appends to one stream: the optimistic lock, and every reason to refuse.

use std::collections::HashMap;
use std::sync::Arc;

use gavel_model::{ActivationNumber, EventType, ExpectedVersion, NewEvent};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use uuid::Uuid;

use super::support::*;
use crate::{AppendError, Fence, Store, StreamAppend};

/// The contract of the optimistic lock: the new version, or none for a conflict.
fn model(head: u64, expected: ExpectedVersion, events: usize) -> Option<u64> {
    let accepted = match expected {
        ExpectedVersion::Any => true,
        ExpectedVersion::NoStream => head == 0,
        ExpectedVersion::Exact(version) => version.get() == head,
    };
    accepted.then(|| head + events as u64)
}

/// Appends, and compares the outcome with the model. Gives back the new version of the stream.
async fn append_as_modelled(
    store: &dyn Store,
    id: &str,
    head: u64,
    expected: ExpectedVersion,
    events: usize,
) -> u64 {
    let stream = stream(id);
    let outcome = append(store, import(&stream, expected, increments(events))).await;
    let context = format!("{events} events at {head}, expecting {expected:?}: {outcome:?}");
    match (model(head, expected, events), outcome) {
        (Some(modelled), Ok(appended)) => {
            assert_eq!(appended.version.get(), modelled, "{context}");
            assert_eq!(appended.events.len(), events, "{context}");
            modelled
        }
        (
            None,
            Err(AppendError::VersionConflict {
                stream: conflicting,
                expected: wanted,
                current,
            }),
        ) => {
            assert_eq!(conflicting, stream, "{context}");
            assert_eq!(Some(wanted), expected.version(), "{context}");
            assert_eq!(current.get(), head, "{context}");
            head
        }
        _ => panic!("{context}"),
    }
}

pub(crate) async fn every_expected_version_against_every_head(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    let exact = (0..5).map(exactly);
    let expectations = [ExpectedVersion::Any, ExpectedVersion::NoStream]
        .into_iter()
        .chain(exact);
    for (index, expected) in expectations.enumerate() {
        for head in 0..4 {
            for events in 0..3 {
                let id = format!("{index}-{head}-{events}");
                grow(&*store, &stream(&id), head).await;
                let head = head as u64;
                let version = append_as_modelled(&*store, &id, head, expected, events).await;
                assert_eq!(version_of(&*store, &stream(&id)).await, version);
            }
        }
    }
}

pub(crate) async fn appends_follow_the_model(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    let expected = prop_oneof![
        Just(ExpectedVersion::Any),
        Just(ExpectedVersion::NoStream),
        (0_u64..6).prop_map(exactly),
    ];
    let schedules = prop::collection::vec((0_usize..3, expected, 0_usize..4), 1..16);
    let mut runner = TestRunner::deterministic();
    for schedule in 0..24 {
        let steps = schedules.new_tree(&mut runner).unwrap().current();
        let mut heads = HashMap::new();
        for (number, expected, events) in steps {
            let id = format!("{schedule}-{number}");
            let head = heads.entry(id.clone()).or_default();
            *head = append_as_modelled(&*store, &id, *head, expected, events).await;
        }
        for (id, head) in heads {
            let stored = events_of(&*store, &stream(&id)).await;
            let versions: Vec<u64> = stored.iter().map(|event| event.version.get()).collect();
            assert_eq!(versions, (1..=head).collect::<Vec<_>>());
        }
    }
}

pub(crate) async fn the_first_event_has_version_one_and_no_predecessor(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    let first = &grow(&*store, &stream("c"), 1).await[0];
    assert_eq!(first.version, version(1));
    assert_eq!(first.previous_id, None);
    assert_eq!(first.stream, stream("c"));
}

pub(crate) async fn events_are_chained_across_appends(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    for count in [1, 3, 2] {
        grow(&*store, &stream("c"), count).await;
        grow(&*store, &stream("another"), 1).await;
    }
    let events = events_of(&*store, &stream("c")).await;
    assert_eq!(events.len(), 6);
    for (older, newer) in events.iter().zip(&events[1..]) {
        assert_eq!(newer.version, older.version.next());
        assert_eq!(newer.previous_id, Some(older.event.event_id));
        assert!(newer.position > older.position);
    }
}

pub(crate) async fn an_append_answers_with_what_is_read_back(store: Arc<dyn Store>) {
    let fence = activate_counter(&*store).await;
    let part = decided(&stream("c"), fence, 0, increments(3));
    let ids: Vec<Uuid> = part.events.iter().map(|event| event.event_id).collect();
    let appended = append(&*store, part).await.unwrap();
    assert_eq!(appended.version, version(3));
    assert_eq!(appended.events, events_of(&*store, &stream("c")).await);
    let stored: Vec<Uuid> = appended.events.iter().map(|e| e.event.event_id).collect();
    assert_eq!(stored, ids);
}

pub(crate) async fn the_expected_previous_id_is_checked(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    let after = |previous: Uuid| StreamAppend {
        expected_previous_id: Some(previous),
        ..import(&stream("c"), ExpectedVersion::Any, increments(1))
    };

    let stranger = Uuid::now_v7();
    let error = append(&*store, after(stranger)).await.unwrap_err();
    assert!(
        matches!(&error, AppendError::WrongPreviousId { stream: wrong, current: None } if *wrong == stream("c")),
        "{error:?}"
    );

    let events = grow(&*store, &stream("c"), 2).await;
    let (older, newest) = (events[0].event.event_id, events[1].event.event_id);
    for wrong in [stranger, older] {
        let error = append(&*store, after(wrong)).await.unwrap_err();
        assert!(
            matches!(error, AppendError::WrongPreviousId { current, .. } if current == Some(newest)),
            "{error:?}"
        );
    }
    let appended = append(&*store, after(newest)).await.unwrap();
    assert_eq!(appended.version, version(3));

    // After the parts before it.
    let newest = appended.events[0].event.event_id;
    let (first, second) = (after(newest), after(newest));
    let between = first.events[0].event_id;
    let error = append_all(&*store, vec![first.clone(), second.clone()]);
    let error = error.await.unwrap_err();
    assert!(
        matches!(error, AppendError::WrongPreviousId { current, .. } if current == Some(between)),
        "{error:?}"
    );
    let second = StreamAppend {
        expected_previous_id: Some(between),
        ..second
    };
    let appended = append_all(&*store, vec![first, second]).await.unwrap();
    assert_eq!(appended[1].version, version(5));
}

pub(crate) async fn nothing_follows_a_final_event(store: Arc<dyn Store>) {
    let fence = activate_counter(&*store).await;
    let ended = stream("ended");
    grow(&*store, &ended, 1).await;
    let part = import(&ended, exactly(1), vec![closed()]);
    assert!(
        append(&*store, part).await.unwrap().events[0]
            .event
            .is_final
    );

    let within_one_part = import(
        &stream("within one part"),
        ExpectedVersion::Any,
        vec![closed(), incremented()],
    );
    let refused = [
        (import(&ended, ExpectedVersion::Any, increments(1)), 2),
        (import(&ended, ExpectedVersion::NoStream, increments(1)), 2),
        (import(&ended, exactly(2), increments(1)), 2),
        (import(&ended, exactly(1), increments(1)), 2),
        (decided(&ended, fence, 2, Vec::new()), 2),
        (rejected(&ended, fence, 2), 2),
        (within_one_part, 1),
    ];
    for (part, last) in refused {
        let refused = part.stream.clone();
        let error = append(&*store, part).await.unwrap_err();
        assert!(
            matches!(&error, AppendError::StreamFinal { stream, version: v } if *stream == refused && *v == version(last)),
            "{error:?}"
        );
    }
    assert_eq!(version_of(&*store, &ended).await, 2);
    assert_eq!(version_of(&*store, &stream("within one part")).await, 0);
}

pub(crate) async fn an_unregistered_event_is_refused(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    let account = stream_of("default", "account", "a");
    store
        .put_module(module("account", "account"))
        .await
        .unwrap();
    let mut activation = activation(&account, ActivationNumber::NONE, "account");
    activation.events = vec![EventType {
        schema_version: 2,
        ..event_type("Deposited")
    }];
    store.activate_one(activation).await.unwrap();

    let deposited = |schema_version| NewEvent {
        schema_version,
        ..event("Deposited")
    };
    let refused = [
        (&account, deposited(1)),
        (&account, deposited(3)),
        (&account, incremented()),
        (&stream("c"), deposited(2)),
        (&stream("c"), event("incremented")),
    ];
    for (stream, unknown) in refused {
        let events = vec![unknown.clone()];
        let error = append(&*store, import(stream, ExpectedVersion::Any, events))
            .await
            .unwrap_err();
        assert!(
            matches!(
                &error,
                AppendError::EventUnregistered { decider, event, schema_version }
                    if decider == stream.decider()
                        && *event == unknown.event
                        && *schema_version == unknown.schema_version
            ),
            "{error:?}"
        );
    }
    let registered = import(&account, ExpectedVersion::NoStream, vec![deposited(2)]);
    append(&*store, registered).await.unwrap();
}

pub(crate) async fn an_event_id_is_stored_once_in_all_streams_and_namespaces(
    store: Arc<dyn Store>,
) {
    activate_counter(&*store).await;
    let elsewhere = stream_of("other", "counter", "c");
    activate(&*store, &elsewhere).await;
    let used = grow(&*store, &stream("c"), 1).await[0].event.event_id;

    let with_id = |event_id| NewEvent {
        event_id,
        ..incremented()
    };
    let twice = Uuid::now_v7();
    let refused = [
        (stream("c"), vec![with_id(used)], used),
        (stream("d"), vec![incremented(), with_id(used)], used),
        (elsewhere, vec![with_id(used)], used),
        (stream("d"), vec![with_id(twice), with_id(twice)], twice),
    ];
    for (stream, events, duplicate) in refused {
        let error = append(&*store, import(&stream, ExpectedVersion::Any, events))
            .await
            .unwrap_err();
        assert!(
            matches!(error, AppendError::DuplicateEventId { event_id } if event_id == duplicate),
            "{error:?}"
        );
    }
    let parts =
        ["d", "e"].map(|id| import(&stream(id), ExpectedVersion::Any, vec![with_id(twice)]));
    let error = append_all(&*store, parts.to_vec()).await.unwrap_err();
    assert!(
        matches!(error, AppendError::DuplicateEventId { event_id } if event_id == twice),
        "{error:?}"
    );
}

pub(crate) async fn a_refused_append_writes_nothing(store: Arc<dyn Store>) {
    let fence = activate_counter(&*store).await;
    let (good, bad) = (stream("good"), stream("bad"));
    let before = grow(&*store, &bad, 2).await;
    let used = before[0].event.event_id;

    let conflict = decided(&bad, fence, 1, increments(2));
    let fenced = decided(
        &bad,
        Fence::of_decider(ActivationNumber::new(9)),
        2,
        increments(2),
    );
    let unregistered = decided(&bad, fence, 2, vec![incremented(), event("Unheard")]);
    let duplicate = NewEvent {
        event_id: used,
        ..incremented()
    };
    let duplicate = decided(&bad, fence, 2, vec![incremented(), duplicate]);
    for refused in [conflict, fenced, unregistered, duplicate] {
        let parts = vec![decided(&good, fence, 0, increments(1)), refused];
        let ids: Vec<Uuid> = parts
            .iter()
            .filter_map(|part| part.command.as_ref())
            .map(|command| command.command_id)
            .collect();
        append_all(&*store, parts).await.unwrap_err();
        assert_eq!(events_of(&*store, &good).await, []);
        assert_eq!(events_of(&*store, &bad).await, before);
        for id in ids {
            assert_eq!(store.command(good.namespace(), id).await.unwrap(), None);
        }
    }
    assert_eq!(log_of(&*store, bad.namespace(), 2).await, before);
}

pub(crate) async fn checks_come_in_the_documented_order(store: Arc<dyn Store>) {
    let fence = activate_counter(&*store).await;
    let (ended, open) = (stream("ended"), stream("open"));
    append(
        &*store,
        import(&ended, ExpectedVersion::NoStream, vec![closed()]),
    )
    .await
    .unwrap();
    let known = decided(&open, fence, 0, increments(1));
    let known_command = known.command.clone().unwrap();
    let newest = append(&*store, known)
        .await
        .unwrap()
        .events
        .remove(0)
        .event
        .event_id;

    // Everything is wrong with it; what is found first is put right, one fault at a time.
    let mut part = decided(
        &ended,
        Fence::of_decider(ActivationNumber::NONE),
        7,
        Vec::new(),
    );
    part.command = Some(known_command);
    part.expected_previous_id = Some(Uuid::now_v7());
    part.events = vec![NewEvent {
        event_id: newest,
        ..event("Unheard")
    }];
    let refused = |part: &StreamAppend| {
        let (store, part) = (Arc::clone(&store), part.clone());
        async move { append(&*store, part).await.unwrap_err() }
    };

    let error = refused(&part).await;
    assert!(matches!(error, AppendError::Fenced { .. }), "{error:?}");
    part.fence = Some(fence);
    let error = refused(&part).await;
    assert!(
        matches!(error, AppendError::DuplicateCommand { .. }),
        "{error:?}"
    );
    part.command = decided(&open, fence, 1, increments(1)).command;
    let error = refused(&part).await;
    assert!(
        matches!(error, AppendError::StreamFinal { .. }),
        "{error:?}"
    );
    part.stream = open;
    let error = refused(&part).await;
    assert!(
        matches!(error, AppendError::VersionConflict { .. }),
        "{error:?}"
    );
    part.expected = exactly(1);
    let error = refused(&part).await;
    assert!(
        matches!(error, AppendError::WrongPreviousId { .. }),
        "{error:?}"
    );
    part.expected_previous_id = Some(newest);
    let error = refused(&part).await;
    assert!(
        matches!(error, AppendError::EventUnregistered { .. }),
        "{error:?}"
    );
    part.events[0].event = "Incremented".to_owned();
    let error = refused(&part).await;
    assert!(
        matches!(error, AppendError::DuplicateEventId { .. }),
        "{error:?}"
    );
    part.events[0].event_id = Uuid::now_v7();
    append(&*store, part).await.unwrap();
}

pub(crate) async fn an_append_without_events_leaves_the_stream_as_it_is(store: Arc<dyn Store>) {
    let fence = activate_counter(&*store).await;
    let stream = stream("c");
    for part in [
        decided(&stream, fence, 0, Vec::new()),
        rejected(&stream, fence, 0),
        import(&stream, ExpectedVersion::NoStream, Vec::new()),
    ] {
        let appended = append(&*store, part).await.unwrap();
        assert_eq!((appended.version.get(), appended.events), (0, Vec::new()));
    }
    let before = grow(&*store, &stream, 2).await;
    let head = store.head(&stream).await.unwrap();
    for part in [
        decided(&stream, fence, 2, Vec::new()),
        rejected(&stream, fence, 2),
        import(&stream, ExpectedVersion::Any, Vec::new()),
    ] {
        let appended = append(&*store, part).await.unwrap();
        assert_eq!((appended.version.get(), appended.events), (2, Vec::new()));
    }
    assert_eq!(store.head(&stream).await.unwrap(), head);
    assert_eq!(events_of(&*store, &stream).await, before);
}

pub(crate) async fn an_append_without_parts_does_nothing(store: Arc<dyn Store>) {
    assert_eq!(append_all(&*store, Vec::new()).await.unwrap(), []);
}
