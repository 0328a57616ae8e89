//! The consumers for users of SQL alone: views, as fstore-sql calls them. Every statement goes
//! through `psql`, as theirs do.

use std::time::{Duration, Instant};

use gavel_tests::postgres::{Database, Refusal, Session};

/// The time limit for an expected event.
const DEADLINE: Duration = Duration::from_secs(30);

/// `append_event` for the next event of a stream.
fn append_to(decider: &str, decider_id: &str) -> String {
    format!(
        "SELECT \"offset\" FROM append_event('Incremented', gen_random_uuid(), '{decider}', '{decider_id}', '{{}}', gen_random_uuid(), \
         (SELECT last_event_id FROM stream_heads WHERE decider = '{decider}' AND decider_id = '{decider_id}'))"
    )
}

fn append(decider_id: &str) -> String {
    append_to("counter", decider_id)
}

/// A database in which `counter` and `meter` may append `Incremented`, and a session on it.
fn counters() -> (Database, Session) {
    let database = Database::new();
    let mut session = database.session();
    for decider in ["counter", "meter"] {
        session.rows(&format!(
            "SELECT register_decider_event('{decider}', 'Incremented', 'it went up')"
        ));
    }
    (database, session)
}

/// Appends an event to each of these streams of `counter`, and gives back the offsets once the log
/// shows them.
fn fill(session: &mut Session, decider_ids: &[&str]) -> Vec<String> {
    let offsets = decider_ids.iter().map(|id| session.row(&append(id)));
    let offsets = offsets.collect();
    until_readable(session);
    offsets
}

/// Waits until no transaction can come before what has been appended: one of another test, on
/// another database of the server, may.
#[track_caller]
fn until_readable(session: &mut Session) {
    let is_readable = "SELECT coalesce((SELECT transaction_id < pg_snapshot_xmin(pg_current_snapshot()) FROM events \
                       ORDER BY generation DESC, transaction_id DESC LIMIT 1), TRUE)";
    let since = Instant::now();
    while session.row(is_readable) != "t" {
        assert!(since.elapsed() < DEADLINE, "the log should show it");
    }
}

/// A view of all there is.
fn view_of_all(session: &mut Session) {
    session.row("SELECT view FROM register_view('v', '-infinity')");
}

/// The rows that `stream_events` returns for these arguments: stream, version and attempt.
fn stream(session: &mut Session, arguments: &str) -> Vec<String> {
    session.rows(&format!(
        "SELECT decider_id || version || ' #' || attempt FROM stream_events({arguments})"
    ))
}

/// The lease that the stream is held under.
fn lease_of(session: &mut Session, decider_id: &str) -> String {
    session.row(&format!(
        "SELECT lease FROM consumer_streams WHERE decider_id = '{decider_id}'"
    ))
}

#[track_caller]
fn assert_refused(refusal: &Refusal, sqlstate: &str) {
    assert_eq!(refusal.sqlstate, sqlstate, "{refusal}");
}

#[test]
fn events_are_streamed_and_acknowledged_with_the_functions_of_fstore_sql() {
    let (_database, mut session) = counters();
    let registered = "SELECT view, start_at, lock_timeout_s, pooling_delay_s, edge_function_url, namespace \
                      FROM register_view('v', '2020-01-01Z', 60, 5)";
    assert_eq!(
        session.row(registered),
        "v|2020-01-01 00:00:00+00|60|5||default"
    );
    assert_eq!(stream(&mut session, "'v'"), [""; 0]);
    let offsets = fill(&mut session, &["a", "b", "a", "c"]);

    let streamed = "SELECT event, decider, decider_id, version, \"offset\", data, final, lease IS NOT NULL, attempt FROM stream_events('v')";
    let first = format!("Incremented|counter|a|1|{}|{{}}|f|t|1", offsets[0]);
    assert_eq!(session.row(streamed), first);
    // One event of each stream, the oldest first.
    assert_eq!(stream(&mut session, "'v', 10"), ["b1 #1", "c1 #1"]);
    assert_eq!(stream(&mut session, "'v', 10"), [""; 0]);

    let acknowledged = format!(
        "SELECT view, decider_id, last_offset, parked FROM ack_event('v', 'a', {})",
        offsets[0]
    );
    assert_eq!(session.row(&acknowledged), format!("v|a|{}|f", offsets[0]));
    assert_eq!(stream(&mut session, "'v', 10"), ["a2 #1"]);
    for (id, offset) in [("b", &offsets[1]), ("c", &offsets[3]), ("a", &offsets[2])] {
        session.row(&format!("SELECT ack_event('v', '{id}', {offset})"));
    }
    assert_eq!(
        session.row("SELECT count(*) FROM consumer_streams"),
        "0",
        "what is done leaves no row"
    );
}

#[test]
fn an_acknowledgement_and_the_next_event_share_a_transaction() {
    let (_database, mut session) = counters();
    let offsets = fill(&mut session, &["a", "a"]);
    view_of_all(&mut session);
    assert_eq!(stream(&mut session, "'v'"), ["a1 #1"]);
    session.rows("BEGIN");
    session.row(&format!("SELECT ack_event('v', 'a', {})", offsets[0]));
    assert_eq!(stream(&mut session, "'v'"), ["a2 #1"]);
    session.rows("ROLLBACK");
    session.row(&format!("SELECT ack_event('v', 'a', {})", offsets[0]));
}

#[test]
fn an_event_comes_again_at_once_or_after_its_delay() {
    let (_database, mut session) = counters();
    fill(&mut session, &["a"]);
    view_of_all(&mut session);
    assert_eq!(stream(&mut session, "'v'"), ["a1 #1"]);
    let nacked = "SELECT decider_id, last_offset, attempt, parked FROM nack_event('v', 'a')";
    assert_eq!(session.row(nacked), "a|0|1|f");
    assert_eq!(stream(&mut session, "'v'"), ["a1 #2"]);

    let delayed = "SELECT locked_until - clock_timestamp() BETWEEN '59 minutes' AND '1 hour' FROM schedule_nack_event('v', 'a', 3600000)";
    assert_eq!(session.row(delayed), "t");
    assert_eq!(stream(&mut session, "'v'"), [""; 0]);
    // What rests is leased to nobody.
    assert_refused(&session.refusal("SELECT nack_event('v', 'a')"), "GV007");
}

#[test]
fn a_view_locks_for_as_long_as_it_says_unless_the_call_says_otherwise() {
    let (_database, mut session) = counters();
    fill(&mut session, &["a", "b"]);
    session.row("SELECT view FROM register_view('v', '-infinity', 7200)");
    let locked = "SELECT available_at - clock_timestamp() BETWEEN '119 minutes' AND '2 hours' FROM consumer_streams WHERE lease IS NOT NULL";
    stream(&mut session, "'v'");
    assert_eq!(session.row(locked), "t");
    stream(&mut session, "'v', 1, 0");
    assert_eq!(stream(&mut session, "'v'"), ["b1 #2"], "its time was up");
}

#[test]
fn only_an_event_that_is_leased_is_acknowledged() {
    let (_database, mut session) = counters();
    let offsets = fill(&mut session, &["a", "b", "a", "a"]);
    view_of_all(&mut session);
    assert_eq!(stream(&mut session, "'v'"), ["a1 #1"]);
    let ack = |id: &str, offset: &str| format!("SELECT ack_event('v', '{id}', {offset})");
    // Later than what was leased, of another stream, of none, and one that was not leased at all.
    for (id, offset) in [("a", &*offsets[2]), ("a", &*offsets[1]), ("a", "0")] {
        assert_refused(&session.refusal(&ack(id, offset)), "GV008");
    }
    assert_refused(&session.refusal(&ack("b", &offsets[1])), "GV007");
    session.row(&ack("a", &offsets[0]));
    assert_refused(&session.refusal(&ack("a", &offsets[0])), "GV007");

    assert_eq!(stream(&mut session, "'v', 1"), ["b1 #1"]);
    assert_eq!(stream(&mut session, "'v', 1"), ["a2 #1"]);
    // What is done does not become undone.
    assert_refused(&session.refusal(&ack("a", &offsets[0])), "GV008");
    session.row(&ack("a", &offsets[2]));
    assert_eq!(stream(&mut session, "'v', 1"), ["a3 #1"]);
}

#[test]
fn a_worker_whose_time_is_up_changes_nothing_of_its_successors() {
    let (_database, mut session) = counters();
    let offset = fill(&mut session, &["a", "a"]).remove(0);
    view_of_all(&mut session);
    stream(&mut session, "'v', 1, 0");
    let late = lease_of(&mut session, "a");
    assert_eq!(stream(&mut session, "'v'"), ["a1 #2"]);
    let current = lease_of(&mut session, "a");

    let settle = |lease: &str| {
        [
            format!("SELECT ack_event('v', 'a', {offset}{lease})"),
            format!("SELECT nack_event('v', 'a'{lease})"),
            format!("SELECT schedule_nack_event('v', 'a', 0{lease})"),
        ]
    };
    for refused in settle(&format!(", '{late}'")) {
        assert_refused(&session.refusal(&refused), "GV007");
    }
    // Without its lease one cannot be told from the other.
    for refused in settle("") {
        assert_refused(&session.refusal(&refused), "GV010");
    }
    assert_eq!(lease_of(&mut session, "a"), current);

    // Nor when the successor has failed as well, and a third one has it.
    session.row(&settle(&format!(", '{current}'"))[1]);
    assert_eq!(stream(&mut session, "'v'"), ["a1 #3"]);
    assert_refused(&session.refusal(&settle("")[0]), "GV010");
    let third = lease_of(&mut session, "a");
    session.row(&settle(&format!(", '{third}'"))[0]);
    assert_eq!(stream(&mut session, "'v'"), ["a2 #1"]);
    session.row("SELECT nack_event('v', 'a')");
}

#[test]
fn a_worker_of_before_a_reset_changes_nothing_of_those_after_it() {
    let (_database, mut session) = counters();
    let offsets = fill(&mut session, &["a", "a"]);
    view_of_all(&mut session);
    let settle = |offset: &str, lease: &str| {
        [
            format!("SELECT ack_event('v', 'a', {offset}{lease})"),
            format!("SELECT nack_event('v', 'a'{lease})"),
            format!("SELECT schedule_nack_event('v', 'a', 0{lease})"),
        ]
    };
    assert_eq!(stream(&mut session, "'v'"), ["a1 #1"]);
    session.row(&settle(&offsets[0], "")[0]);
    assert_eq!(stream(&mut session, "'v'"), ["a2 #1"]);
    let late = lease_of(&mut session, "a");
    session.row("SELECT gavel_reset_consumer('default', 'v', '-infinity', NULL, NULL, NULL)");

    // Whoever comes late may have had either event.
    for (offset, again) in offsets.iter().zip(["a1 #1", "a2 #1"]) {
        assert_eq!(stream(&mut session, "'v'"), [again]);
        let current = lease_of(&mut session, "a");
        for refused in settle(offset, "") {
            assert_refused(&session.refusal(&refused), "GV010");
        }
        for refused in settle(offset, &format!(", '{late}'")) {
            assert_refused(&session.refusal(&refused), "GV007");
        }
        assert_eq!(lease_of(&mut session, "a"), current);
        session.row(&settle(offset, &format!(", '{current}'"))[0]);
    }
    // What came after the reset nobody had before.
    let offset = fill(&mut session, &["a"]).remove(0);
    assert_eq!(stream(&mut session, "'v'"), ["a3 #1"]);
    session.row(&settle(&offset, "")[0]);
}

#[test]
fn a_lease_that_expired_and_that_nobody_has_taken_over_is_good() {
    let (_database, mut session) = counters();
    let offset = fill(&mut session, &["a"]).remove(0);
    view_of_all(&mut session);
    stream(&mut session, "'v', 1, 0");
    session.row(&format!("SELECT ack_event('v', 'a', {offset})"));
    assert_eq!(stream(&mut session, "'v'"), [""; 0]);
}

#[test]
fn an_event_that_fails_too_often_parks_its_stream_and_no_other() {
    let (_database, mut session) = counters();
    fill(&mut session, &["bad", "good", "bad"]);
    session.row("SELECT view FROM register_view('v', '-infinity', max_attempts => 3)");
    for attempt in 1..=3 {
        assert_eq!(
            stream(&mut session, "'v'"),
            [format!("bad1 #{attempt}")],
            "it is the oldest"
        );
        let nacked = "SELECT parked, attempt FROM nack_event('v', 'bad', reason => 'no')";
        let is_last = if attempt == 3 { "t" } else { "f" };
        assert_eq!(session.row(nacked), format!("{is_last}|{attempt}"));
    }
    assert_eq!(stream(&mut session, "'v', 10, 0"), ["good1 #1"]);
    // A worker that never answers has attempts, too.
    assert_eq!(stream(&mut session, "'v', 10, 0"), ["good1 #2"]);
    assert_eq!(stream(&mut session, "'v', 10, 0"), ["good1 #3"]);
    assert_eq!(stream(&mut session, "'v', 10, 0"), [""; 0]);
    let parked =
        "SELECT decider_id, reason FROM consumer_streams WHERE parked_at IS NOT NULL ORDER BY 1";
    assert_eq!(
        session.rows(parked),
        ["bad|no", "good|the lease of the last attempt expired"]
    );
}

#[test]
fn of_what_is_said_of_a_failure_so_much_is_kept() {
    let (_database, mut session) = counters();
    fill(&mut session, &["a", "b"]);
    session.row("SELECT view FROM register_view('v', '-infinity', max_attempts => 2)");
    let kept = "SELECT length(reason) FROM consumer_streams WHERE decider_id = 'a'";
    // It rests after the first, and is parked after the second.
    for _ in 0..2 {
        assert!(stream(&mut session, "'v'")[0].starts_with("a1"));
        session.row("SELECT nack_event('v', 'a', reason => repeat('\u{e9}', 1001))");
        assert_eq!(session.row(kept), "1000");
    }
}

#[test]
fn registering_a_view_again_moves_nothing() {
    let (_database, mut session) = counters();
    let offsets = fill(&mut session, &["a", "a", "b"]);
    session.row("SELECT view FROM register_view('v', '-infinity', deciders => '{counter}', max_attempts => 9)");
    assert_eq!(stream(&mut session, "'v'"), ["a1 #1"]);
    for again in [
        "'v'",
        "'v', now()",
        "'v', '-infinity', 1",
        "'v', now() + '1 hour', 60",
    ] {
        session.row(&format!("SELECT view FROM register_view({again})"));
    }
    session.row(&format!("SELECT ack_event('v', 'a', {})", offsets[0]));
    assert_eq!(stream(&mut session, "'v', 10"), ["a2 #1", "b1 #1"]);
    let settings = "SELECT lock_timeout_ms, deciders, max_attempts FROM consumers";
    assert_eq!(session.row(settings), "60000|{counter}|9");
}

#[test]
fn an_append_that_is_under_way_while_a_view_is_registered_is_delivered() {
    let (database, mut session) = counters();
    let mut writer = database.session();
    fill(&mut session, &["before"]);
    writer.rows("BEGIN");
    writer.rows(&append("under way"));
    session.row("SELECT view FROM register_view('v')");
    writer.rows("COMMIT");
    let offset = fill(&mut session, &["after"]).remove(0);
    let mut streamed = stream(&mut session, "'v', 10");
    // One that was committed just before may come as well, when other transactions of the server
    // are open.
    streamed.retain(|event| event != "before1 #1");
    assert_eq!(streamed, ["under way1 #1", "after1 #1"]);
    session.row(&format!("SELECT ack_event('v', 'after', {offset})"));
}

#[test]
fn deciders_that_share_an_id_are_streamed_apart() {
    let (_database, mut session) = counters();
    let of = |decider: &str| append_to(decider, "x");
    let offsets = ["counter", "meter", "counter", "meter"].map(|decider| session.row(&of(decider)));
    until_readable(&mut session);
    view_of_all(&mut session);
    assert_eq!(stream(&mut session, "'v', 10"), ["x1 #1", "x1 #1"]);
    // The offset says which; a failure has to be told.
    session.row(&format!("SELECT ack_event('v', 'x', {})", offsets[1]));
    assert_eq!(stream(&mut session, "'v', 10"), ["x2 #1"]);
    assert_refused(&session.refusal("SELECT nack_event('v', 'x')"), "GV010");
    let nacked = "SELECT decider, attempt FROM nack_event('v', 'x', decider => 'counter')";
    assert_eq!(session.row(nacked), "counter|1");
    let nacked = "SELECT decider, last_offset FROM schedule_nack_event('v', 'x', 60000)";
    assert_eq!(session.row(nacked), format!("meter|{}", offsets[1]));
    for (version, offset) in [(1, &offsets[0]), (2, &offsets[2])] {
        let streamed = "SELECT decider || version FROM stream_events('v')";
        assert_eq!(session.row(streamed), format!("counter{version}"));
        session.row(&format!("SELECT ack_event('v', 'x', {offset})"));
    }
}

#[test]
fn a_consumer_that_stays_open_blocks_neither_writers_nor_other_consumers() {
    let (database, mut session) = counters();
    let offsets = fill(&mut session, &["a", "b", "c", "d"]);
    view_of_all(&mut session);
    assert_eq!(stream(&mut session, "'v'"), ["a1 #1"]);
    fill(&mut session, &["e"]);
    let (mut open, mut other) = (database.session(), database.session());
    open.rows("BEGIN");
    assert_eq!(stream(&mut open, "'v'"), ["b1 #1"]);
    other.rows("SET lock_timeout = 1");
    for id in ["a", "b", "e"] {
        other.row(&append(id));
    }
    assert_eq!(stream(&mut other, "'v'"), ["c1 #1"]);
    session.row(&format!("SELECT ack_event('v', 'a', {})", offsets[0]));
    open.row(&format!("SELECT ack_event('v', 'b', {})", offsets[1]));
    // It takes all that is left, and nobody waits for what becomes of that.
    assert_eq!(stream(&mut open, "'v', 10"), ["d1 #1", "e1 #1"]);
    assert_eq!(stream(&mut other, "'v', 10"), [""; 0]);
    open.rows("ROLLBACK");
    until_readable(&mut session);
    let streamed = stream(&mut other, "'v', 10");
    assert_eq!(streamed, ["b1 #1", "d1 #1", "e1 #1", "a2 #1"]);
}

#[test]
fn an_acknowledgement_that_stays_open_makes_nobody_wait() {
    let (database, mut session) = counters();
    let offsets = fill(&mut session, &["a", "b"]);
    view_of_all(&mut session);
    assert_eq!(stream(&mut session, "'v', 2"), ["a1 #1", "b1 #1"]);
    fill(&mut session, &["c", "b", "d"]);
    let mut open = database.session();
    open.rows("BEGIN");
    open.row(&format!("SELECT ack_event('v', 'b', {})", offsets[1]));
    session.rows("SET lock_timeout = 1");
    // Whether there is more of b is known when that has ended.
    assert_eq!(stream(&mut session, "'v', 10"), ["c1 #1"]);
    open.rows("COMMIT");
    assert_eq!(stream(&mut session, "'v', 10"), ["b2 #1", "d1 #1"]);
}

#[test]
fn an_append_that_stays_open_hides_nothing_that_came_before_it() {
    let (database, mut session) = counters();
    let offset = fill(&mut session, &["a"]).remove(0);
    view_of_all(&mut session);
    let mut writer = database.session();
    writer.rows("BEGIN");
    writer.rows(&append("a"));
    session.rows("SET lock_timeout = 1");
    assert_eq!(stream(&mut session, "'v'"), ["a1 #1"]);
    session.row(&format!("SELECT ack_event('v', 'a', {offset})"));
    assert_eq!(stream(&mut session, "'v'"), [""; 0]);
    writer.rows("COMMIT");
    until_readable(&mut session);
    assert_eq!(stream(&mut session, "'v'"), ["a2 #1"]);
}

#[test]
fn every_stream_that_is_locked_comes_with_its_event() {
    let (database, mut session) = counters();
    let ids: Vec<_> = (0..8).map(|n| format!("s{n}-")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    for _ in 0..6 {
        fill(&mut session, &ids);
    }
    view_of_all(&mut session);
    let mut workers: Vec<Session> = (0..4).map(|_| database.session()).collect();
    let mut delivered = Vec::new();
    let since = Instant::now();
    while delivered.len() < 48 {
        assert!(since.elapsed() < DEADLINE, "{delivered:?}");
        // Each acknowledges all that it gets in the same statement, while the others look.
        for worker in &mut workers {
            worker.begin(
                "SELECT e.decider_id || e.version, (SELECT parked FROM ack_event('v', e.decider_id, e.\"offset\", e.lease)) \
                 FROM stream_events('v', 3) AS e",
            );
        }
        for worker in &mut workers {
            delivered.extend(worker.finish().unwrap());
        }
        let leased = "SELECT count(*) FROM consumer_streams WHERE lease IS NOT NULL";
        assert_eq!(session.row(leased), "0");
    }
    delivered.sort();
    let all = ids
        .iter()
        .flat_map(|id| (1..=6).map(move |version| format!("{id}{version}|f")));
    assert_eq!(delivered, all.collect::<Vec<_>>(), "each event once");
}

#[test]
fn fifty_views_cost_an_append_nothing() {
    let (_database, mut session) = counters();
    let pages = |session: &mut Session| {
        // A page that is split, or what is looked up for the first time, costs more once: the least
        // of several counts.
        let counts = (0..8).map(|_| {
            let append = append("a");
            let plan = session.rows(&format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {append}"));
            let plan: serde_json::Value = serde_json::from_str(&plan.concat()).unwrap();
            ["Shared Hit Blocks", "Shared Read Blocks"]
                .map(|blocks| plan[0]["Plan"][blocks].as_u64().unwrap())
                .iter()
                .sum::<u64>()
        });
        counts.min()
    };
    let without = pages(&mut session);
    for view in 0..50 {
        session.row(&format!(
            "SELECT view FROM register_view('v{view}', '-infinity')"
        ));
        stream(&mut session, &format!("'v{view}'"));
    }
    assert_eq!(pages(&mut session), without);
}

#[test]
fn the_oldest_event_comes_first_however_much_its_stream_grows() {
    let (_database, mut session) = counters();
    fill(&mut session, &["busy", "quiet"]);
    session.row("SELECT view FROM register_view('v', '-infinity', max_attempts => 9)");
    for attempt in 1..=3 {
        fill(&mut session, &["busy", "busy"]);
        assert_eq!(stream(&mut session, "'v'"), [format!("busy1 #{attempt}")]);
        session.row("SELECT nack_event('v', 'busy')");
    }
    assert_eq!(stream(&mut session, "'v', 2"), ["busy1 #4", "quiet1 #1"]);
}

#[test]
fn a_start_is_a_point_in_time_whatever_the_time_zone_of_the_session() {
    let (_database, mut session) = counters();
    fill(&mut session, &["a"]);
    for (view, zone) in [("east", "+14"), ("west", "-12")] {
        session.rows(&format!("SET TIME ZONE {zone}"));
        session.row(&format!("SELECT view FROM register_view('{view}')"));
        let since = format!(
            "SELECT view FROM register_view('{view} of old', clock_timestamp() - INTERVAL '1 hour')"
        );
        session.row(&since.replace(" of ", "-"));
    }
    fill(&mut session, &["b"]);
    for view in ["east", "west"] {
        assert_eq!(
            stream(&mut session, &format!("'{view}-old', 10")),
            ["a1 #1", "b1 #1"]
        );
        let since_now = stream(&mut session, &format!("'{view}', 10"));
        assert_eq!(since_now.last().unwrap(), "b1 #1");
    }
}

#[test]
fn a_view_leaves_out_what_was_created_before_its_start() {
    let (_database, mut session) = counters();
    fill(&mut session, &["a", "b"]);
    session.row("SELECT view FROM register_view('v', (SELECT created_at + INTERVAL '1 microsecond' FROM events WHERE decider_id = 'b'))");
    session.row("SELECT view FROM register_view('later', clock_timestamp() + INTERVAL '1 hour')");
    fill(&mut session, &["a", "b"]);
    assert_eq!(stream(&mut session, "'v', 10"), ["a2 #1", "b2 #1"]);
    assert_eq!(stream(&mut session, "'later', 10"), [""; 0]);
}

#[test]
fn a_view_of_some_events_passes_over_the_others() {
    let (_database, mut session) = counters();
    session.row("SELECT event FROM register_decider_event('meter', 'Reset', '')");
    // More than a call looks at in one step.
    session.rows(
        "INSERT INTO events (event, event_id, decider, decider_id, data, command_id, previous_id) \
         SELECT 'Incremented', overlay(md5(n::TEXT) PLACING '4' FROM 13)::UUID, 'counter', 'long', '{}', gen_random_uuid(), \
                CASE WHEN n > 1 THEN overlay(md5((n - 1)::TEXT) PLACING '4' FROM 13)::UUID END \
         FROM generate_series(1, 2500) AS n",
    );
    session.row(&append_to("meter", "m"));
    session.row(&append_to("meter", "m").replace("Incremented", "Reset"));
    for (id, tags) in [("one", "a"), ("both", "b,a,c")] {
        session.row(&format!(
            "SELECT 1 FROM append_event('Incremented', gen_random_uuid(), 'meter', '{id}', '{{}}', gen_random_uuid(), NULL, tags => '{{{tags}}}')"
        ));
    }
    until_readable(&mut session);
    session.row("SELECT view FROM register_view('meters', '-infinity', deciders => '{meter}')");
    session.row("SELECT view FROM register_view('resets', '-infinity', events => '{Reset}')");
    session.row("SELECT view FROM register_view('tagged', '-infinity', tags => '{a,b}')");
    // Once more with what it does not say leaves the tags as they are.
    session.row("SELECT view FROM register_view('tagged', '-infinity', 60)");
    assert_eq!(stream(&mut session, "'tagged', 10"), ["both1 #1"]);
    assert_eq!(
        stream(&mut session, "'meters', 10"),
        ["m1 #1", "one1 #1", "both1 #1"]
    );
    assert_eq!(stream(&mut session, "'resets', 10"), ["m2 #1"]);
}

#[test]
fn a_view_is_named_by_its_namespace_and_itself() {
    let (_database, mut session) = counters();
    for unknown in [
        "SELECT * FROM stream_events('v')",
        "SELECT * FROM ack_event('v', 'a', 1)",
        "SELECT * FROM nack_event('v', 'a')",
        "SELECT * FROM schedule_nack_event('v', 'a', 1)",
    ] {
        let refusal = session.refusal(unknown);
        assert_refused(&refusal, "GV006");
        assert_eq!(refusal.detail.as_deref(), Some(r#"{"consumer" : "v"}"#));
    }
    for bad in [
        "'a b'",
        "''",
        "'v', now(), 0",
        "'v', edge_function_url => 'file:///x'",
        "'v', namespace => 'a_b'",
        "'v', max_attempts => 0",
        "'v', deciders => '{a,NULL}'",
    ] {
        assert_refused(
            &session.refusal(&format!("SELECT register_view({bad})")),
            "23514",
        );
    }
    for namespace in ["default", "other"] {
        session.rows(&format!(
            "SELECT append_event('Incremented', gen_random_uuid(), 'counter', 'of-{namespace}-', '{{}}', gen_random_uuid(), NULL, \
             namespace => '{namespace}')"
        ));
        session.row(&format!(
            "SELECT view FROM register_view('v', '-infinity', namespace => '{namespace}')"
        ));
    }
    until_readable(&mut session);
    assert_eq!(stream(&mut session, "'v', 10"), ["of-default-1 #1"]);
    assert_eq!(
        stream(&mut session, "'v', 10, namespace => 'other'"),
        ["of-other-1 #1"]
    );
}

#[test]
fn a_view_with_a_url_is_one_to_push_to() {
    let (_database, mut session) = counters();
    let url = "https://example.org/'; DROP TABLE events; --";
    let quoted = url.replace('\'', "''");
    session.row(&format!(
        "SELECT view FROM register_view('v', now(), 300, 1, '{quoted}', push_secret => 's')"
    ));
    assert_eq!(
        session.row("SELECT edge_function_url FROM views"),
        url,
        "it is text and nothing else"
    );
    session.row("SELECT view FROM register_view('v')");
    assert_eq!(
        session.row("SELECT push_url IS NULL, push_secret FROM consumers"),
        "t|s"
    );
}

#[test]
fn a_role_that_may_only_consume_can_consume() {
    let (_database, mut session) = counters();
    let offset = fill(&mut session, &["a"]).remove(0);
    view_of_all(&mut session);
    let role = format!("consumer_{}", session.row("SELECT current_database()"));
    let outcome = (|| {
        session.run(&format!("CREATE ROLE {role}"))?;
        session.run(&format!("GRANT SELECT ON events, generations TO {role}"))?;
        session.run(&format!("GRANT SELECT, UPDATE ON consumers TO {role}"))?;
        session.run(&format!(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON consumer_streams TO {role}"
        ))?;
        session.run(&format!("SET ROLE {role}"))?;
        session.run("SELECT nack_event('v', decider_id) FROM stream_events('v')")?;
        session.run("SELECT lease FROM stream_events('v')")?;
        session.run(&format!(
            "SELECT last_offset FROM ack_event('v', 'a', {offset})"
        ))
    })();
    let append = session.refusal(&append("a"));
    // Roles are the server's, not the database's.
    session.rows("RESET ROLE");
    session.rows(&format!("DROP OWNED BY {role}"));
    session.rows(&format!("DROP ROLE {role}"));
    assert_eq!(outcome, Ok(vec![offset]));
    assert_refused(&append, "42501");
}
