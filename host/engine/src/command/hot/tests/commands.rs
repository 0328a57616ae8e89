//! A hot stream and commands that come alone.

use super::*;

#[test]
fn a_cold_stream_asks_for_its_history_once_and_decides_what_waits_on_it() {
    let mut bench = Bench::new(Tally::default());
    let (one, two) = (
        bench.send(command("a", "Add", 1)),
        bench.send(command("a", "Take", 6)),
    );
    assert!(matches!(bench.advance(), Some(HistoryStart::Newest)));
    bench.advance_to_the_end();
    bench.load(page(&[2, 3], false));
    bench.advance_to_the_end();
    let (versions, pending) = bench.hand_over().unwrap();
    assert_eq!(versions, [2, 3]);
    assert!(bench.hand_over().is_none());
    for (pending, version) in pending.into_iter().zip([3, 4]) {
        pending.stored(Appended {
            version: Version::EMPTY.plus(version),
            events: Vec::new(),
        });
    }
    bench.settle(Settled::Durable, Vec::new());
    assert_eq!(accepted(one), (3, sum(6)));
    assert_eq!(accepted(two), (4, sum(0)));
    assert!(bench.stream.is_idle() && bench.has_state());
}

#[test]
fn commands_are_decided_while_an_append_is_under_way_and_stored_after_it() {
    let mut bench = Bench::hot();
    let first = bench.send(command("a", "Add", 1));
    bench.advance_to_the_end();
    let handed = bench.stream.hand_over().unwrap();
    let later = bench.send(command("a", "Add", 2));
    bench.advance_to_the_end();
    assert!(bench.stream.hand_over().is_none());

    for (part, pending) in handed.parts.iter().zip(handed.pending) {
        pending.stored(appended(part));
    }
    bench.settle(Settled::Durable, Vec::new());
    assert_eq!(accepted(first), (1, sum(1)));
    bench.store();
    assert_eq!(accepted(later), (2, sum(3)));
}

#[test]
fn nothing_is_refused_on_a_state_that_is_not_durable() {
    let mut bench = Bench::hot();
    let first = bench.send(command("a", "Add", 1));
    bench.advance_to_the_end();
    let (_, pending) = bench.hand_over().unwrap();
    let mut refused = bench.send(expecting("a", "Add", 1, 9));
    bench.advance_to_the_end();
    assert!(is_waiting(&mut refused));

    // The append fails: what was decided on it is decided again, on what is stored.
    bench.fail(Settled::Failed, pending);
    assert!(!bench.has_state());
    assert!(matches!(bench.advance(), Some(HistoryStart::Newest)));
    bench.load(page(&[5; 8], false));
    bench.advance_to_the_end();
    bench.store();
    assert_eq!(accepted(first), (9, sum(41)));
    assert_eq!(accepted(refused), (10, sum(42)));
}

#[test]
fn a_refusal_names_the_head_that_it_rests_on() {
    let mut bench = Bench::hot();
    let mut refused = bench.send(expecting("a", "Add", 1, 9));
    bench.advance_to_the_end();
    let refused = refused.try_recv().unwrap();
    let Err(Stop::Unconfirmed { error, head }) = refused else {
        panic!("{refused:?}");
    };
    assert!(matches!(*error, Error::VersionConflict { .. }));
    assert_eq!(head, Some(StreamHead::default()));
}

#[test]
fn a_stream_that_was_overtaken_is_claimed_when_it_is_loaded_again() {
    let mut bench = Bench::hot();
    let first = bench.send(command("a", "Add", 1));
    bench.advance_to_the_end();
    let (_, pending) = bench.hand_over().unwrap();
    let later = bench.send(command("a", "Add", 2));
    bench.advance_to_the_end();
    bench.fail(Settled::Overtaken, pending);
    assert!(matches!(bench.advance(), Some(HistoryStart::Newest)));
    let next = bench.stream.loaded(Ok(page(&[7], false)), &mut bench.pool);
    let Some(HistoryStart::Claimed(version)) = next else {
        panic!("{next:?}");
    };
    assert_eq!(version.get(), 1);
    bench.load(HistoryPage {
        after: version,
        ..page(&[], false)
    });
    bench.advance_to_the_end();
    // In the order in which they came.
    bench.store();
    assert_eq!(accepted(first), (2, sum(8)));
    assert_eq!(accepted(later), (3, sum(10)));
}

#[test]
fn commands_are_stored_one_by_one_to_find_the_one_that_cannot_be_stored() {
    let mut bench = Bench::hot();
    let answers = [1, 2, 3].map(|n| bench.send(command("a", "Add", n)));
    bench.advance_to_the_end();
    let (versions, pending) = bench.hand_over().unwrap();
    assert_eq!(versions, [0, 1, 2]);
    bench.fail(Settled::OnePoisonsBatch, pending);
    assert!(bench.advance().is_some());
    bench.load(page(&[], false));
    for version in [0, 1, 2] {
        bench.advance_to_the_end();
        let handed = bench.stream.hand_over().unwrap();
        assert_eq!(handed.parts.len(), 1);
        assert_eq!(handed.parts[0].expected.version().unwrap().get(), version);
        for (part, pending) in handed.parts.iter().zip(handed.pending) {
            pending.stored(appended(part));
        }
        bench.settle(Settled::Durable, Vec::new());
    }
    let states = answers.map(accepted);
    assert_eq!(states, [(1, sum(1)), (2, sum(3)), (3, sum(6))]);
}

#[test]
fn a_snapshot_is_taken_of_what_is_durable_only() {
    let mut bench = Bench::hot();
    let snapshot = |bench: &mut Bench| bench.stream.take_snapshot(&mut bench.pool, &bench.rules);
    let answers = [1, 2, 3].map(|n| bench.send(command("a", "Add", n)));
    bench.advance_to_the_end();
    assert!(snapshot(&mut bench).is_none());
    bench.store();
    assert_eq!(snapshot(&mut bench), Some((Version::EMPTY.plus(3), sum(6))));
    assert!(snapshot(&mut bench).is_none());
    drop(answers);

    bench.give_to_batch();
    for n in [1, 2, 3] {
        let answer = bench.decide(1, command("a", "Add", n));
        bench.advance_to_the_end();
        decided(answer);
    }
    assert!(snapshot(&mut bench).is_none());
    bench.release(1, Some(Settled::Durable));
    assert_eq!(
        snapshot(&mut bench),
        Some((Version::EMPTY.plus(6), sum(12)))
    );
}

#[test]
fn a_stream_that_has_crashed_an_instance_gets_one_of_its_own() {
    let reason = "a test".to_owned();
    let mut bench = Bench::new(Tally::failing_with([Fault::Trapped { reason }]));
    let mut failed = bench.send(command("a", "Fail", 0));
    let after = bench.send(command("a", "Add", 1));
    assert!(bench.advance().is_some());
    bench.load(page(&[], false));
    assert!(bench.advance().is_some());
    let failed = failed.try_recv().unwrap();
    let Err(Stop::Unconfirmed { error, .. }) = failed else {
        panic!("{failed:?}");
    };
    assert!(matches!(*error, Error::Fault { .. }));
    assert!(!bench.stream.is_forgettable(&bench.pool));
    bench.load(page(&[], false));
    bench.advance_to_the_end();
    let state = bench.stream.state(&bench.pool).unwrap();
    assert!(bench.pool.is_alone(state));
    bench.store();
    assert_eq!(accepted(after), (1, sum(1)));
}
