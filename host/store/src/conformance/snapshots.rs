//! Snapshots: shortcuts that change no answer.

use std::sync::Arc;

use gavel_model::{ModuleDigest, StreamId};

use super::support::*;
use crate::{History, Loaded, Snapshot, SnapshotPlace, Store};

fn module_a() -> ModuleDigest {
    ModuleDigest::of(b"a")
}

fn snapshot(of: &StreamId, at: u64, state: &str) -> Snapshot {
    Snapshot {
        stream: of.clone(),
        module: module_a(),
        version: version(at),
        state: json(state),
    }
}

async fn load(store: &dyn Store, of: &StreamId, limit: u32) -> Loaded {
    store.load(of, module_a(), limit).await.unwrap()
}

pub(crate) async fn a_load_is_the_snapshot_and_what_follows_it(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    let long = stream("long");
    let events = grow(&*store, &long, 7).await;
    grow(&*store, &stream("other"), 3).await;
    for at in [0, 1, 4, 7] {
        let kept = (at > 0).then(|| snapshot(&long, at, r#"{"n":[1,"é"]}"#));
        store
            .put_snapshots(kept.clone().into_iter().collect())
            .await
            .unwrap();
        let after = usize::try_from(at).unwrap();
        for limit in [0, 1, 3, 100] {
            let loaded = load(&*store, &long, limit).await;
            assert_eq!(loaded.snapshot, kept);
            let most = usize::try_from(limit).unwrap();
            let expected: Vec<_> = events[after..].iter().take(most).cloned().collect();
            let expected = History {
                has_more: loaded.history.has_more,
                ..History::from(expected)
            };
            assert_eq!(loaded.history, expected, "{limit} after {at}");
            assert!(loaded.history.has_more || after + most >= events.len());
        }
    }
    let more = grow(&*store, &long, 1).await;
    let loaded = load(&*store, &long, 9).await;
    assert_eq!(loaded.history, History::from(more));
}

pub(crate) async fn a_stream_without_events_loads_as_nothing(store: Arc<dyn Store>) {
    let empty = stream("empty");
    let nothing = Loaded {
        snapshot: None,
        history: History::default(),
    };
    assert_eq!(load(&*store, &empty, 10).await, nothing);
    store.put_snapshots(Vec::new()).await.unwrap();
    let beyond = [snapshot(&empty, 0, "{}"), snapshot(&empty, 1, "{}")];
    store.put_snapshots(beyond.to_vec()).await.unwrap();
    assert_eq!(load(&*store, &empty, 10).await, nothing);
}

pub(crate) async fn a_snapshot_never_gives_way_to_an_older_one(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    let (a, b) = (stream("a"), stream("b"));
    for stream in [&a, &b] {
        grow(&*store, stream, 5).await;
    }
    // Within one call and across calls.
    let together = vec![
        snapshot(&a, 2, "2"),
        snapshot(&b, 1, "1"),
        snapshot(&a, 3, "3"),
        snapshot(&a, 1, "1"),
    ];
    store.put_snapshots(together).await.unwrap();
    for (at, kept) in [(2, 3), (3, 3), (4, 4)] {
        let state = format!("{at}");
        store
            .put_snapshots(vec![snapshot(&a, at, &state)])
            .await
            .unwrap();
        let loaded = load(&*store, &a, 10).await;
        assert_eq!(loaded.snapshot, Some(snapshot(&a, kept, &kept.to_string())));
        assert_eq!(loaded.history.events.len() as u64, 5 - kept);
    }
    assert_eq!(
        load(&*store, &b, 10).await.snapshot,
        Some(snapshot(&b, 1, "1"))
    );
}

pub(crate) async fn a_snapshot_is_of_one_module_and_one_stream(store: Arc<dyn Store>) {
    let streams = [
        stream("c"),
        stream_of("other", "counter", "c"),
        stream_of("default", "meter", "c"),
        stream("d"),
    ];
    for stream in &streams {
        activate(&*store, stream).await;
        grow(&*store, stream, 2).await;
    }
    store
        .put_snapshots(vec![snapshot(&streams[0], 1, "{}")])
        .await
        .unwrap();
    for stream in &streams[1..] {
        assert_eq!(load(&*store, stream, 10).await.snapshot, None);
    }
    let of_another = store
        .load(&streams[0], ModuleDigest::of(b"b"), 10)
        .await
        .unwrap();
    assert_eq!(
        (of_another.snapshot, of_another.history.events.len()),
        (None, 2)
    );
}

pub(crate) async fn a_snapshot_beyond_the_head_is_ignored_until_the_stream_is_there(
    store: Arc<dyn Store>,
) {
    activate_counter(&*store).await;
    let c = stream("c");
    grow(&*store, &c, 2).await;
    let beyond = snapshot(&c, 3, "{}");
    store.put_snapshots(vec![beyond.clone()]).await.unwrap();
    let loaded = load(&*store, &c, 10).await;
    assert_eq!((loaded.snapshot, loaded.history.events.len()), (None, 2));
    grow(&*store, &c, 2).await;
    let loaded = load(&*store, &c, 10).await;
    assert_eq!(
        (loaded.snapshot, loaded.history.events.len()),
        (Some(beyond), 1)
    );
}

pub(crate) async fn snapshots_of_modules_that_are_not_kept_are_forgotten_in_steps(
    store: Arc<dyn Store>,
) {
    let modules = [b"a", b"b", b"c"].map(|bytes| ModuleDigest::of(bytes));
    let neighbours = [
        stream_of("other", "counter", "s-2"),
        stream_of("default", "meter", "s-2"),
    ];
    let own: Vec<_> = (0..5)
        .map(|number| stream(&format!("s-{number}")))
        .collect();
    let all: Vec<_> = own.iter().chain(&neighbours).collect();
    for stream in &all {
        activate(&*store, stream).await;
        grow(&*store, stream, 2).await;
        let snapshots = modules.map(|module| Snapshot {
            module,
            ..snapshot(stream, 1, "{}")
        });
        store.put_snapshots(snapshots.to_vec()).await.unwrap();
    }
    let (mut after, mut steps) = (SnapshotPlace::default(), 0);
    let (namespace, decider) = (own[0].namespace(), own[0].decider());
    while let Some(last) = store
        .forget_snapshots(namespace, decider, &modules[1..2], &after, 4)
        .await
        .unwrap()
    {
        assert!(last > after, "{last:?} comes after {after:?}");
        (after, steps) = (last, steps + 1);
    }
    // Of fifteen.
    assert_eq!(steps, 4);
    for stream in all {
        for module in modules {
            let loaded = store.load(stream, module, 1).await.unwrap();
            let is_kept = module == modules[1] || neighbours.contains(stream);
            assert_eq!(loaded.snapshot.is_some(), is_kept, "{stream:?} {module}");
        }
    }
}
