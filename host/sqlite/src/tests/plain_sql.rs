//! The access of other programs to the tables: what they can change, and what they see.

use gavel_model::{ConsumerId, ConsumerSettings, EventFilter, Start};
use gavel_store::{ConsumerError, ConsumerStore as _};

use super::*;

/// Runs a statement that must fail, and gives back what SQLite says.
fn refusal(connection: &Connection, statement: &str) -> String {
    let refused = connection.execute(statement, []);
    refused.unwrap_err().to_string()
}

#[tokio::test]
async fn what_is_recorded_cannot_be_changed_by_plain_sql() {
    let file = File::new();
    let store = file.open().await;
    let fence = activate_counter(&store).await;
    let events = grow(&store, &stream("c"), 2).await;
    let part = rejected(&stream("d"), fence, 0);
    append(&store, part).await.unwrap();
    let sql = file.plain_sql();

    for statement in [
        "UPDATE events SET data = '{}'",
        "DELETE FROM events",
        // The next of its stream in all but the id, or the offset, of an event that it would
        // replace.
        "INSERT OR REPLACE INTO events (event, event_id, decider, decider_id, data, command_id, previous_id, created_at, version)
        SELECT 'Reset', last_event_id, decider, decider_id, '{}', last_event_id, last_event_id, updated_at, version + 1 FROM stream_heads",
        r#"INSERT OR REPLACE INTO events ("offset", event, event_id, decider, decider_id, data, command_id, previous_id, created_at, version)
        SELECT 1, 'Reset', randomblob(16), decider, decider_id, '{}', last_event_id, last_event_id, updated_at, version + 1 FROM stream_heads"#,
        "UPDATE activations SET message = ''",
        "DELETE FROM activations",
        "UPDATE commands SET fuel = fuel + 1",
        "DELETE FROM commands",
        "UPDATE modules SET digest = replace(digest, 'a', 'b')",
    ] {
        let said = refusal(&sql, statement);
        assert!(said.contains("are immutable"), "{statement}: {said}");
    }
    assert_eq!(events_of(&store, &stream("c")).await, events);
}

#[tokio::test]
async fn plain_sql_obeys_the_rules_of_a_stream() {
    let file = File::new();
    let store = file.open().await;
    activate_counter(&store).await;
    let newest = grow(&store, &stream("c"), 1).await.remove(0);
    let newest_id = newest.event.event_id;
    let sql = file.plain_sql();
    let insert = |event: &str, id: Uuid, previous: Option<Uuid>, version: i64, is_final: bool| {
        let previous = previous.map(Uuid::into_bytes);
        sql.execute(
            "INSERT INTO events (event, event_id, decider, decider_id, data, command_id, previous_id, final, created_at, version)
            VALUES (?1, ?2, 'counter', 'c', '{}', ?2, ?3, ?4, 4000000000000, ?5)",
            params![event, id.as_bytes(), previous, is_final, version],
        )
        .map_err(|error| error.to_string())
    };

    let id = Uuid::now_v7();
    for (event, id, previous, version, reason) in [
        ("Incremented", id, Some(newest_id), 3, "not the next"),
        ("Incremented", id, Some(newest_id), 1, "not the next"),
        ("Incremented", id, Some(id), 2, "previous_id"),
        ("Incremented", id, None, 2, "previous_id"),
        ("Incremented", newest_id, Some(newest_id), 2, "immutable"),
        ("Unheard", id, Some(newest_id), 2, "FOREIGN KEY"),
    ] {
        let said = insert(event, id, previous, version, false).unwrap_err();
        assert!(said.contains(reason), "{said}");
    }
    insert("Closed", id, Some(newest_id), 2, true).unwrap();
    let said = insert("Incremented", Uuid::now_v7(), Some(id), 3, false).unwrap_err();
    assert!(said.contains("final"), "{said}");

    let head = store.head(&stream("c")).await.unwrap();
    assert_eq!(
        (head.version, head.last_event_id, head.is_final),
        (version(2), Some(id), true)
    );
    let error = append(&store, import(&stream("c"), exactly(2), increments(1)))
        .await
        .unwrap_err();
    assert!(
        matches!(error, AppendError::StreamFinal { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn plain_sql_sees_the_newest_event_of_each_stream() {
    let file = File::new();
    let store = file.open().await;
    activate_counter(&store).await;
    for (id, events) in [("a", 3), ("b", 1)] {
        grow(&store, &stream(id), events).await;
    }
    let sql = file.plain_sql();
    let mut select = sql
        .prepare("SELECT decider_id, version, last_event_id, final FROM stream_heads ORDER BY decider_id")
        .unwrap();
    let seen = select.query_map([], |row| {
        let last_event_id = Uuid::from_bytes(row.get(2)?);
        Ok((
            row.get::<_, String>(0)?,
            row.get::<_, i64>(1)?,
            last_event_id,
            row.get::<_, bool>(3)?,
        ))
    });
    let seen: Vec<_> = seen.unwrap().map(Result::unwrap).collect();
    assert_eq!(seen.len(), 2);
    for (id, number, last_event_id, is_final) in seen {
        let head = store.head(&stream(&id)).await.unwrap();
        let expected = (head.version.to_sql(), head.last_event_id, head.is_final);
        assert_eq!((number, Some(last_event_id), is_final), expected);
    }
}

#[tokio::test]
async fn plain_sql_stores_nothing_that_readers_do_not_understand() {
    let file = File::new();
    let store = file.open().await;
    activate_counter(&store).await;
    let last = grow(&store, &stream("c"), 2).await.remove(1).position;
    let sql = file.plain_sql();
    let insert = |values: &str| {
        let statement = format!(
            r#"INSERT INTO events ("offset", namespace, decider_id, created_at, decider, event, event_id, command_id, version, data)
            SELECT {values}, 'counter', 'Incremented', randomblob(16), randomblob(16), 1, '{{}}'"#
        );
        let done = sql.execute(&statement, []);
        done.map_err(|error| error.to_string())
    };
    for (values, reason) in [
        ("NULL, 'default', 'd', 253402300800000", "created_at"),
        ("NULL, 'default', 'd', -62135596800001", "created_at"),
        ("NULL, 'default', '', 0", "name a stream"),
        ("NULL, 'default', 'a' || char(10), 0", "name a stream"),
        ("NULL, 'default', 'a' || char(133), 0", "name a stream"),
        ("NULL, 'default', 'a' || char(0), 0", "name a stream"),
        ("NULL, 'default', printf('%256s', 'a'), 0", "name a stream"),
        ("NULL, 'default', 'streams', 0", "name a stream"),
        ("NULL, 'No Name', 'd', 0", "name a stream"),
        ("-5, 'default', 'd', 0", "offset"),
        ("9223372036854775807, 'default', 'd', 0", "offset"),
    ] {
        let said = insert(values).unwrap_err();
        assert!(said.contains(reason), "{values}: {said}");
    }
    insert("1000, 'default', 'straße 1', 253402300799999").unwrap();
    let said = insert("500, 'default', 'e', 0").unwrap_err();
    assert!(said.contains("offset"), "{said}");
    assert!(grow(&store, &stream("c"), 1).await[0].position > last);
}

#[tokio::test]
async fn a_consumer_that_cannot_be_read_costs_the_others_nothing_and_can_be_deleted() {
    let file = File::new();
    let store = file.open().await;
    let ids = ["bad", "good"].map(|name| ConsumerId::new(Namespace::default(), name).unwrap());
    let [bad, good] = &ids;
    for id in &ids {
        let settings = ConsumerSettings {
            filter: EventFilter::default(),
            lock_timeout: std::time::Duration::from_secs(1),
            max_attempts: 1,
            backoff: std::time::Duration::ZERO,
            push: None,
        };
        let put = store.put_consumer(id, &settings, Start::Beginning).await;
        assert!(put.unwrap());
    }
    let spoil = "UPDATE consumers SET deciders = '{}' WHERE consumer = 'bad'";
    file.plain_sql().execute(spoil, []).unwrap();

    let listed = async || {
        let consumers = store.list_consumers(None, None, 10, 1).await.unwrap();
        let consumers = consumers.items.into_iter();
        consumers.map(|consumer| consumer.id).collect::<Vec<_>>()
    };
    store.consumer(bad, 1).await.unwrap_err();
    assert_eq!(listed().await, std::slice::from_ref(good));
    store.delete_consumer(bad).await.unwrap();
    let again = store.delete_consumer(bad).await;
    assert!(matches!(again, Err(ConsumerError::NotFound)), "{again:?}");
}
