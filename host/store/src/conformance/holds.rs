//! Deciders that are held while the last of their events are looked at.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use gavel_model::{Activation, ActivationNumber, Clock as _, StreamId, SystemClock};

use super::support::*;
use crate::toolkit::hold::HOLD;
use crate::{ActivateError, AppendError, Appended, Fence, Hold, Store, StreamAppend};

/// Holds the decider of a stream.
async fn hold<'s>(store: &'s dyn Store, of: &StreamId) -> Box<dyn Hold + 's> {
    store.hold(&BTreeSet::from([key(of)])).await.unwrap()
}

/// Appends on a task of its own.
fn appending(
    store: &Arc<dyn Store>,
    part: StreamAppend,
) -> tokio::task::JoinHandle<Result<Appended, AppendError>> {
    let store = Arc::clone(store);
    tokio::spawn(async move { append(&*store, part).await })
}

/// Holds the decider, looks at all there is, and has `between` done before the next module becomes
/// active.
async fn swap(
    store: &Arc<dyn Store>,
    of: &StreamId,
    after: ActivationNumber,
    between: impl AsyncFnOnce(),
) -> Result<Activation, ActivateError> {
    store.put_module(module("counter", "next")).await.unwrap();
    let hold = hold(&**store, of).await;
    let looked_through = store.moment(of.namespace()).await.unwrap();
    between().await;
    let next = activation(of, after, "next");
    let activated = hold.activate(next.into(), &looked_through).await?;
    Ok(activated.into_iter().next().unwrap())
}

pub(crate) async fn what_is_appended_while_a_decider_is_held_meets_the_next_activation(
    store: Arc<dyn Store>,
) {
    let of = stream("c");
    let (bystander, elsewhere) = (
        stream_of("default", "meter", "c"),
        stream_of("other", "counter", "c"),
    );
    let fence = activate_counter(&*store).await;
    let (other, another) = (
        activate(&*store, &bystander).await,
        activate(&*store, &elsewhere).await,
    );
    let mut waiting = Vec::new();
    let activated = swap(&store, &of, fence.number, async || {
        for id in ["c", "d"] {
            let part = decided(&stream(id), fence, 0, increments(1));
            waiting.push(appending(&store, part));
        }
        // Those of others do not wait.
        for (at, stream, fence) in [
            (0, &bystander, other),
            (1, &bystander, other),
            (0, &elsewhere, another),
        ] {
            let part = decided(stream, fence, at, increments(1));
            append(&*store, part).await.unwrap();
        }
        assert!(waiting.iter().all(|append| !append.is_finished()));
    });
    let next = activated.await.unwrap().number;
    for append in waiting {
        let refused = append.await.unwrap().unwrap_err();
        assert!(
            matches!(refused, AppendError::Fenced { current, .. } if current == next),
            "{refused:?}"
        );
    }
    let part = decided(&of, Fence::of_decider(next), 0, increments(1));
    append(&*store, part).await.unwrap();
}

pub(crate) async fn what_was_stored_and_not_looked_at_keeps_the_pointer_where_it_is(
    store: Arc<dyn Store>,
) {
    let (of, bystander) = (stream("c"), stream_of("default", "meter", "c"));
    let fence = activate_counter(&*store).await;
    activate(&*store, &bystander).await;
    store.put_module(module("counter", "next")).await.unwrap();
    let next = || activation(&of, fence.number, "next");
    // An event, and a command that has left none.
    for mut part in [
        decided(&of, fence, 0, increments(1)),
        rejected(&of, fence, 1),
    ] {
        let command = part.command.as_mut().unwrap();
        command.now = SystemClock.now();
        let looked_through = store.moment(of.namespace()).await.unwrap();
        append(&*store, part).await.unwrap();
        let hold = hold(&*store, &of).await;
        let error = hold.activate(next().into(), &looked_through).await;
        assert!(
            matches!(error, Err(ActivateError::Overtaken { .. })),
            "{error:?}"
        );
        let active = store.active(&key(&of)).await.unwrap();
        assert_eq!(active.map(|active| active.number), Some(fence.number));
    }
    // What others have stored is none of it.
    let looked_through = store.moment(of.namespace()).await.unwrap();
    grow(&*store, &bystander, 1).await;
    let hold = hold(&*store, &of).await;
    hold.activate(next().into(), &looked_through).await.unwrap();
}

pub(crate) async fn a_hold_that_is_let_go_of_leaves_everything_as_it_was(store: Arc<dyn Store>) {
    let of = stream("c");
    let fence = activate_counter(&*store).await;
    let held = hold(&*store, &of).await;
    let waiting = appending(&store, decided(&of, fence, 0, increments(1)));
    let second = {
        let (store, of) = (Arc::clone(&store), of.clone());
        tokio::spawn(async move { drop(hold(&*store, &of).await) })
    };
    drop(held);
    assert_eq!(waiting.await.unwrap().unwrap().version, version(1));
    second.await.unwrap();

    let error = swap(&store, &of, ActivationNumber::NONE, async || {}).await;
    assert!(
        matches!(error, Err(ActivateError::Moved { current, .. }) if current == fence.number),
        "{error:?}"
    );
    let part = decided(&of, fence, 1, increments(1));
    append(&*store, part).await.unwrap();
}

pub(crate) async fn a_hold_that_is_never_let_go_of_ends_by_itself(store: Arc<dyn Store>) {
    let of = stream("c");
    let fence = activate_counter(&*store).await;
    // As when a host is stuck.
    std::mem::forget(hold(&*store, &of).await);
    let began = Instant::now();
    let part = decided(&of, fence, 0, increments(1));
    append(&*store, part).await.unwrap();
    let waited = began.elapsed();
    assert!(waited < 10 * HOLD, "{waited:?}");
}
