//! Kinds of modules, the names that belong to them, and the end of a module's work.

use std::sync::Arc;

use futures::future::join_all;
use gavel_model::{
    Activation, ActivationKey, ActivationNumber, ExpectedVersion, Metadata, ModuleDigest,
    ModuleKind, NewEvent, ProcessId, StreamId, StreamKey, event_of_outcome, events_of_processes,
};
use time::macros::datetime;
use uuid::Uuid;

use super::modules::{active_of, log_of_activations};
use super::support::*;
use crate::{
    ActivateError, ActivationFilter, Append, AppendError, DeleteModuleError, Fence, NewActivation,
    RehearsalRecord, Store, StreamAppend,
};

/// The key of a name in a namespace.
fn key_of(namespace_name: &str, kind: ModuleKind, name: &str) -> ActivationKey {
    ActivationKey::new(namespace(namespace_name), kind, name).unwrap()
}

/// Stores a module of the kind, and makes it the first to work under the key.
async fn begin(store: &dyn Store, key: &ActivationKey) -> Result<Activation, ActivateError> {
    let wasm = format!("{key}");
    let mut module = module(key.name().as_str(), &wasm);
    module.kind = key.kind();
    store.put_module(module).await.unwrap();
    store.activate_one(first(key, &wasm)).await
}

/// The first activation of a key.
fn first(key: &ActivationKey, wasm: &str) -> NewActivation {
    let events = match key.kind() {
        ModuleKind::Decider => event_types(),
        ModuleKind::Process | ModuleKind::View => Vec::new(),
    };
    NewActivation {
        key: key.clone(),
        events,
        ..activation(&stream("any"), ActivationNumber::NONE, wasm)
    }
}

/// Ends the work of what is active under a key.
async fn deactivate(
    store: &dyn Store,
    key: &ActivationKey,
    after: ActivationNumber,
) -> Result<Activation, ActivateError> {
    let deactivation = NewActivation {
        after,
        digest: None,
        events: Vec::new(),
        message: Some("no more".to_owned()),
        ..first(key, "none")
    };
    store.activate_one(deactivation).await
}

#[track_caller]
fn assert_taken(outcome: &Result<Activation, ActivateError>, by: ModuleKind) {
    assert!(
        matches!(outcome, Err(ActivateError::NameTaken { kind, .. }) if *kind == by),
        "{outcome:?}"
    );
}

pub(crate) async fn two_kinds_share_no_pointer_and_no_rehearsal(store: Arc<dyn Store>) {
    let of = stream("c");
    let decider = key(&of);
    let [process, view] = [ModuleKind::Process, ModuleKind::View]
        .map(|kind| key_of("default", kind, decider.name().as_str()));
    let elsewhere = key_of("other", ModuleKind::View, decider.name().as_str());
    let fence = activate_counter(&*store).await;
    let there = begin(&*store, &elsewhere).await.unwrap();
    assert_eq!((there.number.get(), &there.key), (1, &elsewhere));

    for (number, key) in [&decider, &process, &view].into_iter().enumerate() {
        let rehearsal = RehearsalRecord {
            id: Uuid::from_u128(number as u128),
            key: key.clone(),
            digest: ModuleDigest::of(b"candidate"),
            is_over: true,
            seen_at: datetime!(2026-02-03 04:05:06.789 UTC),
            document: json("{}"),
        };
        assert!(store.put_rehearsal(rehearsal.clone()).await.unwrap());
        assert_eq!(store.rehearsals(key, 10).await.unwrap(), [rehearsal]);
    }
    for key in [&process, &view] {
        assert_eq!(store.active(key).await.unwrap(), None);
        assert_eq!(log_of_activations(&*store, key).await, []);
        let of_another = Fence {
            kind: key.kind(),
            ..fence
        };
        let error = append(&*store, decided(&of, of_another, 0, increments(1))).await;
        assert!(
            matches!(&error, Err(AppendError::Fenced { current, .. }) if *current == ActivationNumber::NONE),
            "{error:?}"
        );
    }
    append(&*store, decided(&of, fence, 0, increments(1)))
        .await
        .unwrap();

    let listed = async |namespace_name: Option<&str>, kind| {
        let filter = ActivationFilter {
            namespace: namespace_name.map(namespace),
            kind,
        };
        let listed = active_of(&*store, &filter).await.into_iter();
        listed.map(|newest| newest.key).collect::<Vec<_>>()
    };
    assert_eq!(
        listed(None, None).await,
        [decider.clone(), elsewhere.clone()]
    );
    assert_eq!(listed(None, Some(ModuleKind::View)).await, [elsewhere]);
    assert_eq!(listed(None, Some(ModuleKind::Process)).await, []);
    assert_eq!(listed(Some("default"), None).await, [decider]);
}

pub(crate) async fn a_name_belongs_to_one_kind_for_good(store: Arc<dyn Store>) {
    for (number, kind) in ModuleKind::ALL.into_iter().enumerate() {
        let name = format!("name-{number}");
        let owner = key_of("default", kind, &name);
        let activated = begin(&*store, &owner).await.unwrap();
        let others = ModuleKind::ALL.into_iter().filter(|other| *other != kind);
        let others: Vec<_> = others
            .map(|other| key_of("default", other, &name))
            .collect();
        for other in &others {
            assert_taken(&begin(&*store, other).await, kind);
            assert_eq!(log_of_activations(&*store, other).await, []);
        }
        // Also when nothing works under it any more.
        let ended = deactivate(&*store, &owner, activated.number).await.unwrap();
        for other in &others {
            assert_taken(&begin(&*store, other).await, kind);
        }
        // It may go on, and elsewhere it is another name.
        let again = NewActivation {
            after: ended.number,
            ..first(&owner, &format!("{owner}"))
        };
        store.activate_one(again).await.unwrap();
        let elsewhere = key_of("other", others[0].kind(), &name);
        begin(&*store, &elsewhere).await.unwrap();
    }
}

pub(crate) async fn a_name_with_events_is_a_deciders(store: Arc<dyn Store>) {
    // The registry is that of all namespaces.
    activate_counter(&*store).await;
    let of = stream_of("imported", "counter", "c");
    grow(&*store, &of, 1).await;
    for kind in [ModuleKind::Process, ModuleKind::View] {
        let other = key_of("imported", kind, "counter");
        assert_taken(&begin(&*store, &other).await, ModuleKind::Decider);
        begin(&*store, &key_of("imported", kind, &format!("my-{kind}")))
            .await
            .unwrap();
    }
    begin(&*store, &key(&of)).await.unwrap();
}

pub(crate) async fn of_two_kinds_that_begin_a_name_at_the_same_time_one_has_it(
    store: Arc<dyn Store>,
) {
    let names: Vec<_> = (0..8).map(|number| format!("name-{number}")).collect();
    for name in &names {
        let racing = ModuleKind::ALL.map(|kind| {
            let (store, key) = (Arc::clone(&store), key_of("default", kind, name));
            tokio::spawn(async move { begin(&*store, &key).await })
        });
        let outcomes = join_all(racing).await.into_iter();
        let outcomes: Vec<_> = outcomes.map(Result::unwrap).collect();
        let mut won = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok());
        let (winner, another) = (won.next().unwrap(), won.next());
        assert_eq!(another, None);
        for lost in outcomes.iter().filter(|outcome| outcome.is_err()) {
            assert_taken(lost, winner.key.kind());
        }
    }
    let all = active_of(&*store, &ActivationFilter::default()).await;
    assert_eq!(all.len(), names.len());
}

/// An append that no decider has decided, of a name that no module of another kind may have begun.
async fn append_unless_begun(store: &dyn Store, of: &StreamId) -> Result<(), AppendError> {
    let others = ModuleKind::ALL
        .into_iter()
        .filter(|kind| *kind != ModuleKind::Decider);
    let unbegun = others.map(|kind| StreamAppend {
        fence: Some(Fence {
            kind,
            number: ActivationNumber::NONE,
        }),
        ..import(of, ExpectedVersion::Any, Vec::new())
    });
    let imported = import(of, ExpectedVersion::Any, increments(1));
    let parts = unbegun.chain([imported]).collect();
    store.append(Append { parts }).await.map(|_| ())
}

#[track_caller]
fn assert_begun(outcome: &Result<(), AppendError>, by: ModuleKind) {
    assert!(
        matches!(outcome, Err(AppendError::Fenced { fence, current, .. })
            if fence.kind == by && fence.number == ActivationNumber::NONE && *current != fence.number),
        "{outcome:?}"
    );
}

pub(crate) async fn what_no_other_kind_may_have_begun_is_not_stored_where_one_has(
    store: Arc<dyn Store>,
) {
    // The registry is that of all namespaces.
    activate_counter(&*store).await;
    append_unless_begun(&*store, &stream("c")).await.unwrap();
    for kind in [ModuleKind::Process, ModuleKind::View] {
        let namespace_name = kind.plural();
        let of = stream_of(namespace_name, "counter", "c");
        let owner = key_of(namespace_name, kind, "counter");
        let begun = begin(&*store, &owner).await.unwrap();
        assert_begun(&append_unless_begun(&*store, &of).await, kind);
        // Also when nothing works under it any more.
        deactivate(&*store, &owner, begun.number).await.unwrap();
        assert_begun(&append_unless_begun(&*store, &of).await, kind);
        assert_eq!(events_of(&*store, &of).await, []);
    }
    let unowned = stream_of("other", "counter", "c");
    append_unless_begun(&*store, &unowned).await.unwrap();
}

pub(crate) async fn of_an_import_and_another_kind_that_begin_a_name_at_the_same_time_one_has_it(
    store: Arc<dyn Store>,
) {
    activate_counter(&*store).await;
    for number in 0..8 {
        let kind = [ModuleKind::Process, ModuleKind::View][number % 2];
        let namespace_name = format!("namespace-{number}");
        let of = stream_of(&namespace_name, "counter", "c");
        let imports = (0..4).map(|_| {
            let (store, of) = (Arc::clone(&store), of.clone());
            tokio::spawn(async move { append_unless_begun(&*store, &of).await })
        });
        let imports: Vec<_> = imports.collect();
        let begun = begin(&*store, &key_of(&namespace_name, kind, "counter")).await;
        let imported = join_all(imports).await.into_iter().map(Result::unwrap);
        let imported: Vec<_> = imported.collect();
        let stored = events_of(&*store, &of).await.len();
        if begun.is_ok() {
            imported
                .iter()
                .for_each(|outcome| assert_begun(outcome, kind));
            assert_eq!(stored, 0);
        } else {
            assert_taken(&begun, ModuleKind::Decider);
            imported
                .iter()
                .for_each(|outcome| assert!(outcome.is_ok(), "{outcome:?}"));
            assert_eq!(stored, 4);
        }
    }
}

pub(crate) async fn a_deactivation_is_a_fact_after_which_nothing_is_decided(store: Arc<dyn Store>) {
    let of = stream("c");
    let counter = key(&of);
    let fence = activate_counter(&*store).await;
    let wasm = "counter 0";
    let digest = ModuleDigest::of(wasm.as_bytes());
    append(&*store, decided(&of, fence, 0, increments(1)))
        .await
        .unwrap();

    let early = deactivate(&*store, &counter, ActivationNumber::NONE).await;
    assert!(
        matches!(early, Err(ActivateError::Moved { current, .. }) if current == fence.number),
        "{early:?}"
    );
    let ended = deactivate(&*store, &counter, fence.number).await.unwrap();
    assert_eq!(ended.number, fence.number.next());
    assert_eq!((ended.digest, ended.replaces), (None, Some(digest)));
    assert_eq!(ended.message.as_deref(), Some("no more"));
    let newest = store.active(&counter).await.unwrap();
    assert_eq!(newest.as_ref(), Some(&ended));
    let listed = active_of(&*store, &ActivationFilter::default()).await;
    assert_eq!(listed, std::slice::from_ref(&ended));

    for part in [
        decided(&of, fence, 1, increments(1)),
        decided(&of, fence, 1, Vec::new()),
        rejected(&of, fence, 1),
    ] {
        let error = append(&*store, part).await.unwrap_err();
        assert!(
            matches!(error, AppendError::Fenced { current, .. } if current == ended.number),
            "{error:?}"
        );
    }
    // What was decided stays, and what is imported has no module.
    append(&*store, import(&of, ExpectedVersion::Any, increments(1)))
        .await
        .unwrap();
    assert_eq!(events_of(&*store, &of).await.len(), 2);
    let error = store.delete_module(digest).await.unwrap_err();
    assert!(matches!(error, DeleteModuleError::InUse), "{error:?}");

    let back = store
        .activate_one(activation(&of, ended.number, wasm))
        .await;
    let back = back.unwrap();
    assert_eq!((back.digest, back.replaces), (Some(digest), None));
    let next = Fence::of_decider(back.number);
    append(&*store, decided(&of, next, 2, increments(1)))
        .await
        .unwrap();
    let log = log_of_activations(&*store, &counter).await;
    assert_eq!(log[..2], [back, ended]);
    assert_eq!(log.len(), 3);
}

pub(crate) async fn no_append_follows_a_deactivation(store: Arc<dyn Store>) {
    let of = stream("c");
    let fence = activate_counter(&*store).await;
    let writers = (0..20).map(|_| {
        let mut part = decided(&of, fence, 0, increments(1));
        part.expected = ExpectedVersion::Any;
        let store = Arc::clone(&store);
        tokio::spawn(async move { append(&*store, part).await })
    });
    let writers: Vec<_> = writers.collect();
    deactivate(&*store, &key(&of), fence.number).await.unwrap();
    let at_its_end = version_of(&*store, &of).await;

    let outcomes = join_all(writers).await.into_iter().map(Result::unwrap);
    let stored = outcomes.filter(Result::is_ok).count() as u64;
    assert_eq!(stored, at_its_end);
    assert_eq!(version_of(&*store, &of).await, at_its_end);
}

pub(crate) async fn the_host_appends_to_the_streams_of_a_process(store: Arc<dyn Store>) {
    let process = ProcessId::new(namespace("default"), "fulfilment").unwrap();
    let wasm = "fulfilment 1";
    let mut module = module("fulfilment", wasm);
    module.kind = ModuleKind::Process;
    store.put_module(module).await.unwrap();
    let mut activation = first(&process.key(), wasm);
    activation.events = events_of_processes();
    let number = store.activate_one(activation).await.unwrap().number;

    let of = process.stream(&StreamKey::new("o-1").unwrap());
    let command_id = Uuid::from_u128(8 << 76 | 1 << 63 | 1);
    let outcome = |what: &str| NewEvent {
        event_id: event_of_outcome(command_id, what),
        command_id,
        metadata: Metadata::default().with("gavel-task", "reserve"),
        ..event(what)
    };
    let fence = Some(Fence {
        kind: ModuleKind::Process,
        number,
    });
    for (version, what) in ["TaskRejected", "TaskAccepted", "TaskAbandoned", "WaitOver"]
        .into_iter()
        .enumerate()
    {
        let part = StreamAppend {
            fence: fence.filter(|_| version % 2 == 0),
            ..import(&of, exactly(version as u64), vec![outcome(what)])
        };
        append(&*store, part).await.unwrap();
    }
    let stored = events_of(&*store, &of).await;
    assert_eq!(stored.len(), 4);
    assert_eq!(stored[0].event, outcome("TaskRejected"));

    let again = import(&of, ExpectedVersion::Any, vec![outcome("WaitOver")]);
    let again = append(&*store, again).await;
    assert!(
        matches!(again, Err(AppendError::DuplicateEventId { .. })),
        "{again:?}"
    );
    let other = import(&of, ExpectedVersion::Any, increments(1));
    let other = append(&*store, other).await;
    assert!(
        matches!(other, Err(AppendError::EventUnregistered { .. })),
        "{other:?}"
    );
}
