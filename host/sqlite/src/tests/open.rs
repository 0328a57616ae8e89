//! Files that are opened: new, old, newer, shared, none at all.

use super::*;

#[tokio::test]
async fn a_file_that_is_opened_again_holds_everything() {
    let file = File::new();
    let store = file.open().await;
    let fence = activate_counter(&store).await;
    let part = decided(&stream("c"), fence, 0, increments(2));
    append(&store, part.clone()).await.unwrap();
    let events = events_of(&store, &stream("c")).await;
    let active = store
        .list_active(&ActivationFilter::default(), None, 10)
        .await
        .unwrap();
    drop(store);

    let store = file.open().await;
    assert_eq!(events_of(&store, &stream("c")).await, events);
    assert_eq!(
        store
            .list_active(&ActivationFilter::default(), None, 10)
            .await
            .unwrap(),
        active
    );
    let command = part.command.unwrap();
    let found = store
        .command(&Namespace::default(), command.command_id)
        .await;
    assert_eq!(found.unwrap(), Some(command));
    let later = grow(&store, &stream("c"), 1).await;
    assert_eq!(later[0].version, version(3));
    assert!(later[0].position > events[1].position);
}

/// Opens the file by the clock on the wall, which tells the lives of the log apart.
async fn open_now(file: &File) -> SqliteStore {
    let opened = SqliteStore::open(file.path(), true, Arc::new(SystemClock)).await;
    opened.unwrap()
}

#[tokio::test]
async fn a_file_that_is_put_back_goes_on_as_another_log() {
    let file = File::new();
    let (store, namespace) = (open_now(&file).await, Namespace::default());
    activate_counter(&store).await;
    let kept = grow(&store, &stream("a"), 5).await;
    store.close().await;
    let copy = std::fs::read(file.path()).unwrap();
    let store = open_now(&file).await;
    let lost = grow(&store, &stream("a"), 10).await;
    store.close().await;
    std::fs::write(file.path(), copy).unwrap();

    let store = open_now(&file).await;
    let mut appended = Vec::new();
    // To none, to fewer than are lost, and to more.
    for more in [0, 3, 10] {
        if more > 0 {
            appended.extend(grow(&store, &stream("b"), more).await);
        }
        for event in &kept {
            let held = store.check_position(&namespace, event.position).await;
            held.unwrap();
        }
        for event in &lost {
            let refused = store.check_position(&namespace, event.position).await;
            let Err(ResumeError::Lost { end, .. }) = refused else {
                panic!("{refused:?}");
            };
            assert_eq!(end, kept[4].position);
            // Whoever goes on all the same misses nothing.
            for after in [end, event.position] {
                let all = LogFilter::default();
                let page = store.read_log(&namespace, after, &all, 100).await.unwrap();
                assert_eq!(page.events, appended);
            }
        }
    }
}

#[tokio::test]
async fn positions_that_were_given_without_a_generation_hold() {
    let file = File::new();
    let (store, namespace) = (open_now(&file).await, Namespace::default());
    activate_counter(&store).await;
    let id = ConsumerId::new(namespace.clone(), "all").unwrap();
    let settings = ConsumerSettings {
        filter: EventFilter::default(),
        lock_timeout: Duration::from_secs(60),
        max_attempts: 3,
        backoff: Duration::ZERO,
        push: None,
    };
    store
        .put_consumer(&id, &settings, Start::Beginning)
        .await
        .unwrap();
    grow(&store, &stream("a"), 3).await;
    let leased = store.lease(&id, 1, 2).await.unwrap();
    // As an older host has left it.
    let forgotten = "DELETE FROM generations WHERE generation > 0";
    file.plain_sql().execute(forgotten, []).unwrap();
    store.close().await;

    let store = open_now(&file).await;
    let old = log_of(&store, &namespace, 3).await;
    for (event, offset) in old.iter().zip(1..) {
        assert_eq!(event.position, Position::new(0, 0, offset));
        store
            .check_position(&namespace, event.position)
            .await
            .unwrap();
    }
    let new = grow(&store, &stream("a"), 1).await.remove(0);
    assert!(new.position.generation() > 0);
    let lost = Position::new(0, 0, 4);
    let refused = store.check_position(&namespace, lost).await;
    assert!(
        matches!(refused, Err(ResumeError::Lost { end, .. }) if end == old[2].position),
        "{refused:?}"
    );
    let through = old[1].position;
    store
        .ack(&id, leased.leases[0].id, through, false)
        .await
        .unwrap();
    let rest = store.lease(&id, 2, 9).await.unwrap();
    assert_eq!(rest.leases[0].events, [old[2].clone(), new]);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let file = File::new();
    std::fs::create_dir_all(file.path().parent().unwrap()).unwrap();
    std::fs::write(file.path(), "no database, for sure. ".repeat(1_000)).unwrap();
    for migrate in [true, false] {
        let error = open(&file.path(), migrate).await.unwrap_err();
        assert!(
            matches!(error, OpenError::Unreachable { .. } | OpenError::Migrate(_)),
            "{error:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_that_open_a_new_file_together_find_one_schema() {
    // What they get in each other's way with at the beginning shows in some files only.
    for _ in 0..10 {
        let file = File::new();
        let stores = futures::future::join_all((0..8).map(|_| file.open())).await;
        activate_counter(&stores[0]).await;
        for store in &stores {
            grow(store, &stream("c"), 1).await;
        }
        assert_eq!(version_of(&stores[7], &stream("c")).await, 8);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hosts_on_one_file_store_each_version_once() {
    let file = File::new();
    let hosts = [Arc::new(file.open().await), Arc::new(file.open().await)];
    let fence = activate_counter(&*hosts[0]).await;
    for round in 0..10 {
        let writers = hosts.iter().cycle().take(6).map(|host| {
            let host = Arc::clone(host);
            let part = decided(&stream("c"), fence, round, increments(1));
            tokio::spawn(async move { append(&*host, part).await })
        });
        let outcomes = futures::future::join_all(writers).await;
        let winners = outcomes
            .iter()
            .filter(|outcome| outcome.as_ref().unwrap().is_ok());
        assert_eq!(winners.count(), 1, "{outcomes:?}");
    }
    activate_counter(&*hosts[1]).await;
    let error = append(&*hosts[0], decided(&stream("c"), fence, 10, increments(1)))
        .await
        .unwrap_err();
    assert!(matches!(error, AppendError::Fenced { .. }), "{error:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn only_its_owner_may_read_the_database() {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let file = File::new();
    let path = file.path();
    for _ in 0..2 {
        let _store = file.open().await;
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        for suffix in ["", "-wal", "-shm"] {
            let path = std::path::PathBuf::from(format!("{}{suffix}", path.display()));
            assert_eq!(mode(&path), 0o600, "{path:?}");
            // As a release before this one has left it.
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        }
    }
}
