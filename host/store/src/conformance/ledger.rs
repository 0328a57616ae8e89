//! The ledger of commands, and the fence of activations.

use std::sync::Arc;

use gavel_model::{
    ActivationNumber, CommandOutcome, CommandRecord, ExpectedVersion, Fingerprint, Json,
    LedgerMode, Metadata, ModuleDigest, Namespace, Rejection, Version,
};
use time::macros::datetime;
use uuid::Uuid;

use super::support::*;
use crate::{Append, AppendError, Fence, PastRange, Place, Store, StreamAppend};

pub(crate) async fn every_field_of_a_command_is_kept(store: Arc<dyn Store>) {
    let fence = activate_counter(&*store).await;
    let rejection = Rejection {
        code: "no-funds".to_owned(),
        message: "\"äöü\" isn't covered; 100 % short".to_owned(),
        data: Some(json(r#"{"missing":[1,{"a":null}]}"#)),
    };
    let bare_rejection = Rejection {
        code: String::new(),
        message: String::new(),
        data: None,
    };
    let outcomes = [
        CommandOutcome::Accepted { events: 0 },
        CommandOutcome::Rejected(rejection),
        CommandOutcome::Rejected(bare_rejection),
    ];
    for outcome in outcomes {
        let record = CommandRecord {
            command_id: Uuid::new_v4(),
            stream: stream("ünï'c\"ode"),
            command: "Withdraw".to_owned(),
            data: json(r#"{"amount":"1'000","nested":{"a":[1,2.5,null]}}"#),
            ledger: LedgerMode::Full,
            fingerprint: Fingerprint::of(["Withdraw", "x"]),
            now: datetime!(2031-12-31 23:59:59.999 UTC),
            seed: u64::MAX,
            actor: Some("ann ✓".to_owned()),
            metadata: Metadata::default().with("correlation_id", "läuft"),
            version: version(0),
            module: ModuleDigest::of(b"counter 0"),
            outcome,
            fuel: u64::MAX,
        };
        let part = StreamAppend {
            command: Some(record.clone()),
            ..decided(&record.stream, fence, 0, Vec::new())
        };
        append(&*store, part).await.unwrap();
        let found = store
            .command(record.stream.namespace(), record.command_id)
            .await;
        assert_eq!(found.unwrap(), Some(record));
    }

    let accepted = decided(&stream("c"), fence, 0, increments(2));
    append(&*store, accepted.clone()).await.unwrap();
    let record = accepted.command.unwrap();
    let found = store
        .command(record.stream.namespace(), record.command_id)
        .await;
    assert_eq!(found.unwrap(), Some(record));
}

pub(crate) async fn of_a_command_whose_keys_are_kept_all_but_the_payload_is_found(
    store: Arc<dyn Store>,
) {
    let fence = activate_counter(&*store).await;
    for mut part in [
        decided(&stream("accepted"), fence, 0, increments(2)),
        rejected(&stream("rejected"), fence, 0),
    ] {
        let stream = part.stream.clone();
        let mut record = part.command.take().unwrap();
        record.ledger = LedgerMode::Keys;
        part.command = Some(record.clone());
        append(&*store, part).await.unwrap();

        record.data = Json::null();
        let (namespace, id) = (stream.namespace(), record.command_id);
        let found = store.command(namespace, id).await.unwrap();
        assert_eq!(found, Some(record.clone()));
        let found = store.commands(namespace, &[id]).await.unwrap();
        assert_eq!(found.get(&id), Some(&record));
        let start = Place {
            id: stream.id().to_owned(),
            version: Version::EMPTY,
        };
        let range = PastRange {
            namespace: namespace.clone(),
            decider: stream.decider().clone(),
            streams: Some([start].into()),
            through: None,
            eventless_since: None,
        };
        let eventless = store.eventless(&range, &<_>::default(), 10).await.unwrap();
        let is_eventless = matches!(record.outcome, CommandOutcome::Rejected(_));
        let expected = if is_eventless {
            vec![record]
        } else {
            Vec::new()
        };
        assert_eq!(eventless, expected);
    }
}

pub(crate) async fn an_unknown_command_is_not_found(store: Arc<dyn Store>) {
    let unknown = Uuid::now_v7();
    assert_eq!(
        store.command(&Namespace::default(), unknown).await.unwrap(),
        None
    );
}

pub(crate) async fn a_known_command_is_refused_whatever_its_outcome_was(store: Arc<dyn Store>) {
    let fence = activate_counter(&*store).await;
    for first in [
        decided(&stream("accepted"), fence, 0, increments(1)),
        decided(&stream("empty"), fence, 0, Vec::new()),
        rejected(&stream("rejected"), fence, 0),
    ] {
        let recorded = first.command.clone().unwrap();
        append(&*store, first.clone()).await.unwrap();
        let head = store.head(&first.stream).await.unwrap();

        let mut with_events = decided(&first.stream, fence, head.version.get(), increments(1));
        with_events.command.as_mut().unwrap().command_id = recorded.command_id;
        let mut elsewhere = rejected(&stream("elsewhere"), fence, 0);
        elsewhere.command.as_mut().unwrap().command_id = recorded.command_id;
        for again in [first.clone(), with_events, elsewhere] {
            let error = append(&*store, again).await.unwrap_err();
            assert!(
                matches!(error, AppendError::DuplicateCommand { command_id } if command_id == recorded.command_id),
                "{error:?}"
            );
        }
        assert_eq!(store.head(&first.stream).await.unwrap(), head);
        let found = store
            .command(first.stream.namespace(), recorded.command_id)
            .await;
        assert_eq!(found.unwrap(), Some(recorded));
    }
}

pub(crate) async fn what_has_its_command_id_taken_is_never_stored(store: Arc<dyn Store>) {
    let fence = activate_counter(&*store).await;
    let (a, b) = (stream("a"), stream("b"));
    let doubtful = vec![
        decided(&a, fence, 0, increments(1)),
        decided(&b, fence, 0, increments(2)),
    ];
    // What takes the ids knows neither the versions nor the module any more.
    let taken = doubtful.iter().map(|part| StreamAppend {
        command: part.command.clone().map(|record| CommandRecord {
            data: Json::null(),
            ledger: LedgerMode::Keys,
            fuel: 0,
            ..record
        }),
        ..import(&part.stream, ExpectedVersion::Any, Vec::new())
    });
    let parts = taken.collect();
    store.append(Append { parts }).await.unwrap();

    let late = [
        vec![doubtful[0].clone()],
        vec![doubtful[1].clone()],
        doubtful,
    ];
    for parts in late {
        let refused = store.append(Append { parts }).await.unwrap_err();
        assert!(
            matches!(refused, AppendError::DuplicateCommand { .. }),
            "{refused:?}"
        );
    }
    for stream in [&a, &b] {
        assert_eq!(events_of(&*store, stream).await, []);
    }
}

pub(crate) async fn a_command_id_belongs_to_its_namespace(store: Arc<dyn Store>) {
    let here = decided(
        &stream("c"),
        activate_counter(&*store).await,
        0,
        increments(1),
    );
    let elsewhere = stream_of("other", "counter", "c");
    let fence = activate(&*store, &elsewhere).await;
    let mut there = rejected(&elsewhere, fence, 0);
    there.command.as_mut().unwrap().command_id = here.command.as_ref().unwrap().command_id;
    for part in [here, there] {
        append(&*store, part.clone()).await.unwrap();
        let record = part.command.unwrap();
        let found = store
            .command(part.stream.namespace(), record.command_id)
            .await;
        assert_eq!(found.unwrap(), Some(record));
    }
}

pub(crate) async fn commands_that_are_looked_up_together_are_told_apart(store: Arc<dyn Store>) {
    let mut known = Vec::new();
    for namespace in ["default", "other"] {
        let of = stream_of(namespace, "counter", "c");
        let fence = activate(&*store, &of).await;
        for at in 0..4 {
            let part = decided(&of, fence, at, increments(1));
            append(&*store, part.clone()).await.unwrap();
            known.extend(part.command);
        }
    }
    // Each in the namespace where it is known, in the one where it is not, and twice; with others
    // that nobody knows.
    let mut wanted = Vec::new();
    for (index, record) in known.iter().enumerate() {
        for namespace in ["default", "other", "default", "other"].map(namespace) {
            let found = (*record.stream.namespace() == namespace).then_some(index);
            wanted.push((namespace.clone(), record.command_id, found));
            wanted.push((namespace, Uuid::now_v7(), None));
        }
    }
    let looking = wanted
        .iter()
        .map(|(namespace, command_id, _)| store.command(namespace, *command_id));
    let found = futures::future::join_all(looking).await;
    for ((namespace, command_id, expected), found) in wanted.iter().zip(found) {
        let expected = expected.map(|index| known[index].clone());
        assert_eq!(found.unwrap(), expected, "{command_id} in {namespace}");
    }
}

pub(crate) async fn a_stale_fence_is_refused_whatever_the_outcome(store: Arc<dyn Store>) {
    let before_any = Fence::of_decider(ActivationNumber::NONE);
    let first = activate_counter(&*store).await;
    assert_eq!(first.number, ActivationNumber::new(1));
    let second = activate_counter(&*store).await;
    for stale in [before_any, first] {
        for part in [
            decided(&stream("c"), stale, 0, increments(1)),
            decided(&stream("c"), stale, 0, Vec::new()),
            rejected(&stream("c"), stale, 0),
        ] {
            let command_id = part.command.as_ref().unwrap().command_id;
            let error = append(&*store, part).await.unwrap_err();
            assert!(
                matches!(&error, AppendError::Fenced { decider, fence, current }
                    if decider.as_str() == "counter" && *fence == stale && *current == second.number),
                "{error:?}"
            );
            let found = store.command(&Namespace::default(), command_id).await;
            assert_eq!(found.unwrap(), None);
        }
    }
    for part in [
        decided(&stream("c"), second, 0, increments(1)),
        decided(&stream("c"), second, 1, Vec::new()),
        rejected(&stream("c"), second, 1),
    ] {
        append(&*store, part).await.unwrap();
    }
}

pub(crate) async fn a_fence_holds_for_its_decider_and_namespace_alone(store: Arc<dyn Store>) {
    let counter = activate_counter(&*store).await;
    let others = [
        stream_of("default", "account", "c"),
        stream_of("other", "counter", "c"),
    ];
    for other in &others {
        activate(&*store, other).await;
        let second = activate(&*store, other).await;
        let error = append(&*store, decided(other, counter, 0, increments(1)))
            .await
            .unwrap_err();
        assert!(matches!(error, AppendError::Fenced { .. }), "{error:?}");
        append(&*store, decided(other, second, 0, increments(1)))
            .await
            .unwrap();
    }
    append(&*store, decided(&stream("c"), counter, 0, increments(1)))
        .await
        .unwrap();
}
