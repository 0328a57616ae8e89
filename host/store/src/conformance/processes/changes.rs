//! Changes of instances, tasks and progress, all at once.

use std::sync::Arc;

use futures::future::join_all;
use gavel_model::{Metadata, Order, TaskAction, Version};
use uuid::Uuid;

use super::support::*;
use crate::Store;
use crate::conformance::support::json;
use crate::processes::{
    InstancesChange, Listing, PutInstance, RosterCommitError, StoredInstance, StoredTask, TaskState,
};

pub(crate) async fn instances_tasks_and_progress_change_together(store: Arc<dyn Store>) {
    let mut work = Work::begin(&*store, &process("fulfilment"), "v1").await;
    let tasks = [
        send("b", "c-1"),
        wait("remind", FUTURE),
        send_to("a", "account", "a-1", "[1.5]"),
    ];
    work.list("o-1", &tasks).await;
    let mut change = work.change();
    change.put.push(instance_at("o-1", r#"{"n":2}"#, change.to));
    change.put.push(instance_at("o-2", "7", change.to));
    let listed = work.listed("o-1", send("c", "c-1"));
    change.added.push(listed.clone());
    work.commit(change).await;

    let keys = ["o-2", "o-3", "o-1"].map(key);
    let found = store.instances(work.id, &keys).await.unwrap();
    let all = tasks.iter().chain([&listed.task]);
    let expected = StoredInstance {
        birth: Some(BIRTH),
        state: Some(json(r#"{"n":2}"#)),
        is_parked: false,
        listed: all
            .map(|task| (work.effect("o-1", task), task.clone()))
            .collect(),
    };
    assert_eq!(found[2], expected);
    assert_eq!(found[1], StoredInstance::default());
    assert_eq!(found[0].state, Some(json("7")));
    assert_eq!(found[0].listed, []);

    let roster = work.roster().await;
    assert_eq!(roster.position, at(2));
    assert_eq!((roster.instances, roster.open_tasks), (2, 4));
    let told = store.tasks_of(work.id, &key("o-1")).await.unwrap();
    let newest = told.last().unwrap();
    let expected = StoredTask {
        place: newest.place,
        effect: listed.effect,
        key: listed.key,
        birth: BIRTH,
        task: listed.task,
        origin: listed.origin,
        listing: Listing::Listed,
        state: TaskState::Open,
    };
    assert_eq!(*newest, expected);
    assert!(told.is_sorted_by_key(|task| task.place));
}

pub(crate) async fn a_change_of_a_roster_that_begins_elsewhere_changes_nothing(
    store: Arc<dyn Store>,
) {
    let mut work = Work::begin(&*store, &process("fulfilment"), "v1").await;
    work.list("o-1", &[send("a", "c-1")]).await;
    for from in [0, 2] {
        let mut change = InstancesChange::moving(work.id, at(from), at(3));
        change.put.push(instance_at("o-2", "{}", at(3)));
        change.ended.push(key("o-1"));
        change.gone.push(work.effect("o-1", &send("a", "c-1")));
        let refused = store.commit_instances(change).await;
        assert!(matches!(refused, Err(RosterCommitError::Moved)));
    }
    let roster = work.roster().await;
    assert_eq!((roster.position, roster.instances), (at(1), 1));
    assert_eq!(work.sends().await, ["a"]);
}

pub(crate) async fn of_changes_of_a_roster_that_race_one_is_made(store: Arc<dyn Store>) {
    let work = Work::begin(&*store, &process("fulfilment"), "v1").await;
    let racing = (0..8_u64).map(|number| {
        let (store, mut change) = (Arc::clone(&store), work.change());
        let name = format!("o-{number}");
        change.put.push(instance_at(&name, "{}", change.to));
        change.added.push(work.listed(&name, send("a", "c-1")));
        tokio::spawn(async move { store.commit_instances(change).await })
    });
    let outcomes = join_all(racing).await.into_iter().map(Result::unwrap);
    let (made, refused): (Vec<_>, Vec<_>) = outcomes.partition(Result::is_ok);
    assert_eq!(made.len(), 1);
    for refused in refused {
        assert!(
            matches!(refused, Err(RosterCommitError::Moved)),
            "{refused:?}"
        );
    }
    let roster = work.roster().await;
    assert_eq!((roster.instances, roster.open_tasks), (1, 1));
}

pub(crate) async fn an_instance_that_ends_is_gone_and_may_begin_anew(store: Arc<dyn Store>) {
    let mut work = Work::begin(&*store, &process("fulfilment"), "v1").await;
    let tasks = [send("a", "c-1"), send("b", "c-2")];
    work.list("o-1", &tasks).await;
    work.done("o-1", &tasks[0]).await;
    let mut change = work.change();
    change.ended.push(key("o-1"));
    change
        .gone
        .extend(tasks.iter().map(|task| work.effect("o-1", task)));
    work.commit(change).await;
    let found = store.instances(work.id, &[key("o-1")]).await.unwrap();
    assert_eq!(found, [StoredInstance::default()]);
    assert_eq!(work.roster().await.instances, 0);
    let withdrawn = ("b".to_owned(), Listing::Withdrawn, "open");
    assert_eq!(work.tasks_of("o-1").await, std::slice::from_ref(&withdrawn));

    let birth = Uuid::from_u128(2);
    let mut change = work.change();
    change.put.push(PutInstance {
        birth,
        ..instance_at("o-1", "1", change.to)
    });
    let mut anew = work.listed("o-1", send("b", "c-2"));
    (anew.birth, anew.effect) = (birth, Uuid::from_u128(3));
    change.added.push(anew.clone());
    work.commit(change).await;
    let found = store.instances(work.id, &[key("o-1")]).await.unwrap();
    assert_eq!(found[0].birth, Some(birth));
    assert_eq!(found[0].listed, [(anew.effect, anew.task)]);
    let open = ("b".to_owned(), Listing::Listed, "open");
    assert_eq!(work.tasks_of("o-1").await, [withdrawn, open]);
}

pub(crate) async fn documents_of_instances_and_tasks_keep_their_text(store: Arc<dyn Store>) {
    let mut work = Work::begin(&*store, &process("fulfilment"), "v1").await;
    let text = r#"{"z":1,"a":[1.5,1e300,"ü\"\\ \u0001 😀"],"":null,"long":18446744073709551615}"#;
    let mut task = send_to("später 😀", "counter", "c/1 ü", text);
    if let TaskAction::Send(order) = &mut task.action {
        *order = Order {
            command: "Größer".to_owned(),
            expected_version: Version::new(u64::from(u32::MAX)),
            metadata: Metadata::default().with("k \"", "v\n"),
            ..order.clone()
        };
    }
    let mut change = work.change();
    change.put.push(instance_at("ö/1", text, change.to));
    change.added.push(work.listed("ö/1", task.clone()));
    work.commit(change).await;
    let found = store.instances(work.id, &[key("ö/1")]).await.unwrap();
    let state = found[0].state.as_ref().unwrap();
    assert_eq!(state.as_str(), json(text).as_str());
    let (_, told) = &found[0].listed[0];
    assert_eq!(*told, task);
    let (TaskAction::Send(told), TaskAction::Send(sent)) = (&told.action, &task.action) else {
        panic!("{told:?}");
    };
    assert_eq!(told.data.as_str(), sent.data.as_str());
}
