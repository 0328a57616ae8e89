//! Histories of several pages: read ahead, folded in pieces, and nothing of that shows.

use std::time::Duration;

use gavel_engine::command::{CommandSettings, Error, ImportedEvent, Origin, SnapshotPolicy};
use gavel_model::{ExpectedVersion, Json, Metadata, StreamId, Version};
use gavel_sandbox::Fault;
use gavel_store::Snapshot;
use serde_json::json;

use crate::support::{Host, folded, newest, send};

/// The number of events on a page.
const PAGE: usize = 1_000;

/// Appends `count` events that the counter counts.
async fn grow(host: &Host, stream: &StreamId, count: usize) {
    import(host, stream, vec!["Incremented"; count]).await;
}

async fn import(host: &Host, stream: &StreamId, names: Vec<&str>) {
    let event = |name: &str| ImportedEvent {
        event: name.to_owned(),
        event_id: None,
        schema_version: 1,
        data: Json::empty_object(),
        is_final: false,
        tags: Vec::new(),
        metadata: Metadata::default(),
    };
    let events = names.into_iter().map(event).collect();
    let origin = Origin::default();
    host.commands
        .import(stream, ExpectedVersion::Any, events, None, &origin)
        .await
        .unwrap();
}

/// Settings without snapshots, so that every host folds from the first event on.
fn settings() -> CommandSettings {
    CommandSettings {
        snapshots: SnapshotPolicy {
            events: u64::MAX,
            replay: Duration::MAX,
        },
        ..CommandSettings::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histories_of_any_number_of_pages_are_folded_once_and_whole() {
    let host = Host::start("hostile", settings()).await;
    for events in [PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 3 * PAGE + PAGE / 2] {
        let stream = host.stream(&format!("of-{events}"));
        grow(&host, &stream, events).await;
        let fresh = host.beside(settings());
        let (state, version) = newest(&fresh, &stream).await;
        assert_eq!(
            (state, version.get()),
            (json!(events), events as u64),
            "for a query"
        );
        let answer = send(&fresh, &stream, "Increment", json!({})).await.unwrap();
        assert_eq!(answer.version.get(), events as u64 + 1);
        assert_eq!(answer.state.unwrap().to_value(), json!(events + 1));
        assert_eq!(
            folded(&fresh, &stream, answer.version).await,
            json!(events + 1)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_cannot_be_folded_ends_the_reading_and_stops_nobody_else() {
    let host = Host::start("hostile", settings()).await;
    for refused_at in [PAGE / 2, PAGE + PAGE / 2] {
        let stream = host.stream(&format!("refused-{refused_at}"));
        let mut names = vec!["Incremented"; 3 * PAGE];
        names[refused_at] = "Refused";
        import(&host, &stream, names).await;
        let beside = host.stream(&format!("beside-{refused_at}"));
        grow(&host, &beside, 2 * PAGE).await;
        let fresh = host.beside(settings());
        for _ in 0..3 {
            let (refused, fine) = tokio::join!(
                send(&fresh, &stream, "Increment", json!({})),
                send(&fresh, &beside, "Increment", json!({})),
            );
            let Err(Error::Fault { fault, .. }) = refused else {
                panic!("{refused:?}");
            };
            assert!(matches!(fault, Fault::EvolveRefused { .. }), "{fault:?}");
            let answer = fine.unwrap();
            assert_eq!(
                answer.state.unwrap().to_value(),
                json!(answer.version.get())
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_the_module_does_not_know_leads_to_the_first_page() {
    let host = Host::start("hostile", settings()).await;
    for events in [PAGE / 2, 2 * PAGE + PAGE / 2] {
        let stream = host.stream(&format!("of-{events}"));
        grow(&host, &stream, events).await;
        let other = host.stream("another");
        let answer = send(&host.commands, &other, "Ok", json!({})).await.unwrap();
        let snapshot = Snapshot {
            stream: stream.clone(),
            module: answer.module,
            version: Version::EMPTY.plus(events),
            state: Json::parse("\"not a number\"").unwrap(),
        };
        host.put_snapshot(snapshot).await;
        let fresh = host.beside(settings());
        assert_eq!(newest(&fresh, &stream).await.0, json!(events));
        let answer = send(&fresh, &stream, "Increment", json!({})).await.unwrap();
        assert_eq!(answer.state.unwrap().to_value(), json!(events + 1));
    }
}
