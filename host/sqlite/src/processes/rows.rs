//! Rows of rosters, instances and tasks, as types of the model.

use gavel_model::{Namespace, Position, ProcessId, StreamKey, Task, TaskAction, TaskId};
use gavel_store::processes::{
    Listing, ParkedInstance, Roster, RosterId, StoredTask, TaskOrigin, TaskState,
};
use gavel_store::toolkit::orders;
use rusqlite::Row;
use time::OffsetDateTime;

use crate::cells::{Cells, Reason, reason};
use crate::error::SqliteError;
use crate::rows::corrupt;

/// The columns that [`task`] reads, in its order.
macro_rules! task_columns {
    () => {
        r#"place, effect, key, birth, task, decider, decider_id, "order", due_at, event_id, correlation, depth, listing, state, reason, since"#
    };
}

/// The columns that [`parked_instance`] reads, in its order.
macro_rules! parked_columns {
    () => {
        "key, position, event_id, reason, since"
    };
}

pub(super) use {parked_columns, task_columns};

impl Cells<'_> {
    pub(super) fn take_stream_key(&mut self) -> Result<StreamKey, Reason> {
        StreamKey::new(self.take_text()?).map_err(reason)
    }
}

/// A row of the rosters, with its counts.
pub(super) fn roster(row: &Row<'_>) -> Result<Roster, SqliteError> {
    let read = |cells: &mut Cells<'_>| -> Result<Roster, Reason> {
        let id = RosterId::new(cells.take()?);
        let namespace = Namespace::new(cells.take_text()?).map_err(reason)?;
        let process = ProcessId::new(namespace, cells.take_text()?).map_err(reason)?;
        Ok(Roster {
            id,
            process,
            digest: cells.take_digest()?,
            start: cells.take_position()?,
            position: cells.take_position()?,
            skipped_through: cells.take_position()?,
            is_paused: cells.take()?,
            instances: cells.take_count()?,
            parked_instances: cells.take_count()?,
            open_tasks: cells.take_count()?,
            parked_tasks: cells.take_count()?,
            created_at: cells.take_time()?,
        })
    };
    read(&mut Cells::of(row)).map_err(corrupt("roster"))
}

/// A task.
pub(super) fn task(row: &Row<'_>) -> Result<StoredTask, SqliteError> {
    read_task(&mut Cells::of(row)).map_err(corrupt("task"))
}

pub(super) fn read_task(cells: &mut Cells<'_>) -> Result<StoredTask, Reason> {
    let place = cells.take()?;
    let effect = cells.take_id()?;
    let key = cells.take_stream_key()?;
    let birth = cells.take_id()?;
    let id = TaskId::new(cells.take_text()?).map_err(reason)?;
    let [decider, stream, order] = [
        cells.take::<Option<String>>()?,
        cells.take()?,
        cells.take()?,
    ];
    let due_at = cells.take_optional_time()?;
    Ok(StoredTask {
        place,
        effect,
        key,
        birth,
        task: Task {
            id,
            action: action([decider, stream, order], due_at)?,
        },
        origin: TaskOrigin {
            event: cells.take_id()?,
            correlation: cells.take()?,
            depth: cells.take_u32()?,
        },
        listing: take_listing(cells)?,
        state: take_state(cells)?,
    })
}

fn action(
    order: [Option<String>; 3],
    due_at: Option<OffsetDateTime>,
) -> Result<TaskAction, Reason> {
    match (order, due_at) {
        ([Some(decider), Some(stream), Some(text)], None) => {
            Ok(TaskAction::Send(orders::order(&decider, &stream, &text)?))
        }
        (_, Some(due_at)) => Ok(TaskAction::WaitUntil(due_at)),
        _ => Err("a task neither sends nor waits".to_owned()),
    }
}

fn take_listing(cells: &mut Cells<'_>) -> Result<Listing, Reason> {
    let name = cells.take_text()?;
    Listing::from_name(name).ok_or_else(|| format!("`{name}` is no listing"))
}

fn take_state(cells: &mut Cells<'_>) -> Result<TaskState, Reason> {
    let name = cells.take_text()?;
    let (reason, since) = (cells.take()?, cells.take_optional_time()?);
    TaskState::from_name(name, reason, since).ok_or_else(|| format!("a task cannot be `{name}`"))
}

/// An instance that is parked.
pub(super) fn parked_instance(row: &Row<'_>) -> Result<ParkedInstance, SqliteError> {
    let read = |cells: &mut Cells<'_>| -> Result<ParkedInstance, Reason> {
        Ok(ParkedInstance {
            key: cells.take_stream_key()?,
            position: cells.take_position()?,
            event_id: cells.take_id()?,
            reason: cells.take()?,
            since: cells.take_time()?,
        })
    };
    read(&mut Cells::of(row)).map_err(corrupt("parked instance"))
}

/// A position.
pub(super) fn position(row: &Row<'_>) -> Result<Position, SqliteError> {
    let position = Cells::of(row).take_position();
    position.map_err(corrupt("position of a roster"))
}
