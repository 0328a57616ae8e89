//! The tables, on which writes are carried out.

use std::mem;
use std::sync::Arc;

use gavel_store::Error;
use gavel_store::toolkit::writes::{BeginGeneration, CarryOut, Change};
use rusqlite::{Connection, Params};
use time::OffsetDateTime;

use super::error::SqliteError;
use super::generations::{Generations, begin_in_tx};
use super::tips::Tips;
use super::writer::{WriteError, Writer};

/// The tables as one connection sees them.
pub(super) struct Tables<'t> {
    pub(super) database: &'t Connection,
    pub(super) generations: Generations<'t>,
    pub(super) tips: Tips,
}

impl<'t> Tables<'t> {
    pub(super) fn of(database: &'t Connection) -> Self {
        Self {
            database,
            generations: Generations::of(database),
            tips: Tips::default(),
        }
    }

    /// Runs a statement, and counts the rows that it has changed.
    pub(super) fn run(&self, statement: &str, values: impl Params) -> Result<usize, SqliteError> {
        Ok(self.database.prepare_cached(statement)?.execute(values)?)
    }
}

impl CarryOut<BeginGeneration> for Tables<'_> {
    fn carry_out(&mut self, _: BeginGeneration, now: OffsetDateTime) -> Result<(), Error> {
        Ok(begin_in_tx(self.database, now)?)
    }
}

impl Writer {
    /// Carries a change out, as a transaction. This is where all writes pass that leave anything
    /// behind.
    ///
    /// The time is taken under the write lock, so that later positions are not earlier in time
    /// while the clock goes forward.
    pub(super) async fn carry_out<C>(&self, change: C) -> Result<C::Answer, WriteError<C::Error>>
    where
        C: Change,
        for<'t> Tables<'t>: CarryOut<C>,
    {
        let clock = Arc::clone(&self.clock);
        #[cfg(test)]
        let carried_out = self.carried_out.clone();
        let written = self.write(move |tx, tips| {
            let now = clock.now();
            #[cfg(test)]
            let write = change.clone().into();
            let mut tables = Tables {
                tips: mem::take(tips),
                ..Tables::of(tx)
            };
            let answer = tables.carry_out(change, now)?;
            *tips = tables.tips;
            #[cfg(test)]
            carried_out.note(now, write);
            Ok(answer)
        });
        written.await
    }
}
