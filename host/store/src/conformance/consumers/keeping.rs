//! The creation, change, inspection and removal of consumers.

use std::collections::HashSet;
use std::sync::Arc;

use super::*;

pub(crate) async fn a_consumer_begins_where_it_is_told(store: Arc<dyn Store>) {
    let log = fill(&*store, &["a", "b", "c"], 2).await;
    let starts = [
        ("beginning", Start::Beginning),
        ("now", Start::Now),
        ("after", Start::After(log[2].position)),
        ("since", Start::Since(log[3].created_at)),
    ];
    for (name, start) in starts {
        let is_new = store
            .put_consumer(&consumer(name), &settings(), start)
            .await;
        assert!(is_new.unwrap());
    }
    let later = grow(&*store, &stream("c"), 1).await;
    let log = log_of(&*store, &Namespace::default(), 7).await;
    for (name, start) in starts {
        let wanted: HashSet<_> = match start {
            Start::Beginning => log.iter().map(|event| event.event.event_id).collect(),
            Start::Now => later.iter().map(|event| event.event.event_id).collect(),
            Start::After(position) => {
                let after = log.iter().filter(|event| event.position > position);
                after.map(|event| event.event.event_id).collect()
            }
            Start::Since(time) => {
                let since = log.iter().filter(|event| event.created_at >= time);
                since.map(|event| event.event.event_id).collect()
            }
        };
        let leased = drain(&*store, &consumer(name), wanted.len()).await;
        let leased: HashSet<_> = leased.iter().map(|event| event.event.event_id).collect();
        // What was committed just before may still come, for a store shows some events late.
        assert!(leased.is_superset(&wanted), "{name}");
        if start != Start::Now {
            assert_eq!(leased, wanted, "{name}");
        }
    }
}

pub(crate) async fn a_consumer_leaves_behind_what_it_does_not_want(store: Arc<dyn Store>) {
    let log = fill(&*store, &["a"], 4).await;
    let (second, third) = (log[1].position, log[2].position);
    let narrow = ConsumerSettings {
        filter: of_events(&["Other"]),
        ..settings()
    };
    let beginning = Position::BEGINNING;
    // By other settings, from further on than it is, or to where it has been: nothing changes.
    let cases = [
        ("other", &narrow, beginning, third, 4),
        ("ahead", &settings(), second, third, 4),
        ("passed", &settings(), beginning, third, 1),
    ];
    for (name, known, from, to, left) in cases {
        let id = create(&*store, name, &settings()).await;
        store.pass_over(&id, known, from, to).await.unwrap();
        store
            .pass_over(&id, &settings(), beginning, beginning)
            .await
            .unwrap();
        let leased = drain(&*store, &id, left).await;
        assert_eq!(leased, log[4 - left..], "{name}");
        let (_, cursor) = store.consumer_cursor(&id).await.unwrap();
        store
            .pass_over(&id, &settings(), beginning, second)
            .await
            .unwrap();
        assert_eq!(
            store.consumer_cursor(&id).await.unwrap().1,
            cursor,
            "{name}"
        );
    }
    let gone = consumer("gone");
    store
        .pass_over(&gone, &settings(), beginning, third)
        .await
        .unwrap();
}

pub(crate) async fn changing_a_consumer_moves_no_checkpoint(store: Arc<dyn Store>) {
    fill(&*store, &["a", "b"], 2).await;
    let id = create(&*store, "all", &settings()).await;
    let leases = lease(&*store, &id, 16, 100).await;
    done(&*store, &id, &leases[0]).await;
    let changed = ConsumerSettings {
        max_attempts: 9,
        filter: EventFilter {
            deciders: vec!["counter".to_owned()],
            events: Vec::new(),
            tags: vec!["b".to_owned(), "a".to_owned()],
        },
        ..hasty()
    };
    for start in [Start::Now, Start::Beginning] {
        let is_new = store.put_consumer(&id, &changed, start).await.unwrap();
        assert!(!is_new);
    }
    assert_eq!(report(&*store, &id).await.settings, changed);
    done(&*store, &id, &leases[1]).await;
    assert_nothing(&*store, &id).await;
    assert_eq!(report(&*store, &id).await.lag_events, 0);
}

pub(crate) async fn only_wanted_events_are_leased(store: Arc<dyn Store>) {
    let account = stream_of("default", "account", "a");
    activate_counter(&*store).await;
    activate(&*store, &account).await;
    for stream in [&stream("a"), &account] {
        let events = ["Incremented", "Reset", "Incremented", "Closed"]
            .map(event)
            .to_vec();
        let part = import(stream, gavel_model::ExpectedVersion::Any, events);
        append(&*store, part).await.unwrap();
    }
    log_of(&*store, &Namespace::default(), 8).await;
    let filtered = ConsumerSettings {
        filter: EventFilter {
            deciders: vec!["counter".to_owned(), "nobody".to_owned()],
            ..of_events(&["Incremented", "Closed"])
        },
        ..settings()
    };
    let id = create(&*store, "some", &filtered).await;
    assert_eq!(report(&*store, &id).await.lag_events, 3);
    let held = lease(&*store, &id, 16, 2).await.remove(0);
    assert_eq!(
        (held.stream.decider().as_str(), versions(&held)),
        ("counter", vec![1, 3])
    );
    let between = store
        .ack(&id, held.id, held.events[0].position, true)
        .await
        .unwrap();
    assert!(between.is_some());

    // What was handed out is looked at with new eyes.
    let narrower = ConsumerSettings {
        filter: of_events(&["Nothing"]),
        ..filtered
    };
    store
        .put_consumer(&id, &narrower, Start::Now)
        .await
        .unwrap();
    store.nack(&id, held.id, None, "no").await.unwrap();
    let clearing = async {
        while report(&*store, &id).await.lag_events > 0 {
            assert_nothing(&*store, &id).await;
        }
    };
    tokio::time::timeout(DEADLINE, clearing).await.unwrap();
}

pub(crate) async fn a_consumer_is_leased_events_that_have_all_of_its_tags(store: Arc<dyn Store>) {
    activate_counter(&*store).await;
    let tagged = |tags: &[&str]| NewEvent {
        tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
        ..event("Incremented")
    };
    let of_a = [
        tagged(&["x", "y"]),
        tagged(&["x"]),
        tagged(&["z", "y", "x"]),
    ];
    for (id, events) in [("a", of_a.to_vec()), ("b", vec![tagged(&[])])] {
        let part = import(&stream(id), gavel_model::ExpectedVersion::NoStream, events);
        append(&*store, part).await.unwrap();
    }
    log_of(&*store, &Namespace::default(), 4).await;
    let wants = |tags: &[&str]| ConsumerSettings {
        filter: EventFilter {
            tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
            ..EventFilter::default()
        },
        ..settings()
    };
    let id = create(&*store, "some", &wants(&["y", "x"])).await;
    assert_eq!(report(&*store, &id).await.settings, wants(&["y", "x"]));
    assert_eq!(report(&*store, &id).await.lag_events, 2);
    let held = lease_one(&*store, &id).await;
    assert_eq!((held.stream.id(), versions(&held)), ("a", vec![1, 3]));
    let first = held.events[0].position;
    store.ack(&id, held.id, first, false).await.unwrap();
    assert_eq!(report(&*store, &id).await.lag_events, 1);
    assert_eq!(versions(&lease_one(&*store, &id).await), [3]);

    // Whoever wants others leaves behind what it does not want, and not what others want.
    let other = create(&*store, "none", &wants(&["X"])).await;
    assert_nothing(&*store, &other).await;
    let end = log_of(&*store, &Namespace::default(), 4).await[3].position;
    let moved = create(&*store, "moved", &wants(&["z"])).await;
    store
        .pass_over(&moved, &wants(&["q"]), Position::BEGINNING, end)
        .await
        .unwrap();
    assert_eq!(versions(&lease_one(&*store, &moved).await), [3]);
}

pub(crate) async fn a_paused_consumer_leases_nothing(store: Arc<dyn Store>) {
    fill(&*store, &["a", "b"], 1).await;
    let id = create(&*store, "all", &settings()).await;
    let held = lease(&*store, &id, 1, 1).await.remove(0);
    store.pause_consumer(&id, true).await.unwrap();
    assert!(report(&*store, &id).await.is_paused);
    assert_nothing(&*store, &id).await;
    done(&*store, &id, &held).await;
    store.pause_consumer(&id, false).await.unwrap();
    assert_eq!(lease_one(&*store, &id).await.stream, stream("b"));
}

pub(crate) async fn a_consumer_that_a_host_pauses_says_why(store: Arc<dyn Store>) {
    fill(&*store, &["a"], 1).await;
    let pushed = |url: &str| ConsumerSettings {
        push: Some(Push {
            url: url.to_owned(),
            secret: None,
        }),
        ..settings()
    };
    let [old, new] = ["http://old.example/", "http://new.example/"].map(pushed);
    let id = create(&*store, "all", &old).await;
    let told = async || {
        let report = report(&*store, &id).await;
        (report.is_paused, report.paused_reason)
    };
    // Its receiver is another one by now.
    store.put_consumer(&id, &new, Start::Now).await.unwrap();
    let pause = async |of, reason| store.pause_for(&id, of, reason).await.unwrap();
    let unserved = settings();
    for other in [&old, &unserved] {
        assert!(!pause(other, "other").await);
        assert_eq!(told().await, (false, None));
    }

    assert!(pause(&new, "new").await);
    assert_eq!(told().await, (true, Some("new".to_owned())));
    assert_nothing(&*store, &id).await;
    store.pause_consumer(&id, false).await.unwrap();
    assert_eq!(told().await, (false, None));
    // Somebody has paused it for a reason of their own.
    store.pause_consumer(&id, true).await.unwrap();
    assert!(!pause(&new, "new").await);
    assert_eq!(told().await, (true, None));
    let gone = consumer("gone");
    assert!(!store.pause_for(&gone, &new, "new").await.unwrap());
}

pub(crate) async fn a_reset_loses_all_leases_and_begins_anew(store: Arc<dyn Store>) {
    let log = fill(&*store, &["a", "b"], 2).await;
    let once = ConsumerSettings {
        max_attempts: 1,
        ..settings()
    };
    let id = create(&*store, "all", &once).await;
    let leases = lease(&*store, &id, 2, 100).await;
    store.nack(&id, leases[1].id, None, "no").await.unwrap();
    store.reset_consumer(&id, Start::Beginning).await.unwrap();
    assert_lost(
        store
            .ack(&id, leases[0].id, last_of(&leases[0]), false)
            .await,
    );
    assert_eq!(report(&*store, &id).await.parked, 0);
    // The same events are leased anew, and who had them before changes nothing of that.
    let again = lease(&*store, &id, 2, 100).await;
    for (late, current) in leases.iter().zip(&again) {
        assert_eq!(late.events, current.events);
        let through = last_of(late);
        assert_lost(store.ack(&id, late.id, through, false).await);
        assert_lost(store.nack(&id, late.id, None, "late").await);
        assert_lost(store.extend(&id, late.id).await);
        assert_lost(store.release(&id, late.id, Duration::ZERO).await);
        done(&*store, &id, current).await;
    }
    assert_nothing(&*store, &id).await;
    store
        .reset_consumer(&id, Start::After(log[2].position))
        .await
        .unwrap();
    assert_eq!(drain(&*store, &id, 1).await, [log[3].clone()]);
}

pub(crate) async fn a_namespace_has_room_for_so_many_consumers(store: Arc<dyn Store>) {
    let elsewhere = ConsumerId::new(Namespace::new("elsewhere").unwrap(), "c").unwrap();
    for id in [consumer("a"), consumer("b"), elsewhere] {
        store
            .put_consumer(&id, &settings(), Start::Now)
            .await
            .unwrap();
    }
    for (name, most, has_room) in [
        ("c", 3, true),
        ("c", 2, false),
        ("a", 2, true),
        ("a", 1, true),
    ] {
        let found = store.has_room(&consumer(name), most).await.unwrap();
        assert_eq!(found, has_room, "{name} of {most}");
    }
}

pub(crate) async fn a_deleted_consumer_is_unknown(store: Arc<dyn Store>) {
    fill(&*store, &["a"], 1).await;
    let id = create(&*store, "gone", &settings()).await;
    let held = lease_one(&*store, &id).await;
    store.delete_consumer(&id).await.unwrap();
    let answers = [
        store.consumer(&id, 1_000).await.err(),
        store.delete_consumer(&id).await.err(),
        store.pause_consumer(&id, true).await.err(),
        store.reset_consumer(&id, Start::Now).await.err(),
        store.lease(&id, 1, 1).await.err(),
        store.ack(&id, held.id, last_of(&held), false).await.err(),
        store.nack(&id, held.id, None, "").await.err(),
        store.extend(&id, held.id).await.err(),
        store.list_parked(&id, None, 1).await.err(),
        store.unpark(&id, &stream("a"), Unpark::Retry).await.err(),
    ];
    for answer in answers {
        assert!(
            matches!(answer, Some(ConsumerError::NotFound)),
            "{answer:?}"
        );
    }
    let id = create(&*store, "gone", &settings()).await;
    assert_eq!(
        lease_one(&*store, &id).await.events,
        held.events,
        "from the start"
    );
}

pub(crate) async fn consumers_of_a_namespace_see_its_events_alone(store: Arc<dyn Store>) {
    let names = ["default", "a-b", "a"];
    for name in names {
        let stream = stream_of(name, "counter", "same");
        activate(&*store, &stream).await;
        grow(&*store, &stream, 2).await;
    }
    for name in names {
        log_of(&*store, &namespace(name), 2).await;
        let id = ConsumerId::new(namespace(name), "same").unwrap();
        store
            .put_consumer(&id, &settings(), Start::Beginning)
            .await
            .unwrap();
        assert_eq!(report(&*store, &id).await.lag_events, 2);
        let held = lease_one(&*store, &id).await;
        assert_eq!(held.stream, stream_of(name, "counter", "same"));
        let listed = listed(&*store, Some(&namespace(name))).await;
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].id, id);
    }
    let all = listed(&*store, None).await;
    let listed: Vec<_> = all.iter().map(|one| one.id.namespace().as_str()).collect();
    assert_eq!(listed, ["a", "a-b", "default"]);
}

/// All consumers, page by page.
async fn listed(store: &dyn Store, namespace: Option<&Namespace>) -> Vec<Consumer> {
    let mut all: Vec<Consumer> = Vec::new();
    loop {
        let after = all.last().map(|last| &last.id);
        let page = store.list_consumers(namespace, after, 2, 1_000);
        let page = page.await.unwrap();
        assert!(page.items.len() <= 2);
        all.extend(page.items);
        if !page.has_more {
            return all;
        }
    }
}

pub(crate) async fn consumers_are_listed_in_pages(store: Arc<dyn Store>) {
    let wide = ConsumerSettings {
        filter: of_events(&[&"x".repeat(PAGE_BYTES / 2)]),
        ..settings()
    };
    let names = ["a", "b", "c", "d", "e"];
    for name in names {
        let is_wide = ["b", "d", "e"].contains(&name);
        let settings = if is_wide { wide.clone() } else { settings() };
        store
            .put_consumer(&consumer(name), &settings, Start::Now)
            .await
            .unwrap();
    }
    let home = Namespace::default();
    for (after, limit, found, more) in [
        (None, 1, vec!["a"], true),
        (None, 100, vec!["a", "b", "c"], true),
        (Some("a"), 2, vec!["b", "c"], true),
        (Some("c"), 100, vec!["d"], true),
        (Some("d"), 1, vec!["e"], false),
        // Whether there is one of this name or not.
        (Some("dd"), 100, vec!["e"], false),
        (Some("e"), 100, vec![], false),
    ] {
        let after = after.map(consumer);
        let page = store.list_consumers(Some(&home), after.as_ref(), limit, 10);
        let page = page.await.unwrap();
        let names: Vec<_> = page.items.iter().map(|one| one.id.name()).collect();
        assert_eq!(
            (names, page.has_more),
            (found, more),
            "{limit} after {after:?}"
        );
    }
    let all = listed(&*store, None).await;
    let all: Vec<_> = all.iter().map(|one| one.id.name()).collect();
    assert_eq!(all, names);
}

pub(crate) async fn a_consumer_says_how_far_it_has_come(store: Arc<dyn Store>) {
    fill(&*store, &["a", "b"], 3).await;
    let id = create(&*store, "all", &settings()).await;
    let fresh = report(&*store, &id).await;
    assert_eq!((fresh.lag_events, fresh.in_flight, fresh.parked), (6, 0, 0));
    // By a clock that was set back, the oldest event has no age yet.
    let mut lag = fresh.lag;
    for _ in 0..5 {
        lag = lag.max(report(&*store, &id).await.lag);
    }
    assert!(lag > Duration::ZERO);
    let glance = store.consumer(&id, 2).await.unwrap();
    assert_eq!(glance.lag_events, 2, "nobody has looked further");
    let held = lease(&*store, &id, 1, 2).await.remove(0);
    let working = report(&*store, &id).await;
    assert_eq!((working.lag_events, working.in_flight), (6, 1));
    done(&*store, &id, &held).await;
    let later = report(&*store, &id).await;
    assert_eq!((later.lag_events, later.in_flight), (4, 0));
    drain(&*store, &id, 4).await;
    let idle = report(&*store, &id).await;
    assert_eq!((idle.lag_events, idle.lag), (0, Duration::ZERO));
}
