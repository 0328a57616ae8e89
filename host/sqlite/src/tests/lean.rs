//! Rows that lack what can be found again.

use gavel_model::{CommandId, CommandOutcome, Metadata, StreamId, reserved};
use gavel_store::{Fence, StreamAppend};

use super::*;
use crate::migrations;

/// A part as the host makes it: its event names the module, and causes that are the command.
fn decided_by(stream: &StreamId, fence: Fence, module: ModuleDigest) -> StreamAppend {
    let mut part = decided(stream, fence, 0, increments(1));
    let command = part.command.as_mut().unwrap();
    command.module = module;
    let id = command.command_id.to_string();
    part.events[0].metadata = Metadata::default()
        .with(reserved::MODULE, module.to_string())
        .with(reserved::CORRELATION_ID, id.clone())
        .with(reserved::CAUSATION_ID, id);
    part
}

/// The activation, module and metadata that the row of a stream's first event, or command, holds.
fn row(file: &File, table: &str, stream: &StreamId) -> [Value; 3] {
    let module = if table == "commands" {
        "module"
    } else {
        "NULL"
    };
    let select =
        format!("SELECT activation, {module}, metadata FROM {table} WHERE decider_id = ?1");
    let read = |row: &rusqlite::Row<'_>| Ok([row.get(0)?, row.get(1)?, row.get(2)?]);
    file.plain_sql()
        .query_row(&select, [stream.id()], read)
        .unwrap()
}

#[tokio::test]
async fn what_follows_from_the_activation_is_not_stored_and_read_all_the_same() {
    let file = File::new();
    let store = file.open().await;
    let fence = activate_counter(&store).await;
    let active = ModuleDigest::of(b"counter 0");
    let (namespace, mut stored) = (Namespace::default(), Vec::new());
    for (id, module) in [("a", active), ("b", ModuleDigest::of(b"another"))] {
        let part = decided_by(&stream(id), fence, module);
        let appended = append(&store, part.clone()).await.unwrap();
        assert_eq!(appended.events[0].event, part.events[0]);
        assert_eq!(events_of(&store, &stream(id)).await, appended.events);
        let command = part.command.unwrap();
        let found = store.command(&namespace, command.command_id).await;
        assert_eq!(found.unwrap(), Some(command));
        stored.extend(appended.events);
    }
    assert_eq!(log_of(&store, &namespace, 2).await, stored);

    let lean = [Value::Integer(1), Value::Null];
    assert_eq!(row(&file, "commands", &stream("a"))[..2], lean);
    assert_eq!(
        row(&file, "events", &stream("a")),
        [Value::Integer(1), Value::Null, "{}".to_owned().into()]
    );
    let [activation, module, _] = row(&file, "commands", &stream("b"));
    assert_eq!(activation, Value::Null);
    assert_eq!(module, ModuleDigest::of(b"another").to_string().into());
    assert_eq!(row(&file, "events", &stream("b"))[0], Value::Null);
}

#[tokio::test]
async fn rows_that_were_stored_in_full_read_as_ever_and_streams_go_on() {
    let file = File::new();
    std::fs::create_dir_all(file.path().parent().unwrap()).unwrap();
    let mut sql = file.plain_sql();
    migrations::STORE.run_before(&mut sql, 37);
    let module = ModuleDigest::of(b"counter 0").to_string();
    let id = CommandId::from_u128(3).to_string();
    sql.execute_batch(&format!(
        "INSERT INTO deciders VALUES ('counter', 'Incremented', 1, '');
         INSERT INTO events (event, event_id, decider, decider_id, command_id, created_at, version, data, metadata)
         VALUES ('Incremented', x'01990000000070008000000000000002', 'counter', 'c',
                 x'00000000000000000000000000000003', 5000, 1, '{{}}', '{{\"module\":\"{module}\",\"causation_id\":\"{id}\"}}');
         INSERT INTO commands (namespace, command_id, decider, decider_id, command, data, fingerprint, now, seed, metadata,
             version, module, outcome, events, fuel)
         VALUES ('default', x'00000000000000000000000000000003', 'counter', 'c', 'Increment', '{{}}', zeroblob(32), 5000, 7, '{{}}',
             0, '{module}', 'accepted', 1, 9)"
    ))
    .unwrap();
    drop(sql);

    let store = file.open().await;
    let event = events_of(&store, &stream("c")).await.remove(0);
    let metadata = Metadata::default()
        .with(reserved::MODULE, &*module)
        .with(reserved::CAUSATION_ID, &*id);
    assert_eq!(event.event.metadata, metadata);
    let (namespace, id) = (Namespace::default(), CommandId::from_u128(3));
    let command = store.command(&namespace, id).await.unwrap().unwrap();
    assert_eq!(command.module.to_string(), module);
    assert_eq!(command.outcome, CommandOutcome::Accepted { events: 1 });
    activate_counter(&store).await;
    assert_eq!(grow(&store, &stream("c"), 1).await[0].version, version(2));
    assert_sound(&file);
}
