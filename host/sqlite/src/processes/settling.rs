//! What becomes of tasks, in all rosters of a process.

use gavel_model::ProcessId;
use gavel_store::Error;
use gavel_store::processes::{RetryTasks, SettledTask, Settlement};
use gavel_store::toolkit::writes::{CarryOut, OpenTasks, SettleTasks, SkipTasks};
use rusqlite::params;
use time::OffsetDateTime;

use super::reads;
use crate::cells::milliseconds;
use crate::error::SqliteError;
use crate::query;
use crate::tables::Tables;

/// The rosters of a process.
macro_rules! rosters_of_process {
    () => {
        "roster_id IN (SELECT id FROM rosters WHERE namespace = ?1 AND process = ?2)"
    };
}

const DONE: &str = concat!(
    "UPDATE tasks SET state = 'done', reason = NULL, since = NULL WHERE effect = ?3 AND listing = 'listed' AND ",
    rosters_of_process!()
);

const FORGET_DONE: &str = concat!(
    "DELETE FROM tasks WHERE effect = ?3 AND listing <> 'listed' AND ",
    rosters_of_process!()
);

const PARK: &str = concat!(
    "UPDATE tasks SET state = 'parked', reason = ?4, since = ?5 WHERE effect = ?3 AND state <> 'done' AND ",
    rosters_of_process!()
);

const RETRY_ONE: &str = concat!(
    "UPDATE tasks SET state = 'open', reason = NULL, since = NULL
    WHERE state = 'parked' AND key = ?3 AND task = ?4 AND ",
    rosters_of_process!(),
    " RETURNING effect"
);

const RETRY_TO: &str = concat!(
    "UPDATE tasks SET state = 'open', reason = NULL, since = NULL
    WHERE state = 'parked' AND decider = ?3 AND ",
    rosters_of_process!(),
    " RETURNING effect"
);

const SKIP_THROUGH: &str = "
UPDATE rosters SET skipped_through = position WHERE id = ?1 RETURNING namespace, process";

/// The tasks that a candidate has not done, and the active roster does not have.
const SKIPPED: &str = "
SELECT effect FROM tasks AS own
WHERE roster_id = ?1 AND state <> 'done' AND NOT EXISTS (SELECT 1 FROM tasks WHERE roster_id = ?2 AND effect = own.effect)";

fn names(process: &ProcessId) -> [&str; 2] {
    [process.namespace().as_str(), process.name().as_str()]
}

impl Tables<'_> {
    fn finish_task(
        &self,
        [namespace, process]: [&str; 2],
        effect: &[u8; 16],
    ) -> Result<(), SqliteError> {
        let values = params![namespace, process, effect];
        self.run(DONE, values)?;
        self.run(FORGET_DONE, values)?;
        Ok(())
    }
}

impl CarryOut<SettleTasks> for Tables<'_> {
    fn carry_out(&mut self, change: SettleTasks, now: OffsetDateTime) -> Result<(), Error> {
        let now = milliseconds(now);
        let [namespace, process] = names(&change.process);
        for SettledTask { effect, outcome } in &change.settled {
            let effect = effect.as_bytes();
            match outcome {
                Settlement::Done => self.finish_task([namespace, process], effect)?,
                Settlement::Parked(reason) => {
                    self.run(PARK, params![namespace, process, effect, reason, now])?;
                }
            }
        }
        Ok(())
    }
}

impl CarryOut<OpenTasks> for Tables<'_> {
    fn carry_out(&mut self, change: OpenTasks, _: OffsetDateTime) -> Result<u64, Error> {
        let [namespace, process] = names(&change.process);
        let effect = |row: &rusqlite::Row<'_>| Ok(row.get::<_, [u8; 16]>(0)?);
        let mut effects = match &change.which {
            RetryTasks::One(key, task) => {
                let values = params![namespace, process, key.as_str(), task.as_str()];
                query::all(self.database, RETRY_ONE, values, effect)?
            }
            RetryTasks::To(decider) => {
                let values = params![namespace, process, decider.as_str()];
                query::all(self.database, RETRY_TO, values, effect)?
            }
        };
        effects.sort_unstable();
        effects.dedup();
        Ok(effects.len() as u64)
    }
}

impl CarryOut<SkipTasks> for Tables<'_> {
    fn carry_out(&mut self, change: SkipTasks, _: OffsetDateTime) -> Result<(), Error> {
        let SkipTasks { candidate, active } = change;
        reads::require(self.database, candidate)?;
        if let Some(active) = active {
            reads::require(self.database, active)?;
        }
        let values = params![candidate.get(), active.map(|active| active.get())];
        let effect = |row: &rusqlite::Row<'_>| Ok(row.get::<_, [u8; 16]>(0)?);
        let effects = query::all(self.database, SKIPPED, values, effect)?;
        let process = query::one(self.database, SKIP_THROUGH, [candidate.get()], |row| {
            Ok([row.get::<_, String>(0)?, row.get(1)?])
        })?;
        for [namespace, process] in process.iter() {
            for effect in &effects {
                self.finish_task([namespace, process], effect)?;
            }
        }
        Ok(())
    }
}
