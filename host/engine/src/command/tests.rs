//! The road of commands as a whole, on a store in memory with a decider that is compiled in.

use futures::future::join_all;
use gavel_model::Version;
use gavel_sandbox::Fault;

use super::testing::{Hosts, Tally, command, expecting, send, send_all, shown, stream, try_all};
use super::{CommandOptions, CommandRequest, Commands, Error, Origin, StateAt};

const CROWDED: Fault = Fault::OutOfMemory {
    what: "bytes of memory",
    limit: 1,
};

fn trapped() -> Fault {
    let reason = "a test".to_owned();
    Fault::Trapped { reason }
}

async fn head(hosts: &Hosts, id: &str) -> u64 {
    hosts.store.head(&stream(id)).await.unwrap().version.get()
}

#[tokio::test]
async fn a_batch_sees_its_own_events_and_leaves_its_streams_as_they_are_stored() {
    let hosts = Hosts::running(Tally::default()).await;
    let host = hosts.host();
    send(&host, command("a", "Add", 1)).await.unwrap();
    let batch = [
        command("a", "Add", 2),
        command("b", "Add", 10),
        command("a", "Take", 3),
    ];
    let answers = send_all(&host, batch).await.unwrap();
    let states: Vec<_> = answers.iter().map(shown).collect();
    assert_eq!(states, [(2, 3), (1, 10), (3, 0)]);
    let after = send(&host, command("a", "Add", 5)).await.unwrap();
    assert_eq!(shown(&after), (4, 5));
}

#[tokio::test]
async fn a_dry_run_stores_nothing_and_leaves_no_trace_in_the_state() {
    let hosts = Hosts::running(Tally::default()).await;
    let host = hosts.host();
    send(&host, command("a", "Add", 1)).await.unwrap();
    let tried = [command("a", "Add", 2), command("a", "Take", 3)];
    let answers = try_all(&host, tried).await.unwrap();
    let states: Vec<_> = answers.iter().map(shown).collect();
    assert_eq!(states, [(2, 3), (3, 0)]);
    let versions: Vec<_> = answers
        .iter()
        .map(|answer| answer.events[0].version.get())
        .collect();
    assert_eq!(versions, [2, 3]);
    assert_eq!(
        answers[1].events[0].previous_id,
        Some(answers[0].events[0].event.event_id)
    );

    assert_eq!(head(&hosts, "a").await, 1);
    let after = send(&host, command("a", "Add", 5)).await.unwrap();
    assert_eq!(shown(&after), (2, 6));
}

#[tokio::test]
async fn a_rejected_batch_is_recorded_as_a_whole_and_its_events_are_forgotten() {
    let hosts = Hosts::running(Tally::default()).await;
    let host = hosts.host();
    let batch = [
        command("a", "Add", 1),
        command("b", "Take", 1),
        command("c", "Add", 1),
    ];
    let rejected = send_all(&host, batch.clone()).await.unwrap_err();
    assert_eq!(rejected.index, 1);
    assert!(matches!(
        *rejected.error,
        Error::Rejected {
            replayed: false,
            ..
        }
    ));
    assert_eq!(head(&hosts, "a").await, 0);

    let after = send(&host, command("a", "Add", 5)).await.unwrap();
    assert_eq!(shown(&after), (1, 5));
    // Whatever has become of its streams.
    send(&host, command("b", "Add", 1)).await.unwrap();
    let again = send_all(&host, batch).await.unwrap_err();
    assert_eq!(again.index, 1);
    assert!(matches!(
        *again.error,
        Error::Rejected { replayed: true, .. }
    ));
}

/// Sends a command by itself, as the second one of a batch, and as a dry run.
async fn on_three_roads(host: &Commands, make: impl Fn() -> CommandRequest) -> [Error; 3] {
    let single = send(host, make()).await.unwrap_err();
    let first = || command("other", "Note", 0);
    let batch = send_all(host, [first(), make()]).await.unwrap_err();
    let dry = try_all(host, [first(), make()]).await.unwrap_err();
    assert_eq!((batch.index, dry.index), (1, 1));
    [single, *batch.error, *dry.error]
}

#[tokio::test]
async fn a_refusal_is_the_same_on_each_road() {
    let faults = [trapped(), trapped(), trapped()];
    let hosts = Hosts::running(Tally::failing_with(faults)).await;
    let host = hosts.host();
    send(&host, command("a", "Add", 1)).await.unwrap();
    send(&host, command("ended", "End", 0)).await.unwrap();

    for refusal in on_three_roads(&host, || command("a", "Multiply", 2)).await {
        assert!(
            matches!(refusal, Error::CommandUnknown { .. }),
            "{refusal:?}"
        );
    }
    for refusal in on_three_roads(&host, || expecting("a", "Add", 2, 7)).await {
        let Error::VersionConflict {
            expected, current, ..
        } = refusal
        else {
            panic!("{refusal:?}");
        };
        assert_eq!((expected.get(), current.get()), (7, 1));
    }
    for refusal in on_three_roads(&host, || command("ended", "Add", 2)).await {
        assert!(matches!(refusal, Error::StreamFinal { .. }), "{refusal:?}");
    }
    for refusal in on_three_roads(&host, || command("a", "Take", 2)).await {
        assert!(matches!(refusal, Error::Rejected { .. }), "{refusal:?}");
    }
    for refusal in on_three_roads(&host, || command("a", "Fail", 0)).await {
        assert!(matches!(refusal, Error::Fault { .. }), "{refusal:?}");
    }
    let after = send(&host, command("a", "Add", 1)).await.unwrap();
    assert_eq!(shown(&after), (2, 2));
}

#[tokio::test]
async fn nothing_is_refused_nor_tried_on_a_state_that_another_host_has_moved() {
    let hosts = Hosts::running(Tally::default()).await;
    let (one, other) = (hosts.host(), hosts.host());
    // Each time, the first host has the state of before in its memory.
    let move_on = async || {
        send(&one, command("a", "Add", 1)).await.unwrap();
        send(&other, command("a", "Add", 1)).await.unwrap();
        head(&hosts, "a").await
    };
    let first = || command("b", "Note", 0);

    let newest = move_on().await;
    let answer = send(&one, expecting("a", "Add", 0, newest)).await;
    assert_eq!(shown(&answer.unwrap()), (3, 2));

    let newest = move_on().await;
    let tried = try_all(&one, [first(), expecting("a", "Take", 4, newest)]).await;
    assert_eq!(shown(&tried.unwrap()[1]), (6, 0));

    move_on().await;
    let tried = try_all(&one, [first(), command("a", "Take", 6)]).await;
    assert_eq!(shown(&tried.unwrap()[1]), (8, 0));

    let newest = move_on().await;
    let batch = send_all(&one, [first(), expecting("a", "Take", 8, newest)]).await;
    assert_eq!(shown(&batch.unwrap()[1]), (10, 0));
}

#[tokio::test]
async fn what_has_too_little_memory_among_others_is_decided_alone() {
    let hosts = Hosts::running(Tally::failing_with([CROWDED])).await;
    let host = hosts.host();
    send(&host, command("a", "Add", 1)).await.unwrap();
    let answer = send(&host, command("a", "Fail", 0)).await.unwrap();
    assert_eq!(shown(&answer), (1, 1));

    let hosts = Hosts::running(Tally::failing_with([CROWDED])).await;
    let host = hosts.host();
    // What the batch has decided before goes with the instance: it begins again.
    let batch = [command("a", "Add", 1), command("a", "Fail", 0)];
    let answers = send_all(&host, batch).await.unwrap();
    assert_eq!(shown(&answers[1]), (1, 1));
    assert_eq!(head(&hosts, "a").await, 1);

    let hosts = Hosts::running(Tally::failing_with([CROWDED, CROWDED])).await;
    let host = hosts.host();
    let refused = send(&host, command("a", "Fail", 0)).await.unwrap_err();
    assert!(
        matches!(refused, Error::Fault { fault: CROWDED, .. }),
        "{refused:?}"
    );
}

#[tokio::test]
async fn commands_of_all_roads_on_one_stream_lose_nothing_to_each_other() {
    let hosts = Hosts::running(Tally::default()).await;
    let host = hosts.host();
    let rounds = (0..20).map(|_| async {
        let single = send(&host, command("a", "Add", 1));
        let batch = [
            command("b", "Add", 1),
            command("a", "Add", 1),
            command("a", "Add", 1),
        ];
        let batch = send_all(&host, batch);
        let tried = try_all(&host, [command("a", "Add", 1_000), command("b", "Add", 1)]);
        let (single, batch, tried) = futures::join!(single, batch, tried);
        single.unwrap();
        batch.unwrap();
        tried.unwrap();
    });
    join_all(rounds).await;
    for (id, expected) in [("a", 60), ("b", 20)] {
        let state = host
            .state(&stream(id), StateAt::Newest, None)
            .await
            .unwrap();
        assert_eq!(state.version.get(), expected);
        assert_eq!(state.state.to_value()["sum"], expected);
    }
}

#[tokio::test]
async fn a_batch_that_is_given_up_leaves_its_streams_to_others() {
    let hosts = Hosts::running(Tally::default()).await;
    let host = hosts.host();
    for polls in 0..40 {
        let batch = send_all(&host, [command("a", "Add", 1), command("b", "Add", 1)]);
        let mut batch = Box::pin(batch);
        for _ in 0..polls {
            if futures::poll!(&mut batch).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(batch);
        let (a, b) = (command("a", "Add", 0), command("b", "Add", 0));
        let answers = futures::join!(send(&host, a), send(&host, b));
        let (a, b) = (shown(&answers.0.unwrap()), shown(&answers.1.unwrap()));
        // All of a batch is there, or none of it.
        assert_eq!(a, b);
    }
}

#[tokio::test]
async fn a_command_that_is_sent_again_has_its_first_outcome_on_each_road() {
    let hosts = Hosts::running(Tally::default()).await;
    let (one, other) = (hosts.host(), hosts.host());
    let send_all = async |host: &Commands, commands: &[CommandRequest]| {
        let (origin, options) = (Origin::default(), CommandOptions::default());
        let sent = host.execute_atomic(commands.to_vec(), &origin, options);
        let answers = sent.await.unwrap();
        let answers = answers.into_iter();
        let outcomes = answers.map(|answer| (answer.version.get(), answer.replayed));
        outcomes.collect::<Vec<_>>()
    };
    let single = [command("a", "Add", 1)];
    let batch = [command("a", "Add", 2), command("b", "Add", 3)];
    assert_eq!(send_all(&one, &single).await, [(1, false)]);
    assert_eq!(send_all(&one, &batch).await, [(2, false), (1, false)]);
    for host in [&one, &other] {
        assert_eq!(send_all(host, &single).await, [(1, true)]);
        assert_eq!(send_all(host, &batch).await, [(2, true), (1, true)]);
    }
    assert_eq!(head(&hosts, "a").await, 2);
}

#[tokio::test]
async fn a_state_of_the_past_is_folded_to_where_it_was() {
    let hosts = Hosts::running(Tally::default()).await;
    let host = hosts.host();
    for n in 1..=3 {
        send(&host, command("a", "Add", n)).await.unwrap();
    }
    let at = |version| StateAt::Version(Version::new(version).unwrap());
    let state = host.state(&stream("a"), at(2), None).await.unwrap();
    assert_eq!(state.state.to_value()["sum"], 3);
    let missing = host.state(&stream("a"), at(4), None).await.unwrap_err();
    assert!(matches!(missing, Error::StreamNotFound { current, .. } if current.get() == 3));
}
