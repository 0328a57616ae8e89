//! Rows of rosters, instances and tasks, as types of the model.

use gavel_model::{Json, Namespace, Position, ProcessId, StreamKey, Task, TaskAction, TaskId};
use gavel_store::processes::{
    InstanceSummary, Listing, ParkedInstance, Roster, RosterId, StoredTask, TaskOrigin, TaskState,
};
use gavel_store::toolkit::orders;
use sqlx::postgres::PgRow;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::rows::{Read, Time, column, digest, time, unreadable};

/// The columns of a task that [`task`] reads, of a table and with a prefix.
macro_rules! task_columns {
    ($table:literal, $prefix:literal) => {
        concat!(
            $table,
            ".place AS ",
            $prefix,
            "place, ",
            $table,
            ".effect AS ",
            $prefix,
            "effect, ",
            $table,
            ".key AS ",
            $prefix,
            "key, ",
            $table,
            ".birth AS ",
            $prefix,
            "birth, ",
            $table,
            ".task AS ",
            $prefix,
            "task, ",
            $table,
            ".decider AS ",
            $prefix,
            "decider, ",
            $table,
            ".decider_id AS ",
            $prefix,
            "decider_id, ",
            $table,
            ".\"order\"::TEXT AS ",
            $prefix,
            "order_text, ",
            $table,
            ".due_at AS ",
            $prefix,
            "due_at, ",
            $table,
            ".event_id AS ",
            $prefix,
            "event_id, ",
            $table,
            ".correlation AS ",
            $prefix,
            "correlation, ",
            $table,
            ".depth AS ",
            $prefix,
            "depth, ",
            $table,
            ".listing AS ",
            $prefix,
            "listing, ",
            $table,
            ".state AS ",
            $prefix,
            "state, ",
            $table,
            ".reason AS ",
            $prefix,
            "reason, ",
            $table,
            ".since AS ",
            $prefix,
            "since"
        )
    };
}

pub(super) use task_columns;

pub(super) fn position(row: &PgRow, name: &str) -> Read<Position> {
    let text: &str = column(row, name)?;
    text.parse().map_err(unreadable)
}

pub(super) fn count(row: &PgRow, name: &str) -> Read<u64> {
    column::<i64>(row, name)?.try_into().map_err(unreadable)
}

pub(super) fn optional_time(row: &PgRow, name: &str) -> Read<Option<OffsetDateTime>> {
    let time: Option<Time> = column(row, name)?;
    Ok(time.map(|Time(time)| time))
}

pub(super) fn key(row: &PgRow, name: &str) -> Read<StreamKey> {
    StreamKey::new(column::<&str>(row, name)?).map_err(unreadable)
}

/// A document that may be none.
pub(super) fn document(row: &PgRow, name: &str) -> Read<Option<Json>> {
    let text: Option<String> = column(row, name)?;
    text.map(Json::from_stored).transpose().map_err(unreadable)
}

pub(super) fn roster(row: &PgRow) -> Read<Roster> {
    let namespace = Namespace::new(column::<&str>(row, "namespace")?).map_err(unreadable)?;
    let process: &str = column(row, "process")?;
    Ok(Roster {
        id: RosterId::new(column(row, "id")?),
        process: ProcessId::new(namespace, process).map_err(unreadable)?,
        digest: digest(column(row, "digest")?)?,
        start: position(row, "start")?,
        position: position(row, "position")?,
        skipped_through: position(row, "skipped_through")?,
        is_paused: column(row, "is_paused")?,
        instances: count(row, "instance_count")?,
        parked_instances: count(row, "parked_instances")?,
        open_tasks: count(row, "open_tasks")?,
        parked_tasks: count(row, "parked_tasks")?,
        created_at: time(row, "created_at")?,
    })
}

/// The task in the columns with a prefix; none if they are NULL.
pub(super) fn optional_task(row: &PgRow, prefix: &str) -> Read<Option<StoredTask>> {
    let name = |column: &str| [prefix, column].concat();
    let place: Option<i64> = column(row, &name("place"))?;
    let Some(place) = place else {
        return Ok(None);
    };
    let depth: i64 = column(row, &name("depth"))?;
    let listing: &str = column(row, &name("listing"))?;
    let state: &str = column(row, &name("state"))?;
    let (reason, since) = (
        column(row, &name("reason"))?,
        optional_time(row, &name("since"))?,
    );
    let id: &str = column(row, &name("task"))?;
    Ok(Some(StoredTask {
        place,
        effect: column(row, &name("effect"))?,
        key: key(row, &name("key"))?,
        birth: column(row, &name("birth"))?,
        task: Task {
            id: TaskId::new(id).map_err(unreadable)?,
            action: action(row, name)?,
        },
        origin: TaskOrigin {
            event: column(row, &name("event_id"))?,
            correlation: column(row, &name("correlation"))?,
            depth: depth.try_into().map_err(unreadable)?,
        },
        listing: Listing::from_name(listing)
            .ok_or_else(|| unreadable(format!("`{listing}` is no listing")))?,
        state: TaskState::from_name(state, reason, since)
            .ok_or_else(|| unreadable(format!("a task cannot be `{state}`")))?,
    }))
}

fn action(row: &PgRow, name: impl Fn(&str) -> String) -> Read<TaskAction> {
    if let Some(due_at) = optional_time(row, &name("due_at"))? {
        return Ok(TaskAction::WaitUntil(due_at));
    }
    let (decider, stream) = (
        column(row, &name("decider"))?,
        column(row, &name("decider_id"))?,
    );
    let order = orders::order(decider, stream, column(row, &name("order_text"))?);
    order.map(TaskAction::Send).map_err(unreadable)
}

/// A task.
pub(super) fn task(row: &PgRow) -> Read<StoredTask> {
    optional_task(row, "")?.ok_or_else(|| unreadable("there is no task"))
}

/// An instance in a list.
pub(super) fn summary(row: &PgRow) -> Read<InstanceSummary> {
    let key = key(row, "key")?;
    let begun: Option<&str> = column(row, "position")?;
    let parked_at: Option<&str> = column(row, "parked_position")?;
    let parked = parked_at.map(|parked_at| {
        Ok(ParkedInstance {
            key: key.clone(),
            position: parked_at.parse().map_err(unreadable)?,
            event_id: column(row, "event_id")?,
            reason: column(row, "reason")?,
            since: time(row, "since")?,
        })
    });
    let parked = parked.transpose()?;
    let birth: Option<Uuid> = column(row, "birth")?;
    let position = begun.map(str::parse).transpose().map_err(unreadable)?;
    Ok(InstanceSummary {
        birth: birth.ok_or_else(|| unreadable(format!("nothing is left of {key}")))?,
        key,
        state: document(row, "state_text")?,
        position: position.unwrap_or(Position::BEGINNING),
        parked,
        open_tasks: count(row, "open_tasks")?,
        parked_tasks: count(row, "parked_tasks")?,
        next_wait: optional_time(row, "next_wait")?,
    })
}
