//! Step `compare`: the rows of the candidate against those that people read, by key and value.
//!
//! Both tables follow the log while they are read, one perhaps ahead of the other. So all rows are
//! compared once, and then those again that events have changed since, in rounds, until few are
//! left; the last round is made while both tables are held.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gavel_engine::catalog::View;
use gavel_engine::views::{Touched, TouchedError};
use gavel_model::{Json, Position, RowKey};
use gavel_store::ResumeError;
use gavel_store::views::{ColumnType, KeyedRow, TableId, ViewTable};
use tokio::time::{Instant, sleep};

use super::comparison::TableComparison;
use super::found::{ColumnSum, RowDifferences};
use super::subject::ViewSubject;
use crate::facts::StepFacts;
use crate::finding::{FindingDetails, RowsFinding};
use crate::words::{count, count_of};
use crate::{Error, Finding, Gate, Step, StepResult, Watch};

/// The number of rows of each table that are read at a time.
const PAGE: u32 = 1_000;
/// The number of rows that are left for the last round, while both tables are held.
const FEW: usize = 1_000;
/// The most rounds before that.
const ROUNDS: u32 = 20;
/// The pause while one table is behind the other.
pub(super) const PAUSE: Duration = Duration::from_millis(5);
/// The longest time for which tables that follow the log are waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// The two tables of a comparison, and all that is said of them.
#[derive(Debug, Clone)]
pub(super) struct ComparedTables {
    pub(super) before: ViewTable,
    pub(super) after: ViewTable,
    pub(super) comparison: TableComparison,
    /// The sums of the numeric columns in which rows differ, when they were last counted.
    sums: Vec<ColumnSum>,
}

impl RowDifferences {
    /// Makes the finding. More than `most` rows that differ block; without `most` none do.
    fn finding(&self, most: Option<u64>) -> Option<Finding> {
        let rows = self.different();
        let examples = self.examples.iter();
        let example = examples.map(|row| format!("{}: {}", row.key, row.lines.join(", ")));
        let details = FindingDetails::Rows(RowsFinding {
            rows,
            events: None,
            example: example.collect(),
        });
        let most_in_words = most.map(|most| format!(", of at most {}", count(most)));
        let summary = format!(
            "{} would be another{}.",
            count_of(rows, "row"),
            most_in_words.unwrap_or_default()
        );
        let blocks = most.is_some_and(|most| rows > most);
        (rows > 0).then(|| Finding::new(details, summary, blocks))
    }

    /// Makes the result of the step. More than `most` rows that differ block; without `most` none
    /// do.
    pub(super) fn result(&self, most: Option<u64>) -> StepResult {
        StepResult {
            summary: self.summary(),
            findings: self.finding(most).into_iter().collect(),
            facts: StepFacts::Compare(self.clone()),
        }
    }
}

impl Gate {
    /// Compares the tables, as far as both have come by now.
    pub(super) async fn compare_rows(
        &self,
        subject: &ViewSubject,
        (before, after): (&ViewTable, &ViewTable),
        watch: &Watch,
    ) -> Result<ComparedTables, Error> {
        watch.begin(Step::Compare, before.rows.max(after.rows));
        let known = self.known_comparison(subject, before.id, after.id).await?;
        let mut comparison = match known {
            Some(known) => known,
            None => {
                let start = self
                    .views
                    .position_of(before)
                    .min(self.views.position_of(after));
                let comparison = TableComparison::new(before.id, after.id, start);
                self.compare_all(comparison, watch).await?
            }
        };
        for _ in 0..ROUNDS {
            watch.check()?;
            let again = self.compare_again(subject, &mut comparison, None).await?;
            if again < FEW {
                break;
            }
        }
        self.comparisons.keep(comparison.clone());
        let mut compared = ComparedTables {
            before: before.clone(),
            after: after.clone(),
            comparison,
            sums: Vec::new(),
        };
        self.sum(&mut compared).await?;
        Ok(compared)
    }

    /// Finds a comparison to go on from. One that has seen events which the log has lost is none.
    pub(super) async fn known_comparison(
        &self,
        subject: &ViewSubject,
        before: TableId,
        after: TableId,
    ) -> Result<Option<TableComparison>, Error> {
        let Some(known) = self.comparisons.find(before, after) else {
            return Ok(None);
        };
        let namespace = subject.id.namespace();
        match self.store.check_position(namespace, known.through).await {
            Ok(()) => Ok(Some(known)),
            Err(ResumeError::Lost { .. }) => Ok(None),
            Err(ResumeError::Store(error)) => Err(Error::Store(error)),
        }
    }

    /// Compares all rows once.
    async fn compare_all(
        &self,
        mut comparison: TableComparison,
        watch: &Watch,
    ) -> Result<TableComparison, Error> {
        let mut before = RowPages::of(comparison.before);
        let mut after = RowPages::of(comparison.after);
        loop {
            watch.check()?;
            self.fill(&mut before).await?;
            self.fill(&mut after).await?;
            let mut compared = 0;
            while !before.wants_more() && !after.wants_more() {
                let key = match (before.first(), after.first()) {
                    (None, None) => return Ok(comparison),
                    (Some(one), Some(other)) => one.min(other).clone(),
                    (Some(key), None) | (None, Some(key)) => key.clone(),
                };
                let (one, other) = (before.take(&key), after.take(&key));
                comparison.compare(&key, one.as_ref(), other.as_ref());
                compared += 1;
            }
            watch.did(0, compared, 0);
        }
    }

    /// Reads on in a table if nothing of it is left.
    async fn fill(&self, rows: &mut RowPages) -> Result<(), Error> {
        if !rows.wants_more() {
            return Ok(());
        }
        let throttle = self.modules.runtime().throttle();
        let read = self
            .views
            .store()
            .scan(rows.table, rows.last.as_ref(), PAGE);
        let (read, _) = throttle.take_turns(read).await;
        let (page, _) = read.map_err(Error::Store)?;
        rows.last = page
            .items
            .last()
            .map(|row| row.key.clone())
            .or(rows.last.take());
        rows.is_over = !page.has_more;
        rows.page = page.items.into_iter();
        rows.peeked = rows.page.next();
        Ok(())
    }

    /// Compares the rows again that events have changed since, up to where both tables are, or up
    /// to `positions` where they are held. Gives how many those were.
    pub(super) async fn compare_again(
        &self,
        subject: &ViewSubject,
        comparison: &mut TableComparison,
        positions: Option<(Position, Position)>,
    ) -> Result<usize, Error> {
        let since = comparison.through;
        let (mut keys, end) = self.touched_since(subject, since, positions).await?;
        let through = match positions {
            // What one of them does not have yet is pending, and told by nobody.
            Some((before, after)) => {
                let reached = before.min(after);
                if reached < end {
                    let pending = self.touched_since(subject, reached, positions).await?.0;
                    keys.retain(|key| !pending.contains(key));
                }
                reached
            }
            None => {
                self.wait_for_both(subject, comparison, end).await?;
                end
            }
        };
        let keys: Vec<RowKey> = keys.into_iter().collect();
        for part in keys.chunks(PAGE as usize) {
            let store = self.views.store();
            let before = store
                .rows(comparison.before, part)
                .await
                .map_err(Error::Store)?;
            let after = store
                .rows(comparison.after, part)
                .await
                .map_err(Error::Store)?;
            for (key, (before, after)) in part.iter().zip(before.iter().zip(&after)) {
                comparison.compare(key, before.value.as_ref(), after.value.as_ref());
            }
        }
        // Not beyond: what was changed while it was read is compared once more.
        comparison.through = through.max(comparison.through);
        Ok(keys.len())
    }

    /// The rows of both modules that events after a position change, up to the end of the log, or
    /// of what the tables have.
    async fn touched_since(
        &self,
        subject: &ViewSubject,
        since: Position,
        positions: Option<(Position, Position)>,
    ) -> Result<(BTreeSet<RowKey>, Position), Error> {
        let most = positions.map(|(before, after)| before.max(after));
        let (mut keys, mut end) = (BTreeSet::new(), since);
        for view in [Some(&subject.candidate), subject.active.as_ref()]
            .into_iter()
            .flatten()
        {
            let through = self
                .touched_by(subject, view, since, most, &mut keys)
                .await?;
            end = end.max(through);
        }
        Ok((keys, end))
    }

    /// Puts the rows of a module into `keys` that events after a position change. Gives the place
    /// through which the log was read.
    async fn touched_by(
        &self,
        subject: &ViewSubject,
        view: &Arc<View>,
        mut after: Position,
        most: Option<Position>,
        keys: &mut BTreeSet<RowKey>,
    ) -> Result<Position, Error> {
        let namespace = subject.id.namespace();
        loop {
            let touched = self.views.touched(view, namespace, after).await;
            let Touched {
                keys: more,
                through,
                is_end,
            } = touched.map_err(Error::from)?;
            keys.extend(more);
            after = through;
            if is_end || most.is_some_and(|most| through >= most) {
                return Ok(after);
            }
        }
    }

    /// Waits until both tables have come to a position. Fails when one does not, since it is paused
    /// or gone.
    async fn wait_for_both(
        &self,
        subject: &ViewSubject,
        comparison: &TableComparison,
        end: Position,
    ) -> Result<(), Error> {
        let is_late = Instant::now() + PATIENCE;
        let contended = || Error::Contended {
            keys: vec![subject.key.clone()],
        };
        loop {
            let tables = self.views.store().tables().await.map_err(Error::Store)?;
            let mut reached = 0;
            for id in [comparison.before, comparison.after] {
                let table = tables.iter().find(|table| table.id == id);
                // Somebody may have dropped it.
                let table = table.ok_or_else(contended)?;
                let is_there = self.views.position_of(table) >= end;
                if table.is_paused && !is_there {
                    let key = subject.key.clone();
                    return Err(Error::Paused { key });
                }
                reached += usize::from(is_there);
            }
            if reached == 2 {
                return Ok(());
            }
            if Instant::now() > is_late {
                return Err(contended());
            }
            sleep(PAUSE).await;
        }
    }

    /// Counts what differs.
    pub(super) async fn differences(
        &self,
        compared: &ComparedTables,
    ) -> Result<RowDifferences, Error> {
        let tables = self.views.store().tables().await.map_err(Error::Store)?;
        let after = tables.iter().find(|table| table.id == compared.after.id);
        let rows = after.map_or(compared.after.rows, |after| after.rows);
        let mut found = compared.comparison.count(rows);
        found.sums.clone_from(&compared.sums);
        Ok(found)
    }

    /// Sums up the numeric columns in which rows differ, over all rows.
    pub(super) async fn sum(&self, compared: &mut ComparedTables) -> Result<(), Error> {
        let ComparedTables { before, after, .. } = compared;
        let found = compared.comparison.count(0);
        let is_numeric = |table: &ViewTable, column: &str| {
            let kind = table.shape.column_type(column);
            matches!(kind, Some(ColumnType::Integer | ColumnType::Number))
        };
        let differs = |column: &str| {
            let gone = found.only_before + found.only_after > 0;
            let place = format!("/{column}");
            let mut pointers = found.pointers.iter();
            gone || pointers.any(|changed| changed.pointer == place)
        };
        let columns = after.shape.columns.iter().map(|column| column.name.clone());
        let columns: Vec<String> = columns
            .filter(|column| is_numeric(after, column) && is_numeric(before, column))
            .filter(|column| differs(column))
            .collect();
        compared.sums.clear();
        if columns.is_empty() {
            return Ok(());
        }
        let store = self.views.store();
        let sums_before = store.sums(before.id, &columns).await;
        let sums_after = store.sums(after.id, &columns).await;
        let sums_before = sums_before.map_err(Error::Store)?.into_iter();
        let sums = sums_before.zip(sums_after.map_err(Error::Store)?);
        let sums = columns.into_iter().zip(sums);
        compared.sums = sums
            .map(|(column, (before, after))| ColumnSum {
                column,
                before,
                after,
            })
            .collect();
        Ok(())
    }
}

impl From<TouchedError> for Error {
    fn from(error: TouchedError) -> Self {
        match error {
            TouchedError::Store(error) => Self::Store(error),
            TouchedError::NotRun(error) => Self::NotRun(error),
        }
    }
}

/// The rows of a table in the order of their keys, page by page.
#[derive(Debug)]
struct RowPages {
    table: TableId,
    last: Option<RowKey>,
    page: std::vec::IntoIter<KeyedRow>,
    peeked: Option<KeyedRow>,
    is_over: bool,
}

impl RowPages {
    fn of(table: TableId) -> Self {
        Self {
            table,
            last: None,
            page: Vec::new().into_iter(),
            peeked: None,
            is_over: false,
        }
    }

    fn wants_more(&self) -> bool {
        self.peeked.is_none() && !self.is_over
    }

    fn first(&self) -> Option<&RowKey> {
        self.peeked.as_ref().map(|row| &row.key)
    }

    /// Takes the first row if it has this key.
    fn take(&mut self, key: &RowKey) -> Option<Json> {
        let row = self.peeked.take_if(|row| row.key == *key)?;
        self.peeked = self.page.next();
        Some(row.value)
    }
}

#[cfg(test)]
mod tests {
    use super::super::found::{ChangedPointer, RowExample};
    use super::*;

    #[test]
    fn differences_are_told_in_words() {
        let differences = RowDifferences {
            equal: 1_203_870,
            changed: 412,
            only_before: 12,
            only_after: 37,
            not_compared: None,
            pointers: vec![ChangedPointer {
                pointer: "/total".to_owned(),
                rows: 412,
            }],
            sums: vec![ColumnSum {
                column: "total".to_owned(),
                before: 8_120_455.0,
                after: 8_021_977.0,
            }],
            examples: vec![RowExample {
                key: "o-17".to_owned(),
                before: None,
                after: None,
                lines: vec!["/total: 7 -> 6".to_owned()],
            }],
        };
        assert_eq!(
            differences.summary(),
            "1,204,331 rows: 1,203,870 equal · 412 changed (total 412) · 12 only before · 37 only after. \
             Sum of total 8,120,455 -> 8,021,977 (-1.2 %). First: row o-17 /total: 7 -> 6."
        );
        assert!(differences.finding(Some(460)).unwrap().blocks);
        assert!(!differences.finding(Some(461)).unwrap().blocks);
        let going_back = differences.finding(None).unwrap();
        assert_eq!(
            (going_back.blocks, going_back.summary.as_str()),
            (false, "461 rows would be another.")
        );
        assert_eq!(RowDifferences::default().finding(Some(0)), None);
        let unknown = RowDifferences {
            not_compared: Some(5_000_000),
            ..RowDifferences::default()
        };
        assert_eq!(
            unknown.summary(),
            "5,000,000 rows not compared: there was no time for so many."
        );
    }
}
