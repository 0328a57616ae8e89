//! Inserting rows, several of them in one statement: what a statement costs besides its rows, it
//! costs once, and in an index whose keys grow it goes on from where the row before was put.

use rusqlite::{Connection, Statement, ToSql};

/// The number of rows of a statement that inserts several.
const SEVERAL: usize = 8;

/// The size above which rows are inserted one by one, in bytes: a statement keeps all of its rows
/// in memory, and what has triggers keeps them twice.
const SEVERAL_BYTES: usize = 128 << 10;

/// The statements that insert into a table.
pub(super) struct Insert {
    pub(super) one: &'static str,
    pub(super) several: &'static str,
}

/// The statements that begin with these words, and have these parameters for a row.
macro_rules! insert {
    ($into:expr, $row:expr) => {
        $crate::insert::Insert {
            one: concat!($into, " VALUES ", $row),
            several: concat!(
                $into, " VALUES ", $row, ", ", $row, ", ", $row, ", ", $row, ", ", $row, ", ",
                $row, ", ", $row, ", ", $row
            ),
        }
    };
}
pub(super) use insert;

/// A row of a statement that is about to run.
pub(super) struct NewRow<'s, 'c> {
    statement: &'s mut Statement<'c>,
    number: usize,
}

impl NewRow<'_, '_> {
    /// Sets all values of the row.
    pub(super) fn set(&mut self, values: &[&dyn ToSql]) -> rusqlite::Result<()> {
        let first = 1 + self.number * values.len();
        for (column, value) in values.iter().enumerate() {
            self.statement.raw_bind_parameter(first + column, value)?;
        }
        Ok(())
    }
}

impl Insert {
    /// Inserts `rows` in their order. `bytes` is about the size of one, and `set` sets its values.
    pub(super) fn run_in_tx<T>(
        &self,
        tx: &Connection,
        rows: &[T],
        bytes: impl Fn(&T) -> usize,
        set: impl Fn(&T, &mut NewRow<'_, '_>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        for rows in rows.chunks(SEVERAL) {
            let are_small = rows.iter().map(&bytes).sum::<usize>() <= SEVERAL_BYTES;
            let (text, at_once) = match rows.len() {
                SEVERAL if are_small => (self.several, SEVERAL),
                _ => (self.one, 1),
            };
            let mut statement = tx.prepare_cached(text)?;
            for rows in rows.chunks(at_once) {
                for (number, row) in rows.iter().enumerate() {
                    let statement = &mut statement;
                    set(row, &mut NewRow { statement, number })?;
                }
                statement.raw_execute()?;
            }
        }
        Ok(())
    }
}
