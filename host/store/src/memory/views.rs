//! Tables of views in memory.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use gavel_model::{ActivationNumber, Clock, Json, Position, RowKey, ViewId};
use tokio::sync::{OwnedRwLockWriteGuard, RwLock};
use tokio::time::timeout;

use super::view_questions::{Question, number};
use crate::views::{
    CommitError, KeyedRow, NewTable, ParkedEvent, ParkedRow, RowPage, RowPointer, RowQuery,
    RowRead, RowsChange, SqlName, StoredRow, TableHead, TableHold, TableId, TableShape, ViewStore,
    ViewTable,
};
use crate::{Error, PAGE_BYTES, Page, Room};

/// The time that a hold waits for another one to end.
const HOLD_TIMEOUT: Duration = Duration::from_secs(5);

/// Keeps the rows of views in memory.
#[derive(Debug)]
pub struct MemoryViews {
    clock: Arc<dyn Clock>,
    tables: Arc<Mutex<StoredTables>>,
    /// Commits share it, and a hold has it alone.
    changes: Arc<RwLock<()>>,
}

#[derive(Debug, Default)]
struct StoredTables {
    newest: i64,
    tables: BTreeMap<TableId, Table>,
    pointers: HashMap<ViewId, ViewPointer>,
}

#[derive(Debug, Clone, Copy)]
struct ViewPointer {
    table: Option<TableId>,
    activation: ActivationNumber,
    is_paused: bool,
}

#[derive(Debug)]
struct Table {
    info: ViewTable,
    rows: BTreeMap<RowKey, KeyedRow>,
    parked: BTreeMap<RowKey, WaitingRow>,
    parked_events: BTreeMap<Position, ParkedEvent>,
}

#[derive(Debug)]
struct WaitingRow {
    row: ParkedRow,
    waiting: BTreeSet<Position>,
}

impl MemoryViews {
    /// Makes a store without tables that takes its times from `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            tables: Arc::default(),
            changes: Arc::default(),
        }
    }

    fn tables(&self) -> MutexGuard<'_, StoredTables> {
        lock(&self.tables)
    }
}

/// Locks the tables; each change is whole before anything can panic, so that a poisoned lock guards
/// sound data.
fn lock(tables: &Mutex<StoredTables>) -> MutexGuard<'_, StoredTables> {
    tables.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StoredTables {
    fn table(&self, id: TableId) -> Result<&Table, Error> {
        self.tables.get(&id).ok_or_else(|| gone(id))
    }

    /// The table that the pointer of a view is at.
    fn active(&self, view: &ViewId) -> Option<(&Table, TableHead)> {
        let pointer = self.pointers.get(view)?;
        let table = self.tables.get(&pointer.table?)?;
        let head = TableHead {
            table: table.info.id,
            digest: table.info.digest,
            activation: pointer.activation,
            position: table.info.position,
            is_finished: table.info.is_finished,
            parked_events: table.info.parked_events,
        };
        Some((table, head))
    }

    fn commit(&mut self, change: RowsChange) -> Result<(), CommitError> {
        let table = self.tables.get_mut(&change.table);
        let table = table.ok_or(CommitError::Gone)?;
        let is_parked = |key: &RowKey| {
            let is_from_now_on = change.parked.iter().any(|row| row.key == *key);
            is_from_now_on || table.parked.contains_key(key) && !change.unparked.contains(key)
        };
        let mut waiting = change.waiting.iter();
        if table.info.position != change.from || !waiting.all(|(key, _)| is_parked(key)) {
            return Err(CommitError::Moved);
        }
        let has_rows = !change.put.is_empty() || !change.ended.is_empty();
        table.info.revision += u64::from(change.from == change.to && has_rows);
        for row in change.put {
            table.rows.insert(row.key.clone(), row);
        }
        for key in &change.ended {
            table.rows.remove(key);
        }
        for key in &change.unparked {
            table.parked.remove(key);
        }
        for row in change.parked {
            let waited = table.parked.remove(&row.key);
            let mut waiting = waited.map(|waited| waited.waiting).unwrap_or_default();
            waiting.retain(|position| *position > row.position);
            let key = row.key.clone();
            table.parked.insert(key, WaitingRow { row, waiting });
        }
        for (key, position) in change.waiting {
            if let Some(parked) = table.parked.get_mut(&key) {
                parked.waiting.insert(position);
            }
        }
        for event in change.parked_events {
            table.parked_events.insert(event.position, event);
        }
        table.info.position = change.to;
        table.info.rows = table.rows.len() as u64;
        table.info.parked_rows = table.parked.len() as u64;
        table.info.parked_events = table.parked_events.len() as u64;
        Ok(())
    }

    fn point(
        &mut self,
        view: &ViewId,
        table: Option<TableId>,
        activation: ActivationNumber,
        clock: &dyn Clock,
    ) -> Result<bool, Error> {
        if let Some(table) = table {
            self.table(table)?;
        }
        let known = self.pointers.get(view);
        if known.is_some_and(|known| known.activation >= activation) {
            return Ok(false);
        }
        let is_paused = known.is_some_and(|known| known.is_paused);
        let pointer = ViewPointer {
            table,
            activation,
            is_paused,
        };
        self.pointers.insert(view.clone(), pointer);
        for (id, known) in &mut self.tables {
            if known.info.view == *view {
                let is_active = Some(*id) == table;
                known.info.active = is_active.then_some(activation);
                known.info.is_paused = is_active && is_paused;
                let since = known.info.unused_since;
                let unused = || since.or_else(|| Some(clock.now()));
                known.info.unused_since = if is_active { None } else { unused() };
            }
        }
        Ok(true)
    }

    fn pause(&mut self, view: &ViewId, is_paused: bool) -> bool {
        let pointer = self.pointers.get_mut(view);
        let Some(pointer) = pointer.filter(|pointer| pointer.table.is_some()) else {
            return false;
        };
        pointer.is_paused = is_paused;
        let table = pointer.table.and_then(|id| self.tables.get_mut(&id));
        if let Some(table) = table {
            table.info.is_paused = is_paused;
        }
        true
    }
}

fn gone(id: TableId) -> Error {
    Error::Refused(format!("there is no table {id}"))
}

#[async_trait]
impl ViewStore for MemoryViews {
    async fn tables(&self) -> Result<Vec<ViewTable>, Error> {
        let tables = self.tables();
        Ok(tables.tables.values().map(|t| t.info.clone()).collect())
    }

    async fn create_table(&self, new: NewTable) -> Result<ViewTable, Error> {
        let now = self.clock.now();
        let mut tables = self.tables();
        let known = tables.tables.values();
        let known = known.map(|table| &table.info);
        if let Some(known) = known
            .clone()
            .find(|known| known.view == new.view && known.digest == new.digest)
        {
            return Ok(known.clone());
        }
        tables.newest += 1;
        let info = ViewTable {
            id: TableId::new(tables.newest),
            view: new.view,
            digest: new.digest,
            shape: new.shape,
            position: Position::BEGINNING,
            is_finished: false,
            active: None,
            unused_since: Some(now),
            rows: 0,
            parked_rows: 0,
            parked_events: 0,
            revision: 0,
            is_paused: false,
        };
        let table = Table {
            info: info.clone(),
            rows: BTreeMap::new(),
            parked: BTreeMap::new(),
            parked_events: BTreeMap::new(),
        };
        tables.tables.insert(info.id, table);
        Ok(info)
    }

    async fn finish_table(&self, table: TableId) -> Result<(), Error> {
        let mut tables = self.tables();
        let found = tables.tables.get_mut(&table).ok_or_else(|| gone(table))?;
        found.info.is_finished = true;
        Ok(())
    }

    async fn restart_table(&self, table: TableId) -> Result<(), Error> {
        let mut tables = self.tables();
        let found = tables.tables.get_mut(&table).ok_or_else(|| gone(table))?;
        (found.rows, found.parked) = (BTreeMap::new(), BTreeMap::new());
        found.parked_events = BTreeMap::new();
        found.info = ViewTable {
            position: Position::BEGINNING,
            is_finished: false,
            rows: 0,
            parked_rows: 0,
            parked_events: 0,
            revision: found.info.revision + 1,
            ..found.info.clone()
        };
        Ok(())
    }

    async fn drop_table(&self, table: TableId) -> Result<(), Error> {
        let mut tables = self.tables();
        let found = tables.tables.get(&table);
        if found.is_some_and(|found| found.info.active.is_none()) {
            tables.tables.remove(&table);
        }
        Ok(())
    }

    async fn sql_name(&self, _: &ViewId, _: &TableShape) -> Result<SqlName, Error> {
        Ok(SqlName {
            lacks: Some("a store in memory has no SQL".to_owned()),
            ..SqlName::default()
        })
    }

    async fn rows(&self, table: TableId, keys: &[RowKey]) -> Result<Vec<StoredRow>, Error> {
        let tables = self.tables();
        let table = tables.table(table)?;
        let row = |key| StoredRow {
            value: table.rows.get(key).map(|row| row.value.clone()),
            is_parked: table.parked.contains_key(key),
        };
        Ok(keys.iter().map(row).collect())
    }

    async fn commit(&self, change: RowsChange) -> Result<(), CommitError> {
        let _change = self.changes.try_read().map_err(|_| CommitError::Held)?;
        self.tables().commit(change)
    }

    async fn scan(
        &self,
        table: TableId,
        after: Option<&RowKey>,
        limit: u32,
    ) -> Result<(Page<KeyedRow>, Position), Error> {
        let tables = self.tables();
        let table = tables.table(table)?;
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = table.rows.range::<RowKey, _>((after, Bound::Unbounded));
        let rows = rows.map(|(_, row)| KeyedRow {
            cells: Vec::new(),
            ..row.clone()
        });
        let size = |row: &KeyedRow| row.value.as_str().len() + row.key.as_str().len();
        Ok((Page::of(rows, limit, size), table.info.position))
    }

    async fn sums(&self, table: TableId, columns: &[String]) -> Result<Vec<f64>, Error> {
        let tables = self.tables();
        let table = tables.table(table)?;
        let sum = |column: &String| {
            let place = table.info.shape.place_of(column)?;
            let cells = table
                .rows
                .values()
                .filter_map(|row| row.cells[place].as_ref());
            Ok(cells.map(number).sum::<f64>() + 0.0)
        };
        columns.iter().map(sum).collect()
    }

    async fn parked(
        &self,
        table: TableId,
        after: Option<&RowKey>,
        limit: u32,
    ) -> Result<Page<ParkedRow>, Error> {
        let tables = self.tables();
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let parked = &tables.table(table)?.parked;
        let rows = parked.range::<RowKey, _>((after, Bound::Unbounded));
        let rows = rows.map(|(_, parked)| parked.row.clone());
        Ok(Page::of(rows, limit, |row| row.reason.len() + 100))
    }

    async fn waiting(
        &self,
        table: TableId,
        key: &RowKey,
        after: Position,
        limit: u32,
    ) -> Result<Vec<Position>, Error> {
        let tables = self.tables();
        let parked = tables.table(table)?.parked.get(key);
        let waiting = parked.into_iter().flat_map(|parked| &parked.waiting);
        let waiting = waiting.copied().filter(|position| *position > after);
        Ok(waiting.take(limit as usize).collect())
    }

    async fn parked_events(&self, table: TableId, limit: u32) -> Result<Vec<ParkedEvent>, Error> {
        let tables = self.tables();
        let events = tables.table(table)?.parked_events.values();
        Ok(events.take(limit as usize).cloned().collect())
    }

    async fn read(&self, view: &ViewId, key: &RowKey) -> Result<Option<RowRead>, Error> {
        let tables = self.tables();
        Ok(tables.active(view).map(|(table, head)| RowRead {
            head,
            value: table.rows.get(key).map(|row| row.value.clone()),
            parked: table.parked.get(key).map(|parked| parked.row.clone()),
        }))
    }

    async fn query(&self, view: &ViewId, query: &RowQuery) -> Result<Option<RowPage>, Error> {
        let tables = self.tables();
        let Some((table, head)) = tables.active(view) else {
            return Ok(None);
        };
        let question = Question::of(query, &table.info.shape)?;
        let mut rows: Vec<&KeyedRow> = table
            .rows
            .values()
            .filter(|row| question.wants(row))
            .collect();
        rows.sort_by(|one, other| question.compare(&question.place(one), &question.place(other)));
        let after = rows.partition_point(|row| {
            query.after.as_ref().is_some_and(|after| {
                question.compare(&question.place(row), after) != Ordering::Greater
            })
        });
        let mut room = Room::new(query.limit, PAGE_BYTES);
        let size = |row: &KeyedRow| row.value.as_str().len() + row.key.as_str().len();
        let taken = rows[after..]
            .iter()
            .take_while(|row| room.take_bytes(size(row)));
        let taken: Vec<&&KeyedRow> = taken.collect();
        let next = taken.last().filter(|_| room.is_full());
        let next = next.map(|last| question.place(last));
        let rows: Vec<(RowKey, Json)> = taken
            .into_iter()
            .map(|row| (row.key.clone(), row.value.clone()))
            .collect();
        Ok(Some(RowPage { head, rows, next }))
    }

    async fn hold_tables(&self, tables: &[TableId]) -> Result<Box<dyn TableHold>, Error> {
        let changes = Arc::clone(&self.changes).write_owned();
        let alone = timeout(HOLD_TIMEOUT, changes).await;
        Ok(Box::new(MemoryHold {
            clock: Arc::clone(&self.clock),
            tables: Arc::clone(&self.tables),
            held: tables.to_vec(),
            _alone: alone.map_err(|elapsed| Error::Unavailable(elapsed.into()))?,
        }))
    }

    async fn pause(&self, view: &ViewId, is_paused: bool) -> Result<bool, Error> {
        Ok(self.tables().pause(view, is_paused))
    }

    async fn point(
        &self,
        view: &ViewId,
        table: Option<TableId>,
        activation: ActivationNumber,
    ) -> Result<bool, Error> {
        self.tables().point(view, table, activation, &*self.clock)
    }
}

/// Holds all tables.
#[derive(Debug)]
struct MemoryHold {
    clock: Arc<dyn Clock>,
    tables: Arc<Mutex<StoredTables>>,
    held: Vec<TableId>,
    _alone: OwnedRwLockWriteGuard<()>,
}

#[async_trait]
impl TableHold for MemoryHold {
    async fn positions(&self) -> Result<Vec<Option<Position>>, Error> {
        let tables = lock(&self.tables);
        let held = self.held.iter().map(|id| tables.tables.get(id));
        Ok(held.map(|table| Some(table?.info.position)).collect())
    }

    async fn point(self: Box<Self>, pointers: Vec<RowPointer>) -> Result<bool, Error> {
        let mut tables = lock(&self.tables);
        for table in pointers.iter().filter_map(|pointer| pointer.table) {
            tables.table(table)?;
        }
        let mut are_moved = true;
        for RowPointer {
            view,
            table,
            activation,
        } in pointers
        {
            are_moved &= tables.point(&view, table, activation, &*self.clock)?;
        }
        Ok(are_moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;

    macro_rules! memory_case {
        ($case:ident) => {
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                let clock = Arc::new(conformance::support::UnsteadyClock::default());
                conformance::views::$case(Arc::new(MemoryViews::new(clock))).await;
            }
        };
    }
    for_each_view_case!(memory_case);
}
