//! Rehearsals: what is kept of them, and who works on them.

use std::sync::Arc;

use gavel_model::{ModuleDigest, RehearsalId};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::support::*;
use crate::{Beat, REHEARSALS_KEPT, RehearsalRecord, Store};

const NOON: OffsetDateTime = datetime!(2026-02-03 12:00:00.123 UTC);

/// The id of the rehearsal that was made as the `number`th.
fn id(number: u32) -> RehearsalId {
    Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0000 + u128::from(number))
}

/// The rehearsal `number` of `counter` in the default namespace, last seen at noon.
fn under_way(number: u32) -> RehearsalRecord {
    RehearsalRecord {
        id: id(number),
        key: key(&stream("any")),
        digest: ModuleDigest::of(b"candidate"),
        is_over: false,
        seen_at: NOON,
        document: json(r#"{"step":"re-fold"}"#),
    }
}

fn over(number: u32) -> RehearsalRecord {
    RehearsalRecord {
        is_over: true,
        ..under_way(number)
    }
}

async fn put(store: &dyn Store, rehearsal: &RehearsalRecord) -> bool {
    store.put_rehearsal(rehearsal.clone()).await.unwrap()
}

async fn find(store: &dyn Store, rehearsal: &RehearsalRecord) -> Option<RehearsalRecord> {
    let found = store
        .rehearsal(rehearsal.key.namespace(), rehearsal.id)
        .await;
    found.unwrap()
}

/// The ids of the rehearsals of one decider.
async fn listed(store: &dyn Store, of: &RehearsalRecord, limit: u32) -> Vec<RehearsalId> {
    let found = store.rehearsals(&of.key, limit).await;
    let found = found.unwrap().into_iter();
    found.map(|rehearsal| rehearsal.id).collect()
}

pub(crate) async fn a_rehearsal_is_kept_with_every_field(store: Arc<dyn Store>) {
    let first = RehearsalRecord {
        // The bytes are kept, not the value alone.
        document: json(r#"{"b":1.50,"a":[{"é":"\"'"},null,18446744073709551615],"":1e2}"#),
        ..under_way(1)
    };
    assert_eq!(find(&*store, &first).await, None);
    let done = RehearsalRecord {
        is_over: true,
        seen_at: NOON + Duration::milliseconds(4_567),
        document: json(r#"{"z":[],"a":{}}"#),
        ..first.clone()
    };
    for rehearsal in [first, done] {
        assert!(put(&*store, &rehearsal).await);
        let found = find(&*store, &rehearsal).await.unwrap();
        assert_eq!(found.document.as_str(), rehearsal.document.as_str());
        assert_eq!(found, rehearsal);
    }
}

pub(crate) async fn a_rehearsal_that_is_over_stays_over(store: Arc<dyn Store>) {
    let cancelled = RehearsalRecord {
        document: json(r#"{"status":"cancelled"}"#),
        ..over(1)
    };
    assert!(put(&*store, &under_way(1)).await);
    assert!(put(&*store, &cancelled).await);
    assert!(!put(&*store, &under_way(1)).await);
    assert_eq!(find(&*store, &cancelled).await, Some(cancelled));
    // What is over may be told again, in other words.
    assert!(put(&*store, &over(1)).await);
    assert_eq!(find(&*store, &over(1)).await, Some(over(1)));
}

pub(crate) async fn rehearsals_are_listed_newest_first_by_namespace_and_decider(
    store: Arc<dyn Store>,
) {
    for number in [3, 1, 5, 2] {
        let rehearsal = if number == 3 {
            over(number)
        } else {
            under_way(number)
        };
        assert!(put(&*store, &rehearsal).await);
    }
    let of_another_decider = RehearsalRecord {
        key: key(&stream_of("default", "meter", "any")),
        ..under_way(4)
    };
    let elsewhere = RehearsalRecord {
        key: key(&stream_of("other", "counter", "any")),
        ..under_way(1)
    };
    for rehearsal in [&of_another_decider, &elsewhere] {
        assert!(put(&*store, rehearsal).await);
        assert_eq!(listed(&*store, rehearsal, 10).await, [rehearsal.id]);
        assert_eq!(find(&*store, rehearsal).await.as_ref(), Some(rehearsal));
    }
    let nowhere = RehearsalRecord {
        key: key(&stream_of("other", "meter", "any")),
        ..of_another_decider
    };
    assert!(listed(&*store, &nowhere, 10).await.is_empty());
    assert_eq!(find(&*store, &nowhere).await, None);

    let newest_first = [5, 3, 2, 1].map(id);
    for limit in [0, 1, 3, 4, 10] {
        let found = listed(&*store, &under_way(1), limit).await;
        let count = newest_first.len().min(limit as usize);
        assert_eq!(found, newest_first[..count]);
    }
}

/// The newest sign of life there is of one that is not over.
fn beat_of(rehearsal: &RehearsalRecord) -> Beat {
    Beat {
        namespace: rehearsal.key.namespace().clone(),
        id: rehearsal.id,
        seen_at: rehearsal.seen_at,
    }
}

pub(crate) async fn a_rehearsal_that_was_left_alone_is_adopted_once(store: Arc<dyn Store>) {
    let elsewhere = RehearsalRecord {
        key: key(&stream_of("other", "counter", "any")),
        ..under_way(2)
    };
    let watched = RehearsalRecord {
        seen_at: NOON - Duration::HOUR,
        ..under_way(4)
    };
    for rehearsal in [&under_way(3), &elsewhere, &over(1), &watched] {
        assert!(put(&*store, rehearsal).await);
    }
    let unfinished = [elsewhere, under_way(3), watched];
    let found = store.unfinished_rehearsals().await.unwrap();
    assert_eq!(found, unfinished.each_ref().map(beat_of));
    // This host was heard of meanwhile, if with a clock that was set back.
    let watched = RehearsalRecord {
        seen_at: NOON - Duration::DAY,
        ..under_way(4)
    };
    assert!(put(&*store, &watched).await);

    let now = NOON + Duration::MINUTE;
    let of_one_that_is_over = beat_of(&over(1));
    let adopting = (0..4).flat_map(|_| found.iter().chain([&of_one_that_is_over]));
    let adopting = adopting.map(|last| {
        let (store, last) = (Arc::clone(&store), last.clone());
        tokio::spawn(async move { store.adopt_rehearsal(&last, now).await.unwrap() })
    });
    let answers = futures::future::join_all(adopting).await;
    let mut adopted: Vec<_> = answers.into_iter().filter_map(Result::unwrap).collect();
    adopted.sort_by_key(|rehearsal| rehearsal.id);
    let [elsewhere, third, _] = unfinished;
    let expected = [elsewhere, third].map(|rehearsal| RehearsalRecord {
        seen_at: now,
        ..rehearsal
    });
    assert_eq!(adopted, expected);
    for rehearsal in expected.iter().chain([&over(1), &watched]) {
        assert_eq!(find(&*store, rehearsal).await.as_ref(), Some(rehearsal));
    }
}

pub(crate) async fn of_rehearsals_that_are_over_the_newest_are_kept(store: Arc<dyn Store>) {
    let elsewhere = [
        RehearsalRecord {
            key: key(&stream_of("default", "meter", "any")),
            ..over(2)
        },
        RehearsalRecord {
            key: key(&stream_of("other", "counter", "any")),
            ..over(1)
        },
    ];
    for rehearsal in &elsewhere {
        put(&*store, rehearsal).await;
    }
    // The oldest is under way.
    put(&*store, &under_way(10)).await;
    let last = 10 + REHEARSALS_KEPT;
    for number in 11..=last {
        put(&*store, &over(number)).await;
    }
    let all = listed(&*store, &over(0), u32::MAX).await;
    assert_eq!(all.len(), REHEARSALS_KEPT as usize + 1);

    // One more is over, and nothing is new.
    let newest = under_way(last + 1);
    put(&*store, &newest).await;
    put(&*store, &over(last + 1)).await;
    assert_eq!(find(&*store, &over(11)).await, Some(over(11)));
    put(&*store, &under_way(last + 2)).await;

    let kept = listed(&*store, &over(0), u32::MAX).await;
    let expected: Vec<_> = (12..=last + 2).rev().chain([10]).map(id).collect();
    assert_eq!(kept, expected);
    for rehearsal in &elsewhere {
        assert_eq!(find(&*store, rehearsal).await.as_ref(), Some(rehearsal));
    }
}
