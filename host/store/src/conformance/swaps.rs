//! Modules that change together, and the order of the swaps of a namespace.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::join_all;
use gavel_model::{
    Activation, ActivationKey, ActivationNumber, ExpectedVersion, ModuleDigest, ModuleKind,
    StreamId,
};

use super::support::*;
use crate::{
    ActivateError, ActivationSet, AppendError, Fence, NewActivation, Store, StreamAppend, SwapCount,
};

/// Streams of two deciders in one namespace.
fn two() -> [StreamId; 2] {
    ["counter", "meter"].map(|name| stream_of("default", name, "c"))
}

/// The set of what comes next, by name, whatever the order in which it is given.
fn set(activations: impl IntoIterator<Item = NewActivation>) -> ActivationSet {
    ActivationSet::new(activations.into_iter().collect()).unwrap()
}

/// Activates a module of each decider, one after the other, and keeps another one for each.
async fn with_next(store: &dyn Store, deciders: &[StreamId; 2]) -> [(Fence, NewActivation); 2] {
    let [one, other] = deciders;
    [next_of(store, one).await, next_of(store, other).await]
}

async fn next_of(store: &dyn Store, of: &StreamId) -> (Fence, NewActivation) {
    let fence = activate(store, of).await;
    let wasm = format!("next {}", of.decider());
    store
        .put_module(module(of.decider().as_str(), &wasm))
        .await
        .unwrap();
    (fence, activation(of, fence.number, &wasm))
}

async fn newest(store: &dyn Store, key: &ActivationKey) -> ActivationNumber {
    let newest = store.active(key).await.unwrap();
    newest.map_or(ActivationNumber::NONE, |newest| newest.number)
}

async fn swaps(store: &dyn Store) -> SwapCount {
    store.swaps(&namespace("default")).await.unwrap()
}

/// An append that is stored wherever the stream is, if its module is still active.
fn anywhere(of: &StreamId, fence: Fence) -> StreamAppend {
    StreamAppend {
        expected: ExpectedVersion::Any,
        ..decided(of, fence, 0, increments(1))
    }
}

#[track_caller]
fn assert_fenced<T: std::fmt::Debug>(outcome: &Result<T, AppendError>, by: ActivationNumber) {
    assert!(
        matches!(outcome, Err(AppendError::Fenced { current, .. }) if *current == by),
        "{outcome:?}"
    );
}

pub(crate) async fn a_set_moves_all_its_pointers_at_once(store: Arc<dyn Store>) {
    let deciders = two();
    let [(first, next), (second, other)] = with_next(&*store, &deciders).await;
    let mut with_event = other.clone();
    with_event.events.push(event_type("Unheard"));
    let before = swaps(&*store).await;
    // In whatever order they are given.
    let activated = store.activate(set([with_event, next.clone()])).await;
    let activated = activated.unwrap();
    assert_eq!(activated.len(), 2);
    for ((entry, wanted), fence) in activated.iter().zip([next, other]).zip([first, second]) {
        assert_eq!((&entry.key, entry.digest), (&wanted.key, wanted.digest));
        assert_eq!(entry.number, fence.number.next());
        let active = store.active(&wanted.key).await.unwrap();
        assert_eq!(active.as_ref(), Some(entry));
    }
    assert_ne!(swaps(&*store).await, before);

    for (of, fence) in deciders.iter().zip([first, second]) {
        let next = fence.number.next();
        assert_fenced(&append(&*store, anywhere(of, fence)).await, next);
        append(&*store, anywhere(of, Fence::of_decider(next)))
            .await
            .unwrap();
    }
    let unheard = import(&deciders[1], ExpectedVersion::Any, vec![event("Unheard")]);
    append(&*store, unheard).await.unwrap();
}

pub(crate) async fn a_set_of_which_one_is_refused_moves_no_pointer(store: Arc<dyn Store>) {
    let deciders = two();
    let [(first, next), (second, other)] = with_next(&*store, &deciders).await;
    let view = |name: &str| {
        let key = ActivationKey::new(namespace("default"), ModuleKind::View, name).unwrap();
        NewActivation {
            key,
            events: Vec::new(),
            after: ActivationNumber::NONE,
            ..other.clone()
        }
    };
    let unmoved = async || {
        for (of, fence) in deciders.iter().zip([first, second]) {
            assert_eq!(newest(&*store, &key(of)).await, fence.number);
            append(&*store, anywhere(of, fence)).await.unwrap();
        }
    };
    let before = swaps(&*store).await;

    let stale = NewActivation {
        after: ActivationNumber::NONE,
        ..other.clone()
    };
    let error = store.activate(set([next.clone(), stale])).await;
    assert!(
        matches!(&error, Err(ActivateError::Moved { key, current })
            if *key == other.key && *current == second.number),
        "{error:?}"
    );
    let unheard = ModuleDigest::of(b"unheard");
    let unknown = NewActivation {
        digest: Some(unheard),
        ..other.clone()
    };
    let error = store.activate(set([next.clone(), unknown])).await;
    assert!(
        matches!(&error, Err(ActivateError::ModuleNotFound { digest }) if *digest == unheard),
        "{error:?}"
    );
    let error = store.activate(set([next.clone(), view("meter")])).await;
    assert!(
        matches!(&error, Err(ActivateError::NameTaken { key, kind })
            if key.kind() == ModuleKind::View && *kind == ModuleKind::Decider),
        "{error:?}"
    );
    unmoved().await;

    // The streams of the second one are looked through no further than to here.
    let looked_through = store.moment(&namespace("default")).await.unwrap();
    grow(&*store, &deciders[1], 1).await;
    let keys = BTreeSet::from([next.key.clone(), other.key.clone()]);
    let hold = store.hold(&keys).await.unwrap();
    let error = hold
        .activate(set([next.clone(), other.clone()]), &looked_through)
        .await;
    assert!(
        matches!(&error, Err(ActivateError::Overtaken { key }) if *key == other.key),
        "{error:?}"
    );
    unmoved().await;
    assert_eq!(swaps(&*store).await, before);
    assert_eq!(
        newest(&*store, &view("meter").key).await,
        ActivationNumber::NONE
    );
    store.activate(set([next, other])).await.unwrap();
}

pub(crate) async fn no_stale_append_to_any_decider_follows_a_set(store: Arc<dyn Store>) {
    let deciders = two();
    let [(first, next), (second, other)] = with_next(&*store, &deciders).await;
    let writers: Vec<_> = (0..20)
        .map(|writer| {
            let of_first = writer % 2 == 0;
            let (of, fence) = match of_first {
                true => (&deciders[0], first),
                false => (&deciders[1], second),
            };
            let (store, part) = (Arc::clone(&store), anywhere(of, fence));
            tokio::spawn(async move { append(&*store, part).await })
        })
        .collect();
    let activated = store.activate(set([next, other])).await.unwrap();
    let versions = async || {
        let versions = deciders.iter().map(|of| version_of(&*store, of));
        join_all(versions).await
    };
    let at_activation = versions().await;

    let mut stored = 0;
    for outcome in join_all(writers).await.into_iter().map(Result::unwrap) {
        match outcome {
            Ok(_) => stored += 1,
            outcome => assert_fenced(&outcome, activated[0].number),
        }
    }
    assert_eq!(stored, at_activation.iter().sum::<u64>());
    assert_eq!(versions().await, at_activation);
}

pub(crate) async fn what_is_appended_while_a_set_is_held_meets_the_next_activation(
    store: Arc<dyn Store>,
) {
    let deciders = two();
    let bystander = stream_of("default", "gauge", "c");
    let of_bystander = activate(&*store, &bystander).await;
    let [(first, next), (second, other)] = with_next(&*store, &deciders).await;
    let keys = BTreeSet::from([next.key.clone(), other.key.clone()]);
    let hold = store.hold(&keys).await.unwrap();
    let looked_through = store.moment(&namespace("default")).await.unwrap();

    let waiting = deciders.iter().zip([first, second]).map(|(of, fence)| {
        let (store, part) = (Arc::clone(&store), anywhere(of, fence));
        tokio::spawn(async move { append(&*store, part).await })
    });
    let waiting: Vec<_> = waiting.collect();
    for _ in 0..3 {
        append(&*store, anywhere(&bystander, of_bystander))
            .await
            .unwrap();
    }
    assert!(waiting.iter().all(|append| !append.is_finished()));
    let activated = hold.activate(set([next, other]), &looked_through).await;
    let activated = activated.unwrap();
    for (outcome, entry) in join_all(waiting).await.into_iter().zip(activated) {
        assert_fenced(&outcome.unwrap(), entry.number);
    }
}

/// Holds two deciders, and moves both pointers on from where they are.
async fn swap_both(
    store: &dyn Store,
    of: [&StreamId; 2],
) -> Result<Vec<Activation>, ActivateError> {
    let keys = BTreeSet::from(of.map(key));
    let hold = store.hold(&keys).await.map_err(ActivateError::Store)?;
    let looked_through = store.moment(&namespace("default")).await.unwrap();
    let mut activations = Vec::new();
    for of in of {
        let after = newest(store, &key(of)).await;
        let wasm = format!("next {}", of.decider());
        activations.push(activation(of, after, &wasm));
    }
    hold.activate(set(activations), &looked_through).await
}

pub(crate) async fn sets_that_share_deciders_wait_for_each_other_and_all_end(
    store: Arc<dyn Store>,
) {
    let [one, other] = two();
    let third = stream_of("default", "gauge", "c");
    let all = [one, other, third];
    for of in &all {
        next_of(&*store, of).await;
    }
    let pairs = [[0, 1], [1, 0], [1, 2], [2, 0]];
    let swapping = pairs.map(|pair| {
        let (store, of) = (Arc::clone(&store), pair.map(|place| all[place].clone()));
        tokio::spawn(async move { swap_both(&*store, of.each_ref()).await })
    });
    for swapped in join_all(swapping).await {
        swapped.unwrap().unwrap();
    }
    let mut entries = 0;
    for of in &all {
        entries += newest(&*store, &key(of)).await.get();
    }
    assert_eq!(entries, 3 + 2 * 4);
}

pub(crate) async fn a_swap_after_others_than_those_that_were_counted_is_refused(
    store: Arc<dyn Store>,
) {
    let deciders = two();
    let before = swaps(&*store).await;
    let [(_, next), (second, other)] = with_next(&*store, &deciders).await;
    let counted = swaps(&*store).await;
    assert_ne!(counted, before);
    // That of another namespace is none of these.
    activate(&*store, &stream_of("other", "counter", "c")).await;
    assert_eq!(swaps(&*store).await, counted);

    let deactivation = NewActivation {
        digest: None,
        events: Vec::new(),
        ..other.clone()
    };
    let ended = store.activate(set([deactivation]).after(counted)).await;
    let after_end = swaps(&*store).await;
    assert_ne!(after_end, counted);
    for late in [before, counted] {
        let error = store.activate(set([next.clone()]).after(late)).await;
        assert!(
            matches!(error, Err(ActivateError::NamespaceMoved)),
            "{error:?}"
        );
    }
    assert_eq!(newest(&*store, &next.key).await, next.after);
    assert_eq!(swaps(&*store).await, after_end);

    let again = NewActivation {
        after: second.number.next(),
        ..other
    };
    assert_eq!(ended.unwrap()[0].number, again.after);
    let both = set([next, again]).after(after_end);
    assert_eq!(store.activate(both).await.unwrap().len(), 2);
}

pub(crate) async fn of_swaps_that_come_after_the_same_others_one_takes_place(
    store: Arc<dyn Store>,
) {
    let names: Vec<_> = (0..8).map(|number| format!("name-{number}")).collect();
    let mut activations = Vec::new();
    for name in &names {
        let of = stream_of("default", name, "c");
        store.put_module(module(name, name)).await.unwrap();
        activations.push(activation(&of, ActivationNumber::NONE, name));
    }
    let counted = swaps(&*store).await;
    let racing = activations.into_iter().map(|activation| {
        let (store, set) = (Arc::clone(&store), set([activation]).after(counted));
        tokio::spawn(async move { store.activate(set).await })
    });
    let outcomes = join_all(racing).await.into_iter().map(Result::unwrap);
    let (won, lost): (Vec<_>, Vec<_>) = outcomes.partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    for lost in &lost {
        assert!(
            matches!(lost, Err(ActivateError::NamespaceMoved)),
            "{lost:?}"
        );
    }
}
