//! Calls into a view for one page of events: the keys of each event, and the new value of each row.
//!
//! A page that fails as a whole is halved until what fails is one event, or one event of one row:
//! that is parked, and all else is kept. The calls are pure, so that it makes no difference how
//! often a page is halved.

use std::collections::BTreeSet;
use std::iter;
use std::sync::Arc;

use gavel_model::{Json, RecordedEvent, RowKey};
use gavel_sandbox::{Fault, QueryItem, RowFault, RowToFold, RunError, ViewInstance, printable};
use gavel_store::views::Cell;

use super::ViewLimits;
use crate::catalog::View;

/// The most rows of one call into a module.
const ROWS_OF_CALL: usize = 1_000;
/// The most bytes of rows that are passed in one call: a row grows as it is folded.
const ROW_BYTES_OF_CALL: usize = 256 * 1024;
/// The output of a piece of work, in bytes, after which no more of it is kept: a page that fails is
/// folded in a great many calls.
const OUTPUT_BYTES: usize = 64 * 1024;
/// The longest reason that is kept, in characters.
const REASON_CHARS: usize = 500;

/// The keys of an event, or the reason for which they cannot be told.
pub(super) type Keys = Result<Vec<RowKey>, String>;

/// The new value of a row, or the reason for which there is none.
type FoldedValue = Result<Option<Json>, RowFault>;
/// A row that can be kept, and the values of its columns.
type KeptRow = (Option<Json>, Vec<Option<Cell>>);

/// A row before it is folded, and its events as places in the page.
#[derive(Debug, Clone)]
pub(super) struct RowTask {
    pub(super) key: RowKey,
    pub(super) value: Option<Json>,
    pub(super) events: Vec<u32>,
}

/// A row after it was folded.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FoldedRow {
    pub(super) key: RowKey,
    /// The row; none if there is none.
    pub(super) value: Option<Json>,
    /// The values of its columns.
    pub(super) cells: Vec<Option<Cell>>,
    /// The number of the row's events that it folds.
    pub(super) folded: usize,
    /// The reason for which it does not fold the next one.
    pub(super) fault: Option<String>,
}

/// A view at work on one thread: an instance that is made when it is needed, and made again after a
/// fault.
#[derive(Debug)]
pub(super) struct RowFolder {
    view: Arc<View>,
    limits: ViewLimits,
    instance: Option<ViewInstance>,
    fuel: u64,
    output: String,
}

impl RowFolder {
    pub(super) fn new(view: Arc<View>, limits: ViewLimits) -> Self {
        Self {
            view,
            limits,
            instance: None,
            fuel: 0,
            output: String::new(),
        }
    }

    /// The fuel that all calls have used so far.
    pub(super) fn fuel(&self) -> u64 {
        self.fuel
    }

    /// Takes what the module has written since the last time; none if that is nothing.
    pub(super) fn take_output(&mut self) -> Option<String> {
        let output = std::mem::take(&mut self.output);
        (!output.is_empty()).then_some(output)
    }

    /// The keys of some events, each of which the view reads. Runs guest code, unless the manifest
    /// says where keys come from.
    ///
    /// # Errors
    ///
    /// [`RunError::NoRoom`], which says nothing of the module.
    pub(super) fn keys(&mut self, events: &[&RecordedEvent]) -> Result<Vec<Keys>, RunError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(origin) = &self.view.manifest().key {
            let keys = events.iter().map(|event| self.checked(origin.keys(event)));
            return Ok(keys.collect());
        }
        match self.call(|instance| instance.keys(events)) {
            Ok(named) => Ok(named.iter().map(|keys| self.checked(keys)).collect()),
            Err(Fault::NoRoom) => Err(RunError::NoRoom),
            Err(Fault::Deadline { .. }) if events.len() == 1 => {
                let named = self.call_unhurried(|instance| instance.keys(events));
                let named = named.map_err(|fault| shortened(&fault.to_string()));
                let keys = named.map(|named| named.into_iter().next().unwrap_or_default());
                Ok(vec![keys.and_then(|keys| self.checked(&keys))])
            }
            Err(fault) if events.len() == 1 => Ok(vec![Err(shortened(&fault.to_string()))]),
            Err(_) => {
                let (first, second) = events.split_at(events.len() / 2);
                let mut keys = self.keys(first)?;
                keys.extend(self.keys(second)?);
                Ok(keys)
            }
        }
    }

    /// The sources of a row, or the fault of the module that cannot tell them; none if it never
    /// can. Runs guest code.
    ///
    /// # Errors
    ///
    /// [`RunError::NoRoom`], which says nothing of the module.
    pub(super) fn sources(
        &mut self,
        key: &RowKey,
    ) -> Result<Option<Result<Vec<QueryItem>, Fault>>, RunError> {
        let sources = |instance: &mut ViewInstance| match instance.has_sources() {
            true => instance.sources(key).map(Some),
            false => Ok(None),
        };
        let named = match self.call(sources) {
            Err(Fault::Deadline { .. }) => self.call_unhurried(sources),
            named => named,
        };
        match named {
            Ok(named) => Ok(named.map(Ok)),
            Err(Fault::NoRoom) => Err(RunError::NoRoom),
            Err(fault) => Ok(Some(Err(fault))),
        }
    }

    fn checked<K: AsRef<str>>(&self, keys: impl AsRef<[K]>) -> Keys {
        let keys = keys.as_ref();
        let most = self.limits.keys;
        if keys.len() > most {
            let named = keys.len();
            return Err(format!(
                "it names {named} keys, of at most {most} (the setting `views.keys_per_event`)"
            ));
        }
        let mut seen = BTreeSet::new();
        for key in keys {
            let key = key.as_ref();
            let checked = RowKey::new(key);
            let checked = checked.map_err(|error| {
                let key: String = printable(key).chars().take(40).collect();
                format!("it names the key `{key}`: {error}")
            })?;
            seen.insert(checked);
        }
        Ok(seen.into_iter().collect())
    }

    /// Folds events of a page into rows. Runs guest code.
    ///
    /// # Errors
    ///
    /// [`RunError::NoRoom`], which says nothing of the module.
    pub(super) fn fold(
        &mut self,
        events: &[&RecordedEvent],
        rows: &[RowTask],
    ) -> Result<Vec<FoldedRow>, RunError> {
        let mut folded = Vec::with_capacity(rows.len());
        for rows in calls_of(rows) {
            self.fold_call(events, rows, &mut folded)?;
        }
        Ok(folded)
    }

    fn fold_call(
        &mut self,
        events: &[&RecordedEvent],
        rows: &[RowTask],
        folded: &mut Vec<FoldedRow>,
    ) -> Result<(), RunError> {
        match self.try_fold(events, rows)? {
            Ok(values) => {
                for (row, value) in rows.iter().zip(values) {
                    folded.push(self.settle(events, row, value)?);
                }
                Ok(())
            }
            Err(_) if rows.len() > 1 => {
                let (first, second) = rows.split_at(rows.len() / 2);
                self.fold_call(events, first, folded)?;
                self.fold_call(events, second, folded)
            }
            Err(fault) => {
                let row = &rows[0];
                let fault = RowFault {
                    index: None,
                    reason: fault.to_string(),
                };
                folded.push(self.settle(events, row, Err(fault))?);
                Ok(())
            }
        }
    }

    /// Keeps a row that was folded, or finds the event that it fails at and keeps it as it was
    /// before that.
    fn settle(
        &mut self,
        events: &[&RecordedEvent],
        row: &RowTask,
        value: FoldedValue,
    ) -> Result<FoldedRow, RunError> {
        let fault = match value.and_then(|value| self.kept(value)) {
            Ok((value, cells)) => {
                return Ok(FoldedRow {
                    key: row.key.clone(),
                    value,
                    cells,
                    folded: row.events.len(),
                    fault: None,
                });
            }
            Err(fault) => fault,
        };
        if let Some(index) = fault.index
            && let Some((value, cells)) = self.prefix(events, row, index)?
        {
            return Ok(parked(row, value, cells, index, &fault.reason));
        }
        // What the module does not tell is found out event by event.
        let (mut value, mut cells, mut reason) = (row.value.clone(), None, fault.reason);
        for (index, event) in row.events.iter().enumerate() {
            let step = RowTask {
                key: row.key.clone(),
                value: value.clone(),
                events: vec![*event],
            };
            let folded = match self.try_fold(events, std::slice::from_ref(&step))? {
                Ok(values) => values.into_iter().next().unwrap_or(Ok(None)),
                Err(fault) => Err(RowFault {
                    index: None,
                    reason: fault.to_string(),
                }),
            };
            match folded.and_then(|value| self.kept(value)) {
                Ok((next, values)) => (value, cells) = (next, Some(values)),
                Err(fault) => {
                    let cells = self.cells_before(&value, cells);
                    return Ok(parked(row, value, cells, index, &fault.reason));
                }
            }
        }
        // One by one they can be folded, and together they cannot: the row is not a function of its
        // events, and is kept as it was.
        reason.insert_str(
            0,
            "events that can be folded one by one cannot be folded together: ",
        );
        let cells = self.cells_before(&row.value, None);
        Ok(parked(row, row.value.clone(), cells, 0, &reason))
    }

    /// The cells of a row that was kept before.
    fn cells_before(
        &self,
        value: &Option<Json>,
        cells: Option<Vec<Option<Cell>>>,
    ) -> Vec<Option<Cell>> {
        let known = || Some(self.view.cells(value.as_ref()?).unwrap_or_default());
        cells.or_else(known).unwrap_or_default()
    }

    /// Folds the first of a row's events; none if these fail, too.
    fn prefix(
        &mut self,
        events: &[&RecordedEvent],
        row: &RowTask,
        count: usize,
    ) -> Result<Option<KeptRow>, RunError> {
        if count == 0 {
            let cells = self.cells_before(&row.value, None);
            return Ok(Some((row.value.clone(), cells)));
        }
        let task = RowTask {
            events: row.events.iter().take(count).copied().collect(),
            ..row.clone()
        };
        let folded = self.try_fold(events, std::slice::from_ref(&task))?;
        let value = folded.ok().and_then(|values| values.into_iter().next());
        Ok(value.and_then(|value| value.and_then(|value| self.kept(value)).ok()))
    }

    /// Checks a row that the module gave back.
    fn kept(&self, value: Option<Json>) -> Result<KeptRow, RowFault> {
        let fault = |reason| RowFault {
            index: None,
            reason,
        };
        let Some(row) = value else {
            return Ok((None, Vec::new()));
        };
        let (bytes, most) = (row.as_str().len(), self.limits.row_bytes);
        if bytes > most {
            return Err(fault(format!(
                "the row has {bytes} bytes, of at most {most} (the setting `views.row_bytes`)"
            )));
        }
        let cells = self.view.cells(&row).map_err(fault)?;
        Ok((Some(row), cells))
    }

    /// Folds rows in one call. The inner error says nothing of a single row.
    fn try_fold(
        &mut self,
        events: &[&RecordedEvent],
        rows: &[RowTask],
    ) -> Result<Result<Vec<FoldedValue>, Fault>, RunError> {
        // Only the events of these rows are passed.
        let used: BTreeSet<u32> = rows
            .iter()
            .flat_map(|row| row.events.iter().copied())
            .collect();
        let used: Vec<u32> = used.into_iter().collect();
        let passed: Vec<&RecordedEvent> =
            used.iter().map(|place| events[*place as usize]).collect();
        let places: Vec<Vec<u32>> = rows
            .iter()
            .map(|row| {
                let places = row.events.iter();
                let place = |event| used.partition_point(|used| used < event);
                places
                    .map(|event| u32::try_from(place(event)).unwrap_or(u32::MAX))
                    .collect()
            })
            .collect();
        let tasks: Vec<RowToFold<'_>> = rows
            .iter()
            .zip(&places)
            .map(|(row, events)| RowToFold {
                key: &row.key,
                value: row.value.as_ref(),
                events,
            })
            .collect();
        match self.call(|instance| instance.fold(&passed, &tasks)) {
            Err(Fault::NoRoom) => Err(RunError::NoRoom),
            Err(Fault::Deadline { .. }) if passed.len() == 1 => {
                Ok(self.call_unhurried(|instance| instance.fold(&passed, &tasks)))
            }
            folded => Ok(folded),
        }
    }

    fn call<T>(
        &mut self,
        call: impl Fn(&mut ViewInstance) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut instance = match self.instance.take() {
            Some(instance) => instance,
            None => self.view.module().instantiate_view()?,
        };
        let result = self.call_in(&mut instance, call);
        if !instance.is_spent() {
            self.instance = Some(instance);
        }
        result
    }

    /// Calls once more what was late, with much more time.
    fn call_unhurried<T>(
        &mut self,
        call: impl Fn(&mut ViewInstance) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let module = self.view.module().with_longer_deadline();
        self.call_in(&mut module.instantiate_view()?, call)
    }

    fn call_in<T>(
        &mut self,
        instance: &mut ViewInstance,
        call: impl Fn(&mut ViewInstance) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let result = call(instance);
        self.fuel = self.fuel.saturating_add(instance.fuel_used());
        let output = instance.take_output();
        if let Some(output) = output.filter(|_| self.output.len() < OUTPUT_BYTES) {
            self.output.push_str(&output);
        }
        result
    }
}

fn parked(
    row: &RowTask,
    value: Option<Json>,
    cells: Vec<Option<Cell>>,
    folded: usize,
    reason: &str,
) -> FoldedRow {
    FoldedRow {
        key: row.key.clone(),
        value,
        cells,
        folded,
        fault: Some(shortened(reason)),
    }
}

/// Cuts rows into lists that go into one call each.
fn calls_of(rows: &[RowTask]) -> impl Iterator<Item = &[RowTask]> {
    let mut rest = rows;
    iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |row: &&RowTask| {
            bytes += row.value.as_ref().map_or(0, |value| value.as_str().len());
            bytes <= ROW_BYTES_OF_CALL
        };
        let count = rest.iter().take(ROWS_OF_CALL).take_while(fits).count();
        let (call, later) = rest.split_at(count.max(1).min(rest.len()));
        rest = later;
        (!call.is_empty()).then_some(call)
    })
}

fn shortened(reason: &str) -> String {
    printable(reason).chars().take(REASON_CHARS).collect()
}
