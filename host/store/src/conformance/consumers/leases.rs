//! The leases: the events that each worker gets, and the calls that a lease allows.

use std::sync::Arc;

use super::*;

pub(crate) async fn events_are_leased_in_order_and_acknowledged_once(store: Arc<dyn Store>) {
    let log = fill(&*store, &["a", "b"], 3).await;
    let id = create(&*store, "all", &settings()).await;
    let leases = lease(&*store, &id, 16, 100).await;
    let streams: Vec<_> = leases.iter().map(|lease| lease.stream.clone()).collect();
    assert_eq!(streams, [stream("a"), stream("b")], "the older one first");
    let events: Vec<_> = leases.iter().flat_map(|lease| &lease.events).collect();
    assert!(events.into_iter().eq(&log), "with all that belongs to them");
    assert!(leases.iter().all(|lease| lease.attempt == 1));
    assert_nothing(&*store, &id).await;

    done(&*store, &id, &leases[0]).await;
    assert_lost(
        store
            .ack(&id, leases[0].id, last_of(&leases[0]), false)
            .await,
    );
    grow(&*store, &stream("a"), 1).await;
    let next = lease_one(&*store, &id).await;
    assert_eq!((next.stream.id(), versions(&next)), ("a", vec![4]));
}

pub(crate) async fn what_is_appended_to_a_leased_stream_waits_for_its_lease(store: Arc<dyn Store>) {
    fill(&*store, &["a"], 2).await;
    let id = create(&*store, "all", &settings()).await;
    let first = lease_one(&*store, &id).await;
    grow(&*store, &stream("a"), 2).await;
    log_of(&*store, &Namespace::default(), 4).await;
    assert_nothing(&*store, &id).await;
    done(&*store, &id, &first).await;
    assert_eq!(versions(&lease_one(&*store, &id).await), [3, 4]);
}

pub(crate) async fn a_lease_that_was_taken_over_is_lost(store: Arc<dyn Store>) {
    fill(&*store, &["a"], 3).await;
    let id = create(&*store, "all", &hasty()).await;
    let late = lease_one(&*store, &id).await;
    // Expired, and nobody has taken over.
    store.extend(&id, late.id).await.unwrap();
    let mut known = late;
    for attempt in 2..=3 {
        let taken = lease_one(&*store, &id).await;
        assert_eq!((taken.attempt, &taken.events), (attempt, &known.events));
        assert_lost(store.ack(&id, known.id, last_of(&known), false).await);
        assert_lost(store.nack(&id, known.id, None, "late").await);
        assert_lost(store.extend(&id, known.id).await);
        known = taken;
    }
    done(&*store, &id, &known).await;
    assert_nothing(&*store, &id).await;
}

pub(crate) async fn a_lease_is_good_for_its_consumer_alone(store: Arc<dyn Store>) {
    fill(&*store, &["a"], 1).await;
    let id = create(&*store, "one", &settings()).await;
    let other = create(&*store, "other", &settings()).await;
    let held = lease_one(&*store, &id).await;
    assert_lost(store.ack(&other, held.id, last_of(&held), false).await);
    assert_lost(store.extend(&id, uuid::Uuid::now_v7()).await);
    done(&*store, &id, &held).await;
    assert_eq!(lease_one(&*store, &other).await.events, held.events);
}

pub(crate) async fn only_what_is_leased_can_be_acknowledged(store: Arc<dyn Store>) {
    let log = fill(&*store, &["a", "b"], 4).await;
    let id = create(&*store, "all", &settings()).await;
    let held = lease(&*store, &id, 1, 2).await.remove(0);
    assert_eq!(versions(&held), [1, 2]);
    let outside = [
        Position::BEGINNING,
        log[2].position,
        log[4].position,
        Position::new(u64::MAX, 1, 1),
    ];
    for through in outside {
        let refused = store.ack(&id, held.id, through, false).await;
        assert!(
            matches!(refused, Err(ConsumerError::NotLeased { through: named }) if named == through),
            "{refused:?}"
        );
    }
    done(&*store, &id, &held).await;
}

pub(crate) async fn a_lease_can_be_acknowledged_piece_by_piece(store: Arc<dyn Store>) {
    let log = fill(&*store, &["a"], 5).await;
    let id = create(&*store, "all", &settings()).await;
    let held = lease(&*store, &id, 1, 4).await.remove(0);
    let until = store
        .ack(&id, held.id, log[1].position, true)
        .await
        .unwrap();
    assert!(until.is_some());
    assert_nothing(&*store, &id).await;
    assert_eq!(report(&*store, &id).await.lag_events, 3);
    let again = store.ack(&id, held.id, log[0].position, true).await;
    assert!(
        matches!(again, Err(ConsumerError::NotLeased { .. })),
        "{again:?}"
    );

    assert_eq!(
        store
            .ack(&id, held.id, log[2].position, false)
            .await
            .unwrap(),
        None
    );
    let rest = lease_one(&*store, &id).await;
    assert_eq!((versions(&rest), rest.attempt), (vec![4, 5], 1));
    // There is nothing left to be kept.
    assert_eq!(
        store.ack(&id, rest.id, last_of(&rest), true).await.unwrap(),
        None
    );
    assert_nothing(&*store, &id).await;
}

pub(crate) async fn max_events_are_shared_out(store: Arc<dyn Store>) {
    fill(&*store, &["a", "b", "c", "d"], 10).await;
    let id = create(&*store, "all", &settings()).await;
    let leases = lease(&*store, &id, 3, 12).await;
    let counts: Vec<_> = leases.iter().map(|lease| lease.events.len()).collect();
    assert_eq!(counts, [4, 4, 4]);
    let one = create(&*store, "one", &settings()).await;
    let leases = lease(&*store, &one, 16, 2).await;
    let counts: Vec<_> = leases.iter().map(|lease| lease.events.len()).collect();
    assert_eq!(counts, [1, 1]);
}

pub(crate) async fn a_stream_that_keeps_growing_does_not_starve_the_others(store: Arc<dyn Store>) {
    fill(&*store, &["busy", "quiet"], 1).await;
    let id = create(&*store, "all", &settings()).await;
    let busy = lease(&*store, &id, 1, 1).await.remove(0);
    assert_eq!(busy.stream, stream("busy"));
    for _ in 0..3 {
        grow(&*store, &stream("busy"), 5).await;
    }
    log_of(&*store, &Namespace::default(), 17).await;
    done(&*store, &id, &busy).await;
    let next = lease(&*store, &id, 1, 1).await.remove(0);
    assert_eq!(next.stream, stream("quiet"), "its event is older");
}

pub(crate) async fn deciders_that_share_an_id_are_leased_apart(store: Arc<dyn Store>) {
    let account = stream_of("default", "account", "x");
    activate_counter(&*store).await;
    activate(&*store, &account).await;
    for stream in [&stream("x"), &account, &stream("x")] {
        grow(&*store, stream, 1).await;
    }
    log_of(&*store, &Namespace::default(), 3).await;
    let id = create(&*store, "all", &settings()).await;
    let leases = lease(&*store, &id, 2, 100).await;
    assert_eq!(leases.len(), 2);
    done(&*store, &id, &leases[1]).await;
    assert_eq!(
        report(&*store, &id).await.lag_events,
        2,
        "only of one was anything done"
    );
}

pub(crate) async fn what_is_leased_at_once_is_bounded_in_bytes(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    let ids = ["a", "b", "c"];
    for id in ids {
        grow_by(&*store, &stream(id), &SIZES).await;
    }
    let count = ids.len() * SIZES.len();
    log_of(&*store, &Namespace::default(), count).await;
    let id = create(&*store, "all", &settings()).await;
    let mut versions: Vec<_> = ids.map(|id| (stream(id), 0)).into();
    while versions
        .iter()
        .any(|(_, version)| *version < SIZES.len() as u64)
    {
        let leases = lease(&*store, &id, 16, 1_000).await;
        let events: Vec<_> = leases
            .iter()
            .flat_map(|lease| lease.events.clone())
            .collect();
        assert_fits(&events);
        for event in events {
            let known = versions
                .iter_mut()
                .find(|(stream, _)| *stream == event.stream);
            let (_, version) = known.unwrap();
            *version += 1;
            assert_eq!(event.version.get(), *version);
        }
        for lease in leases {
            done(&*store, &id, &lease).await;
        }
    }
    assert_nothing(&*store, &id).await;
}
