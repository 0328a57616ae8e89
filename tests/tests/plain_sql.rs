//! The event store for users of SQL alone: every statement goes through `psql`, as theirs do.

use gavel_tests::postgres::{Database, Refusal, Session};

/// The id number `number`, as SQL writes it.
fn id(number: u32) -> String {
    format!("'00000000-0000-0000-0000-{number:012}'")
}

/// `append_event` for the event with the id `event` of `decider`, after the one with the id
/// `previous`; 0 for none.
fn append_to(decider: &str, decider_id: &str, event: u32, previous: u32, more: &str) -> String {
    let previous = if previous == 0 {
        "NULL".to_owned()
    } else {
        id(previous)
    };
    format!(
        "SELECT version FROM append_event('Incremented', {}, '{decider}', '{decider_id}', '{{}}', gen_random_uuid(), {previous}{more})",
        id(event)
    )
}

fn append(decider_id: &str, event: u32, previous: u32) -> String {
    append_to("counter", decider_id, event, previous, "")
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

#[track_caller]
fn assert_refused(refusal: &Refusal, sqlstate: &str, constraint: &str) {
    assert_eq!(
        (
            refusal.sqlstate.as_str(),
            refusal.constraint.as_deref().unwrap_or_default()
        ),
        (sqlstate, constraint),
        "{refusal}"
    );
}

/// Asserts a refusal by a rule of ours, with its facts.
#[track_caller]
fn assert_rule(refusal: &Refusal, sqlstate: &str, facts: &str) {
    assert_refused(refusal, sqlstate, "");
    assert_eq!(
        json(refusal.detail.as_deref()),
        json(Some(facts)),
        "{refusal}"
    );
}

/// Asserts that the stream has moved on, between these versions.
#[track_caller]
fn assert_moved(refusal: &Refusal, constraint: &str, expected: u64, current: u64) {
    assert_refused(refusal, "23505", constraint);
    let facts = serde_json::json!({ "expected": expected, "current": current });
    assert_eq!(json(refusal.detail.as_deref()), facts, "{refusal}");
}

#[track_caller]
fn json(text: Option<&str>) -> serde_json::Value {
    serde_json::from_str(text.unwrap_or("null")).expect("psql answers with JSON")
}

#[test]
fn registering_is_idempotent_and_gives_back_the_row() {
    let database = Database::new();
    let mut session = database.session();
    let register = "SELECT * FROM register_decider_event('counter', 'Incremented', 'it went up')";
    assert_eq!(session.row(register), "counter|Incremented|1|it went up");
    assert_eq!(session.row(register), "counter|Incremented|1|it went up");
    let next = "SELECT * FROM register_decider_event('counter', 'Incremented', 'by how much', 2)";
    assert_eq!(session.row(next), "counter|Incremented|2|by how much");
    assert_eq!(session.row("SELECT count(*) FROM deciders"), "2");

    for unreadable in [
        "'a b', 'X', ''",
        "'counter', '', ''",
        "'counter', 'X', '', 0",
    ] {
        let refusal = session.refusal(&format!("SELECT register_decider_event({unreadable})"));
        assert_eq!(refusal.sqlstate, "23514", "{refusal}");
    }
}

#[test]
fn events_are_appended_and_read_with_the_functions_of_fstore_sql() {
    let (_database, mut session) = counters();
    let first = format!(
        "SELECT event, event_version, decider, decider_id, data, final, namespace, version, previous_id, tags, metadata \
         FROM append_event('Incremented', {}, 'counter', 'c-1', '{{\"by\": 2}}', {}, NULL)",
        id(1),
        id(9)
    );
    assert_eq!(
        session.row(&first),
        r#"Incremented|1|counter|c-1|{"by": 2}|f|default|1||{}|{}"#
    );
    assert_eq!(session.row(&append("c-1", 2, 1)), "2");
    assert_eq!(session.row(&append("c-1", 3, 2)), "3");

    let read = "SELECT version, right(event_id::TEXT, 1), right(previous_id::TEXT, 1) FROM get_events('c-1', 'counter')";
    assert_eq!(session.rows(read), ["1|1|", "2|2|1", "3|3|2"]);
    let last = "SELECT version FROM get_last_event('c-1', 'counter')";
    assert_eq!(session.row(last), "3");
    let none = "SELECT version FROM get_last_event('c-2', 'counter')";
    assert_eq!(session.rows(none), Vec::<String>::new());
    let in_order = "SELECT bool_and(created_at >= previous) FROM (\
                    SELECT created_at, lag(created_at) OVER (ORDER BY version) AS previous FROM events) AS e";
    assert_eq!(session.row(in_order), "t");
}

#[test]
fn an_event_that_is_not_registered_for_the_decider_is_refused() {
    let (_database, mut session) = counters();
    let unregistered = "events_decider_event_event_version_fkey";
    let refusal = session.refusal(&append_to("gauge", "c-1", 1, 0, ""));
    assert_refused(&refusal, "23503", unregistered);
    let refusal = session.refusal(&append_to("counter", "c-1", 1, 0, ", 2"));
    assert_refused(&refusal, "23503", unregistered);
}

#[test]
fn a_fork_is_refused_with_the_expected_and_the_current_version() {
    let (_database, mut session) = counters();
    session.rows(&append("c-1", 1, 0));
    session.rows(&append("c-1", 2, 1));
    session.rows(&append("c-1", 3, 2));
    let refusal = session.refusal(&append("c-1", 4, 1));
    assert_moved(&refusal, "events_previous_id_key", 1, 3);
    let refusal = session.refusal(&append("c-1", 4, 0));
    assert_moved(&refusal, "events_stream_version_key", 0, 3);
    assert_eq!(session.row("SELECT count(*) FROM events"), "3");
}

#[test]
fn the_previous_id_must_be_an_event_of_the_stream() {
    let (_database, mut session) = counters();
    session.rows(&append("c-1", 1, 0));
    session.rows(&append("c-2", 2, 0));
    // Unknown, of another stream, of a stream that has no events.
    let refusal = session.refusal(&append("c-1", 3, 9));
    assert_rule(
        &refusal,
        "GV001",
        &format!("{{\"current_id\": {}}}", id(1).replace('\'', "\"")),
    );
    let refusal = session.refusal(&append("c-1", 3, 2));
    assert_eq!(refusal.sqlstate, "GV001");
    let refusal = session.refusal(&append("c-3", 3, 1));
    assert_rule(&refusal, "GV001", r#"{"current_id": null}"#);
}

#[test]
fn an_event_id_is_used_once() {
    let (_database, mut session) = counters();
    session.rows(&append("c-1", 1, 0));
    let refusal = session.refusal(&append("c-2", 1, 0));
    assert_refused(&refusal, "23505", "events_event_id_key");
    let refusal = session.refusal(&append("c-1", 1, 1));
    assert_refused(&refusal, "23505", "events_event_id_key");
}

#[test]
fn of_twenty_sessions_that_append_a_first_event_one_succeeds() {
    let (database, mut session) = counters();
    // All wait for the stream before any may go on.
    session.rows("BEGIN");
    session.rows("SELECT pg_advisory_xact_lock(gavel_stream_key('default', 'counter', 'c-1'))");
    let mut racers: Vec<Session> = (0..20).map(|_| database.session()).collect();
    for (event, racer) in (1..).zip(&mut racers) {
        racer.begin(&append("c-1", event, 0));
    }
    database.session().until_blocked(20);
    session.rows("COMMIT");

    let outcomes: Vec<_> = racers.iter_mut().map(Session::finish).collect();
    let refusals: Vec<_> = outcomes
        .iter()
        .filter_map(|outcome| outcome.as_ref().err())
        .collect();
    assert_eq!(refusals.len(), 19);
    for refusal in refusals {
        assert_moved(refusal, "events_stream_version_key", 0, 1);
    }
    assert_eq!(session.row("SELECT count(*) FROM events"), "1");
}

#[test]
fn a_writer_waits_for_another_one_of_the_same_stream_and_is_told_its_outcome() {
    let (database, mut observer) = counters();
    let (mut first, mut second) = (database.session(), database.session());
    first.rows("BEGIN");
    first.rows(&append("c-1", 1, 0));
    second.begin(&append("c-1", 2, 0));
    observer.until_blocked(1);
    first.rows("ROLLBACK");
    assert_eq!(second.finish().unwrap(), ["1"]);

    first.rows("BEGIN");
    first.rows(&append("c-1", 3, 2));
    second.begin(&append("c-1", 4, 2));
    observer.until_blocked(1);
    // Other streams go on.
    observer.rows(&append("c-2", 5, 0));
    first.rows("COMMIT");
    let refusal = second.finish().unwrap_err();
    assert_moved(&refusal, "events_previous_id_key", 1, 2);
}

#[test]
fn a_stream_ends_with_a_final_event_whoever_writes() {
    let (_database, mut session) = counters();
    session.rows(&append("c-1", 1, 0));
    assert_eq!(
        session.row(&append_to("counter", "c-1", 2, 1, ", 1, TRUE")),
        "2"
    );
    for previous in [0, 1, 2] {
        let refusal = session.refusal(&append("c-1", 3, previous));
        assert_rule(&refusal, "GV002", r#"{"version": 2}"#);
    }
    let refusal = session.refusal(&insert("c-1", 3, 2, ", version", ", 3"));
    assert_rule(&refusal, "GV002", r#"{"version": 2}"#);
    assert_eq!(
        session.row("SELECT final FROM get_last_event('c-1', 'counter')"),
        "t"
    );
}

#[test]
fn deciders_and_namespaces_that_share_an_id_share_nothing_else() {
    let (_database, mut session) = counters();
    session.rows(&append_to("counter", "x", 1, 0, ""));
    session.rows(&append_to("counter", "x", 2, 1, ", 1, TRUE"));
    session.rows(&append_to("meter", "x", 3, 0, ""));
    session.rows(&append_to("counter", "x", 4, 0, ", 1, FALSE, 'other'"));
    let last = |decider: &str| {
        format!("SELECT right(event_id::TEXT, 1) FROM get_last_event('x', {decider})")
    };
    assert_eq!(session.row(&last("'counter'")), "2");
    assert_eq!(session.row(&last("'meter'")), "3");
    assert_eq!(session.row(&last("'counter', 'other'")), "4");
    assert_eq!(
        session.row("SELECT count(*) FROM get_events('x', 'counter')"),
        "2"
    );
    // One decider's event is no predecessor of another's.
    let refusal = session.refusal(&append_to("meter", "x", 5, 2, ""));
    assert_eq!(refusal.sqlstate, "GV001", "{refusal}");
    session.rows(&append_to("meter", "x", 5, 3, ""));
}

#[test]
fn what_is_recorded_never_changes() {
    let (_database, mut session) = counters();
    session.rows(&append("c-1", 1, 0));
    let kept = [
        ("events", "decider"),
        ("deciders", "decider"),
        ("activations", "name"),
        ("commands", "actor"),
        ("modules", "name"),
    ];
    for (table, column) in kept {
        let mut statements = vec![
            format!("UPDATE {table} SET {column} = 'x'"),
            format!("UPDATE {table} SET {column} = 'x' WHERE FALSE"),
            format!("TRUNCATE {table} CASCADE"),
        ];
        // One that nobody uses may go.
        if table != "modules" {
            statements.push(format!("DELETE FROM {table}"));
        }
        for statement in statements {
            let refusal = session.refusal(&statement);
            assert_eq!(refusal.sqlstate, "GV003", "{statement}: {refusal}");
        }
    }
    assert_eq!(session.row("SELECT count(*) FROM events"), "1");
}

/// A plain INSERT with the columns that fstore-sql's users name, and `columns` with `values`.
fn insert(decider_id: &str, event: u32, previous: u32, columns: &str, values: &str) -> String {
    let previous = if previous == 0 {
        "NULL".to_owned()
    } else {
        id(previous)
    };
    format!(
        "INSERT INTO events (event, event_id, decider, decider_id, data, command_id, previous_id{columns}) \
         VALUES ('Incremented', {}, 'counter', '{decider_id}', '{{}}', gen_random_uuid(), {previous}{values}) RETURNING version",
        id(event)
    )
}

#[test]
fn a_plain_insert_obeys_the_rules_of_the_functions() {
    let (_database, mut session) = counters();
    assert_eq!(session.row(&insert("c-1", 1, 0, "", "")), "1");
    assert_eq!(session.row(&insert("c-1", 2, 1, "", "")), "2");
    // A writer may name the version; then it has to be the next one.
    assert_eq!(session.row(&insert("c-1", 3, 2, ", version", ", 3")), "3");
    assert_eq!(session.row("SELECT version FROM stream_heads"), "3");

    let refusal = session.refusal(&insert("c-1", 4, 1, "", ""));
    assert_moved(&refusal, "events_previous_id_key", 1, 3);
    let refusal = session.refusal(&insert("c-1", 4, 0, "", ""));
    assert_moved(&refusal, "events_stream_version_key", 0, 3);
    for (previous, version, sqlstate, constraint) in [
        (3, "3", "23505", "events_stream_version_key"),
        (2, "3", "23505", "events_previous_id_key"),
        (3, "5", "GV001", ""),
        (9, "4", "GV001", ""),
        (0, "4", "23514", "events_first_event_check"),
        (3, "1", "23514", "events_first_event_check"),
        (3, "0", "23514", "events_version_check"),
    ] {
        let values = format!(", {version}");
        let refusal = session.refusal(&insert("c-1", 4, previous, ", version", &values));
        assert_refused(&refusal, sqlstate, constraint);
    }
    assert_eq!(session.row("SELECT max(version) FROM events"), "3");
}

#[test]
fn columns_that_order_the_log_are_up_to_the_database() {
    let (_database, mut session) = counters();
    session.rows(&insert("c-1", 1, 0, "", ""));
    // The transaction of the event before it, and one that is still to come.
    let of_another = "(SELECT transaction_id FROM events LIMIT 1)";
    let of_later = "(pg_current_xact_id()::TEXT::BIGINT + 1)::TEXT::XID8";
    for (column, value, sqlstate) in [
        ("transaction_id", of_another, "GV004"),
        ("transaction_id", of_later, "GV004"),
        ("generation", "-1", "GV004"),
        ("generation", "7", "GV004"),
        ("\"offset\"", "-1", "23514"),
        ("created_at", "'2020-01-01'", "GV004"),
        ("created_at", "'2222-01-01'", "GV004"),
    ] {
        let (columns, values) = (format!(", version, {column}"), format!(", 2, {value}"));
        let refusal = session.refusal(&insert("c-1", 2, 1, &columns, &values));
        assert_eq!(refusal.sqlstate, sqlstate, "{column}: {refusal}");
    }
}

#[test]
fn names_that_no_host_could_read_are_refused() {
    let (_database, mut session) = counters();
    for unreadable in ["", "streams", "a\nb", &"x".repeat(256)] {
        let refusal = session.refusal(&append(unreadable, 1, 0));
        assert_refused(&refusal, "23514", "events_stream_check");
    }
    let (version, rest) = (", 1, FALSE", ", 1, FALSE, 'default'");
    for (more, constraint) in [
        (format!("{version}, 'a_b'"), "events_stream_check"),
        (format!("{rest}, '{{a,NULL}}'"), "events_tags_check"),
        (format!("{rest}, '{{}}', '[]'"), "events_metadata_check"),
        (
            format!("{rest}, '{{}}', '{{\"a\": 1}}'"),
            "events_metadata_check",
        ),
    ] {
        let refusal = session.refusal(&append_to("counter", "c-1", 1, 0, &more));
        assert_refused(&refusal, "23514", constraint);
    }
    let good = format!("{rest}, '{{a,b}}', '{{\"a\": \"1\"}}'");
    session.rows(&append_to("counter", "日本 c/1 ☂", 1, 0, &good));
}

#[test]
fn rows_of_one_statement_follow_one_another() {
    let (_database, mut session) = counters();
    let rows = "INSERT INTO events (event, event_id, decider, decider_id, data, command_id, previous_id) VALUES \
        ('Incremented', md5('1')::UUID, 'counter', 'c-1', '{}', gen_random_uuid(), NULL), \
        ('Incremented', md5('2')::UUID, 'counter', 'c-2', '{}', gen_random_uuid(), NULL), \
        ('Incremented', md5('3')::UUID, 'counter', 'c-1', '{}', gen_random_uuid(), md5('1')::UUID)";
    session.rows(rows);
    let heads =
        "SELECT decider_id, version, last_event_id = md5('3')::UUID FROM stream_heads ORDER BY 1";
    assert_eq!(session.rows(heads), ["c-1|2|t", "c-2|1|f"]);
}

#[test]
fn an_append_that_would_come_before_its_predecessor_in_the_log_is_told_to_begin_again() {
    let (database, mut late) = counters();
    late.rows("BEGIN");
    late.rows(&append("elsewhere", 1, 0));
    database.session().rows(&append("c-1", 2, 0));
    let refusal = late.refusal(&append("c-1", 3, 2));
    assert_refused(&refusal, "40001", "");
    late.rows("ROLLBACK");

    late.rows("BEGIN");
    late.rows(&append("elsewhere", 1, 0));
    late.rows(&append("c-1", 3, 2));
    late.rows("COMMIT");
    let log = "SELECT version FROM events WHERE decider_id = 'c-1' ORDER BY generation, transaction_id, \"offset\"";
    assert_eq!(late.rows(log), ["1", "2"]);
}

#[test]
fn a_role_that_may_only_append_can_append() {
    let (_database, mut session) = counters();
    let role = format!("appender_{}", session.row("SELECT current_database()"));
    let outcome = (|| {
        session.run(&format!("CREATE ROLE {role}"))?;
        session.run(&format!("GRANT SELECT, INSERT ON events TO {role}"))?;
        session.run(&format!(
            "GRANT USAGE ON SEQUENCE events_offset_seq TO {role}"
        ))?;
        session.run(&format!("SET ROLE {role}"))?;
        session.run(&append("c-1", 1, 0))?;
        session.run(&append("c-1", 2, 1))
    })();
    // Who says that he is a host is one only if he may write the ledger.
    session.rows("SET gavel.writer = 'host'");
    let forged = append("c-2", 1, 0).replace(&id(1), "'00000000-0000-8000-8000-000000000001'");
    let forged = session.refusal(&forged);
    let last = append_to("counter", "c-1", 3, 2, ", final => true");
    session.rows(&last);
    session.rows(
        "CREATE TEMP TABLE stream_heads (namespace TEXT, decider TEXT, decider_id TEXT, version BIGINT, last_event_id UUID, \
         final BOOLEAN, updated_at TIMESTAMPTZ, CONSTRAINT stream_heads_pkey PRIMARY KEY (namespace, decider, decider_id))",
    );
    session.rows("CREATE TEMP TABLE events (LIKE public.events)");
    let after_the_end = session.refusal(&format!(
        "INSERT INTO public.events (event, event_id, decider, decider_id, data, command_id, previous_id, version) \
         VALUES ('Incremented', {}, 'counter', 'c-1', '{{}}', gen_random_uuid(), {}, 4)",
        id(4),
        id(3)
    ));
    let change = session.refusal("DELETE FROM public.events");
    // Roles are the server's, not the database's.
    session.rows("RESET ROLE");
    session.rows(&format!("DROP OWNED BY {role}"));
    session.rows(&format!("DROP ROLE {role}"));
    assert_eq!(outcome, Ok(vec!["2".to_owned()]));
    assert_eq!(forged.sqlstate, "GV015", "{forged}");
    assert_eq!(after_the_end.sqlstate, "GV002", "{after_the_end}");
    assert_eq!(change.sqlstate, "42501", "{change}");
}

/// The number of pages that the next append to the stream looks at.
fn pages_of_an_append(session: &mut Session, decider_id: &str) -> u64 {
    let append = format!(
        "SELECT append_event('Incremented', gen_random_uuid(), 'counter', '{decider_id}', '{{}}', gen_random_uuid(), \
         (SELECT last_event_id FROM stream_heads WHERE decider_id = '{decider_id}'))"
    );
    let plan = session.rows(&format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {append}"));
    let plan = &json(Some(&plan.concat()))[0]["Plan"];
    ["Shared Hit Blocks", "Shared Read Blocks"]
        .map(|blocks| plan[blocks].as_u64().expect("a plan counts its blocks"))
        .iter()
        .sum()
}

#[test]
fn an_append_after_twenty_thousand_events_costs_what_it_costs_after_ten() {
    let (_database, mut session) = counters();
    // Of version 4: those of version 8 are hosts'.
    let id = |decider_id, number| {
        format!("overlay(md5('{decider_id}' || {number}) PLACING '4' FROM 13)::UUID")
    };
    for (decider_id, count) in [("long", 20_000), ("short", 10)] {
        session.rows(&format!(
            "INSERT INTO events (event, event_id, decider, decider_id, data, command_id, previous_id) \
             SELECT 'Incremented', {}, 'counter', '{decider_id}', '{{}}', gen_random_uuid(), \
                    CASE WHEN n > 1 THEN {} END \
             FROM generate_series(1, {count}) AS n",
            id(decider_id, "n"),
            id(decider_id, "n - 1")
        ));
    }
    // A page that is split, or a session that looks something up for the first time, costs more
    // once: the least of several counts.
    let mut least = |decider_id| {
        (0..8)
            .map(|_| pages_of_an_append(&mut session, decider_id))
            .min()
    };
    let (long, short) = (least("long"), least("short"));
    assert!(
        long <= short,
        "{long:?} pages after 20,000 events, {short:?} after 10"
    );
    assert_eq!(
        session.row("SELECT version FROM stream_heads WHERE decider_id = 'long'"),
        "20008"
    );
}

#[test]
fn what_only_hosts_write_is_refused() {
    let (_database, mut session) = counters();
    let derived = "'00000000-0000-8000-8000-000000000001'";
    let facts = |name: &str, value: &str| format!(r#"{{"{name}":"{value}"}}"#);
    let plain = derived.trim_matches('\'');
    let event = |event_id: &str, command_id: &str, metadata: &str| {
        format!(
            "SELECT version FROM append_event('Incremented', {event_id}, 'counter', 'c', '{{}}', {command_id}, NULL, metadata => '{metadata}')"
        )
    };
    let some = "gen_random_uuid()";
    let own = r#"{"actor":"somebody","gavel_task":"a"}"#;
    for (refused, name, value) in [
        (event(derived, some, "{}"), "event_id", plain),
        (event(some, derived, "{}"), "command_id", plain),
        (
            event(some, some, r#"{"a":"b","gavel-depth":"1"}"#),
            "metadata",
            "gavel-depth",
        ),
    ] {
        let refusal = session.run(&refused).unwrap_err();
        assert_rule(&refusal, "GV015", &facts(name, value));
    }
    // Whatever the door, and for each row of a statement.
    let insert = format!(
        "INSERT INTO events (event, event_id, decider, decider_id, data, command_id, event_version) \
         SELECT 'Incremented', number::TEXT::UUID, 'counter', number, '{{}}', gen_random_uuid(), 1 \
         FROM unnest(ARRAY[{}, {derived}]) AS number",
        id(1)
    );
    let refusal = session.run(&insert).unwrap_err();
    assert_rule(&refusal, "GV015", &facts("event_id", plain));
    assert_eq!(session.row(&event(some, some, own)), "1");

    // A name that belongs to a process, also when nothing works under it any more.
    session.rows(
        "INSERT INTO activations (namespace, kind, name, number, accepted, report) VALUES ('default', 'process', 'meter', 1, '{}', '{}')",
    );
    let refusal = session.run(&append_to("meter", "m", 2, 0, "")).unwrap_err();
    assert_rule(&refusal, "GV015", &facts("process", "meter"));
    let elsewhere = append_to("meter", "m", 2, 0, ", namespace => 'other'");
    assert_eq!(session.row(&elsewhere), "1");
}
