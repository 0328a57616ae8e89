//! Changes of instances: the arguments of `gavel_commit_instances`, which explains them.

use std::sync::LazyLock;

use gavel_model::{Order, StreamKey, TaskAction};
use gavel_store::processes::{InstancesChange, ListedTask, RosterCommitError};
use gavel_store::toolkit::orders;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgRow;

use super::answer;
use crate::query::Statement;
use crate::rows::column;

/// The number of arguments.
const ARGUMENTS: usize = 29;

static COMMIT: LazyLock<String> = LazyLock::new(|| {
    let arguments = (1..=ARGUMENTS).map(|place| format!("${place}"));
    let arguments = arguments.collect::<Vec<_>>().join(", ");
    format!("SELECT gavel_commit_instances({arguments}) AS outcome")
});

/// A column: one value of each item.
fn all<'c, I, T>(items: &'c [I], value: impl Fn(&'c I) -> T) -> Vec<T> {
    items.iter().map(value).collect()
}

fn texts(keys: &[StreamKey]) -> Vec<&str> {
    all(keys, StreamKey::as_str)
}

fn order(task: &ListedTask) -> Option<&Order> {
    match &task.task.action {
        TaskAction::Send(order) => Some(order),
        TaskAction::WaitUntil(_) => None,
    }
}

/// The call that carries out a change; [`outcome`] reads its answer.
pub(super) fn statement<'q>(change: &InstancesChange) -> Statement<'q> {
    let InstancesChange {
        roster,
        from,
        to,
        put,
        ended,
        gone,
        added,
        parked,
        unparked,
        held,
    } = change;
    let due_at = |task: &ListedTask| match task.task.action {
        TaskAction::Send(_) => None,
        TaskAction::WaitUntil(time) => Some(time),
    };
    sqlx::query(AssertSqlSafe(COMMIT.as_str()))
        .bind(roster.get())
        .bind(from.to_string())
        .bind(to.to_string())
        .bind(all(put, |instance| instance.key.as_str()))
        .bind(all(put, |instance| instance.birth))
        .bind(all(put, |instance| instance.state.as_str()))
        .bind(all(put, |instance| instance.position.to_string()))
        .bind(texts(ended))
        .bind(gone.clone())
        .bind(all(added, |task| task.effect))
        .bind(all(added, |task| task.key.as_str()))
        .bind(all(added, |task| task.birth))
        .bind(all(added, |task| task.task.id.as_str()))
        .bind(all(added, |task| Some(order(task)?.decider.as_str())))
        .bind(all(added, |task| Some(order(task)?.stream.as_str())))
        .bind(all(added, |task| order(task).map(orders::text_of)))
        .bind(all(added, due_at))
        .bind(all(added, |task| task.origin.event))
        .bind(all(added, |task| task.origin.correlation.as_str()))
        .bind(all(added, |task| i64::from(task.origin.depth)))
        .bind(all(added, |task| task.listing.as_str()))
        .bind(texts(unparked))
        .bind(all(parked, |instance| instance.key.as_str()))
        .bind(all(parked, |instance| instance.position.to_string()))
        .bind(all(parked, |instance| instance.event_id))
        .bind(all(parked, |instance| instance.reason.as_str()))
        .bind(all(parked, |instance| instance.since))
        .bind(all(held, |(key, _)| key.as_str()))
        .bind(all(held, |(_, position)| position.to_string()))
}

pub(super) fn outcome(found: &[PgRow]) -> Result<(), RosterCommitError> {
    let outcome = answer(found, |row| column::<String>(row, "outcome"))?;
    match outcome.as_str() {
        "made" => Ok(()),
        "gone" => Err(RosterCommitError::Gone),
        "held" => Err(RosterCommitError::Held),
        _ => Err(RosterCommitError::Moved),
    }
}
