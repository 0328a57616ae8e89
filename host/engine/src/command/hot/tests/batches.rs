//! A hot stream that a batch has for itself.

use super::*;

#[test]
fn a_batch_gets_the_stream_once_what_came_before_is_stored() {
    let mut bench = Bench::hot();
    let before = bench.send(command("a", "Add", 1));
    let mut granted = bench.reserve(1);
    let mut after = bench.send(command("a", "Add", 2));
    bench.advance_to_the_end();
    assert!(is_waiting(&mut granted));
    bench.store();
    assert_eq!(accepted(before), (1, sum(1)));
    bench.advance_to_the_end();
    granted.try_recv().unwrap();

    let one = bench.decide(1, command("a", "Add", 10));
    bench.advance_to_the_end();
    assert_eq!(decided(one), (1, sum(11)));
    let two = bench.decide(1, command("a", "Add", 10));
    bench.advance_to_the_end();
    assert_eq!(decided(two), (2, sum(21)));
    assert!(is_waiting(&mut after) && !bench.stream.is_idle());
    assert!(bench.hand_over().is_none());

    // Stored: the state is that of the stream, and nothing is loaded.
    bench.release(1, Some(Settled::Durable));
    bench.advance_to_the_end();
    bench.store();
    assert_eq!(accepted(after), (4, sum(23)));
}

#[test]
fn what_a_batch_has_decided_and_not_stored_is_forgotten() {
    for outcome in [None, Some(Settled::Failed), Some(Settled::Overtaken)] {
        let mut bench = Bench::hot();
        bench.give_to_batch();
        let decided_on_it = bench.decide(1, command("a", "Add", 10));
        bench.advance_to_the_end();
        assert_eq!(decided(decided_on_it), (0, sum(10)));
        bench.release(1, outcome);
        assert!(!bench.has_state());
    }
    // Nothing was decided that changes it: it is as good as before.
    let mut bench = Bench::hot();
    bench.give_to_batch();
    let noted = bench.decide(1, command("a", "Note", 0));
    bench.advance_to_the_end();
    assert_eq!(decided(noted), (0, sum(0)));
    bench.release(1, None);
    assert!(bench.has_state() && bench.stream.is_idle());
}

#[test]
fn a_cold_stream_is_loaded_for_a_batch_and_never_claimed() {
    let mut bench = Bench::hot();
    let queued = bench.send(command("a", "Add", 1));
    bench.advance_to_the_end();
    let (_, pending) = bench.hand_over().unwrap();
    bench.settle(Settled::Overtaken, Vec::new());
    drop((queued, pending));
    bench.give_to_batch();
    let answer = bench.decide(1, command("a", "Take", 7));
    assert!(matches!(bench.advance(), Some(HistoryStart::Newest)));
    bench.load(page(&[7], false));
    bench.advance_to_the_end();
    assert_eq!(decided(answer), (1, sum(0)));
}

#[test]
fn a_batch_whose_decisions_are_lost_with_their_instance_begins_again() {
    let mut bench = Bench::hot();
    bench.give_to_batch();
    let one = bench.decide(1, command("a", "Add", 10));
    bench.advance_to_the_end();
    assert_eq!(decided(one), (0, sum(10)));
    let instance = bench.stream.state(&bench.pool).unwrap().instance();
    bench.pool.retire(instance);
    let mut two = bench.decide(1, command("a", "Add", 10));
    bench.advance_to_the_end();
    assert!(matches!(two.try_recv().unwrap(), Err(Stop::Again)));
}

#[test]
fn a_batch_that_was_given_up_gets_no_stream_and_keeps_none() {
    let mut bench = Bench::hot();
    drop(bench.reserve(1));
    let mut granted = bench.reserve(2);
    bench.advance_to_the_end();
    granted.try_recv().unwrap();
    // The end of another's reservation is not that of this one.
    bench.release(1, None);
    assert!(!bench.stream.is_idle());
    let mut late = bench.decide(1, command("a", "Add", 1));
    assert!(matches!(late.try_recv().unwrap(), Err(Stop::Again)));
    bench.release(2, None);
    assert!(bench.stream.is_idle());
}

#[test]
fn a_stream_that_is_elsewhere_is_loaded_again_unless_it_is_being_changed() {
    let mut bench = Bench::hot();
    bench.stream.moved(StreamHead::default(), &mut bench.pool);
    assert!(bench.has_state());
    bench.give_to_batch();
    let answer = bench.decide(1, command("a", "Add", 1));
    bench.advance_to_the_end();
    assert_eq!(decided(answer), (0, sum(1)));
    bench.stream.moved(head(4), &mut bench.pool);
    assert!(bench.has_state());
    bench.release(1, Some(Settled::Durable));
    bench.stream.moved(head(4), &mut bench.pool);
    assert!(!bench.has_state());
}
