//! The separation of deciders that share ids, and of namespaces.

use std::sync::Arc;

use gavel_model::{ActivationNumber, ExpectedVersion, Namespace};

use super::modules::{active_of, log_of_activations};
use super::support::*;
use crate::{ActivationFilter, LogFilter, Store, StreamHead};

pub(crate) async fn deciders_that_share_an_id_share_nothing_else(store: Arc<dyn Store>) {
    let counter = stream_of("default", "counter", "x-1");
    let account = stream_of("default", "account", "x-1");
    let fence = activate(&*store, &counter).await;
    activate(&*store, &account).await;

    grow(&*store, &counter, 2).await;
    let part = import(&account, ExpectedVersion::NoStream, vec![closed()]);
    append(&*store, part).await.unwrap();
    append(&*store, decided(&counter, fence, 2, increments(1)))
        .await
        .unwrap();

    let (counted, accounted) = (
        events_of(&*store, &counter).await,
        events_of(&*store, &account).await,
    );
    assert_eq!((counted.len(), accounted.len()), (3, 1));
    assert_eq!(accounted[0].previous_id, None);
    assert!(store.head(&account).await.unwrap().is_final);
    assert!(!store.head(&counter).await.unwrap().is_final);
    let newest = counted[2].created_at;
    let version_then = store.version_at(&account, newest).await.unwrap();
    assert!(version_then <= version(1));
    for stream in [&counter, &account] {
        let listed = store
            .list_streams(stream.namespace(), stream.decider(), None, 10)
            .await
            .unwrap();
        assert_eq!(listed.len(), 1);
    }
    assert_eq!(log_of(&*store, counter.namespace(), 4).await.len(), 4);
}

fn of_namespace(namespace: &Namespace) -> ActivationFilter {
    ActivationFilter {
        namespace: Some(namespace.clone()),
        kind: None,
    }
}

pub(crate) async fn namespaces_are_isolated_in_every_read(store: Arc<dyn Store>) {
    // Names that a store which joins or cleans them would mistake for one another; the last one
    // stays empty.
    let names = ["a-b", "a", "b", "a--b", "0"];
    let streams = names.map(|name| stream_of(name, "counter", "b-c"));
    let mut commands = Vec::new();
    for (count, stream) in (1..5).zip(&streams) {
        let fence = activate(&*store, stream).await;
        let part = decided(stream, fence, 0, increments(count));
        commands.push(part.command.clone().unwrap().command_id);
        append(&*store, part).await.unwrap();
    }

    for (count, stream) in (1..5).zip(&streams) {
        let namespace = stream.namespace();
        assert_eq!(version_of(&*store, stream).await, count as u64);
        let events = events_of(&*store, stream).await;
        assert_eq!(events.len(), count);
        assert!(events.iter().all(|event| event.stream == *stream));
        assert_eq!(log_of(&*store, namespace, count).await, events);
        let listed = store
            .list_streams(namespace, stream.decider(), None, 10)
            .await
            .unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].version.get(), count as u64);
        let mut known = 0;
        for &command in &commands {
            known += usize::from(store.command(namespace, command).await.unwrap().is_some());
        }
        assert_eq!(known, 1);
        let active = active_of(&*store, &of_namespace(namespace)).await;
        assert_eq!(active.len(), 1);
        assert_eq!(active[0].key, key(stream));
        let log = log_of_activations(&*store, &key(stream)).await;
        assert_eq!(log, active);
        assert_eq!(log[0].number, ActivationNumber::new(1));
    }

    let empty = &streams[4];
    let (namespace, decider) = (empty.namespace(), empty.decider());
    assert_eq!(store.head(empty).await.unwrap(), StreamHead::default());
    assert_eq!(events_of(&*store, empty).await, []);
    let everything = LogFilter::default();
    assert_eq!(
        read_log_until(&*store, namespace, &everything, 10, 0).await,
        []
    );
    assert_eq!(
        store
            .list_streams(namespace, decider, None, 10)
            .await
            .unwrap(),
        []
    );
    assert_eq!(store.command(namespace, commands[0]).await.unwrap(), None);
    assert_eq!(store.active(&key(empty)).await.unwrap(), None);
    assert_eq!(log_of_activations(&*store, &key(empty)).await, []);
    assert_eq!(active_of(&*store, &of_namespace(namespace)).await, []);
}
