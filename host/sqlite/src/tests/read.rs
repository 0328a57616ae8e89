//! Reads that meet damaged rows, and the order they come in.

use super::*;

#[tokio::test]
async fn a_snapshot_that_is_no_json_is_ignored() {
    let file = File::new();
    let store = file.open().await;
    activate_counter(&store).await;
    grow(&store, &stream("c"), 3).await;
    let module = ModuleDigest::of(b"module");
    let insert = "INSERT INTO snapshots VALUES ('default', 'counter', 'c', ?1, 2, '{', 0)";
    file.plain_sql()
        .execute(insert, [module.to_string()])
        .unwrap();
    let loaded = store.load(&stream("c"), module, 10).await.unwrap();
    assert_eq!((loaded.snapshot, loaded.history.events.len()), (None, 3));
}

#[tokio::test]
async fn a_malformed_event_is_reported_and_hides_no_other() {
    let file = File::new();
    let store = file.open().await;
    activate_counter(&store).await;
    grow(&store, &stream("good"), 2).await;
    let damaged = grow(&store, &stream("bad"), 1).await.remove(0);
    let after = grow(&store, &stream("good"), 1).await;
    let sql = file.plain_sql();
    for statement in [
        "PRAGMA ignore_check_constraints = ON",
        "DROP TRIGGER events_are_never_updated",
        "UPDATE events SET data = '{\"by\":' WHERE decider_id = 'bad'",
    ] {
        sql.execute_batch(statement).unwrap();
    }
    let assert_reported = |error: Error| match error {
        Error::Malformed {
            stream,
            position,
            raw,
            ..
        } => {
            assert_eq!(stream, "default/counter/bad");
            assert_eq!((position, raw.as_str()), (damaged.position, "{\"by\":"));
        }
        other => panic!("{other:?}"),
    };

    assert_reported(store.read_stream(&stream("bad"), WHOLE).await.unwrap_err());
    let folding = store.history(&stream("bad"), version(0), None, 10).await;
    assert_reported(folding.unwrap_err());
    let module = ModuleDigest::of(b"module");
    assert_reported(store.load(&stream("bad"), module, 10).await.unwrap_err());
    let everything = PastRange {
        namespace: Namespace::default(),
        decider: decider("counter"),
        streams: None,
        through: None,
        eventless_since: None,
    };
    let past = store.segments(&everything, &Place::default(), 10).await;
    assert_reported(past.unwrap_err());
    let found = store.event(&everything.namespace, damaged.event.event_id);
    assert_reported(found.await.unwrap_err());
    assert_eq!(events_of(&store, &stream("good")).await.len(), 3);
    let (namespace, all) = (Namespace::default(), LogFilter::default());
    let before = store
        .read_log(&namespace, Position::BEGINNING, &all, 10)
        .await
        .unwrap();
    assert_eq!((before.events.len(), before.caught_up), (2, false));
    assert_reported(
        store
            .read_log(&namespace, before.next, &all, 10)
            .await
            .unwrap_err(),
    );
    let resumed = store
        .read_log(&namespace, damaged.position, &all, 10)
        .await
        .unwrap();
    assert_eq!(resumed.events, after);
    // The head is whole, so that the stream can go on once a module can read it.
    grow(&store, &stream("bad"), 1).await;
}

#[tokio::test]
async fn the_past_is_read_in_the_order_of_an_index() {
    let file = File::new();
    let store = file.open().await;
    let range = |of| format!("namespace=? AND decider=? AND {of}");
    for (statement, of) in [
        (past::PASSAGES, "(decider_id,version)>(?,?)"),
        (past::PASSAGES_OF_STREAM, "decider_id=? AND version>?"),
        (past::EVENTLESS, "(decider_id,version,command_id)>(?,?,?)"),
        (
            past::EVENTLESS_OF_STREAM,
            "decider_id=? AND (version,command_id)>(?,?)",
        ),
    ] {
        let plan = store.readers.read(move |database| {
            let mut explain = database.prepare(&format!("EXPLAIN QUERY PLAN {statement}"))?;
            let mut steps = explain.raw_query();
            let mut plan = Vec::new();
            while let Some(step) = steps.next()? {
                plan.push(step.get::<_, String>("detail")?);
            }
            Ok(plan)
        });
        let plan = plan.await.unwrap();
        let [only] = plan.as_slice() else {
            panic!("it is sorted: {plan:?}");
        };
        assert!(only.contains(&range(of)), "{only}");
    }
}

#[tokio::test]
async fn what_hardly_anything_passes_is_looked_for_in_parts() {
    let file = File::new();
    let store = file.open().await;
    activate_counter(&store).await;
    grow(&store, &stream("common"), 10_500).await;
    let rare = grow(&store, &stream("rare"), 1).await;
    let filter = LogFilter {
        id_pattern: Some("rare".to_owned()),
        ..LogFilter::default()
    };
    let page = async |after| {
        let namespace = Namespace::default();
        store
            .read_log(&namespace, after, &filter, 10)
            .await
            .unwrap()
    };
    let first = page(Position::BEGINNING).await;
    assert_eq!((first.events.len(), first.caught_up), (0, false));
    let second = page(first.next).await;
    assert_eq!((second.events, second.caught_up), (rare, true));
}

#[tokio::test]
async fn a_malformed_event_parks_its_stream_and_no_other() {
    let file = File::new();
    let store = file.open().await;
    activate_counter(&store).await;
    for id in ["first", "good", "second"] {
        grow(&store, &stream(id), 2).await;
    }
    let sql = file.plain_sql();
    for statement in [
        "PRAGMA ignore_check_constraints = ON",
        "DROP TRIGGER events_are_never_updated",
        "UPDATE events SET data = '{\"by\":' WHERE (decider_id, version) IN (VALUES ('first', 1), ('second', 2))",
    ] {
        sql.execute_batch(statement).unwrap();
    }
    let id = ConsumerId::new(Namespace::default(), "all").unwrap();
    let settings = ConsumerSettings {
        filter: EventFilter::default(),
        lock_timeout: Duration::from_secs(3_600),
        max_attempts: 3,
        backoff: Duration::ZERO,
        push: None,
    };
    let is_new = store.put_consumer(&id, &settings, Start::Beginning).await;
    assert!(is_new.unwrap());

    let mut leased = Vec::new();
    while leased.len() < 2 {
        leased.extend(store.lease(&id, 16, 100).await.unwrap().leases);
    }
    let counts: Vec<_> = leased
        .iter()
        .map(|lease| (lease.stream.id(), lease.events.len()))
        .collect();
    assert_eq!(counts, [("good", 2), ("second", 1)]);
    for lease in &leased {
        let through = lease.events.last().unwrap().position;
        store.ack(&id, lease.id, through, false).await.unwrap();
    }
    let parking = async {
        while store.list_parked(&id, None, 10).await.unwrap().len() < 2 {
            assert_eq!(store.lease(&id, 16, 100).await.unwrap().leases, []);
        }
    };
    tokio::time::timeout(Duration::from_secs(30), parking)
        .await
        .unwrap();
    for (parked, (stream, version)) in store
        .list_parked(&id, None, 10)
        .await
        .unwrap()
        .iter()
        .zip([("first", 1), ("second", 2)])
    {
        assert_eq!(
            (parked.stream.id(), parked.version.get()),
            (stream, version)
        );
        assert!(parked.reason.contains("{\"by\":"), "{}", parked.reason);
        assert!(
            parked.reason.contains(&parked.position.to_string()),
            "{}",
            parked.reason
        );
    }
}
