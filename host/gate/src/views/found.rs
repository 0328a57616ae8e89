//! The results of the steps of views, in numbers and examples.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::words::{count, count_of};

/// The number of places in rows that a sentence names.
pub(super) const SHOWN_CHANGES: usize = 5;

/// The rows of a candidate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Built {
    /// The events that the candidate reads, as they were counted when the step began.
    pub events: u64,
    /// The rows that they lead to.
    pub rows: u64,
    /// The rows that cannot be folded further.
    pub parked_rows: u64,
    /// The events whose keys cannot be told.
    pub parked_events: u64,
}

/// The results of folding a sample twice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RowRepetition {
    /// The events that were folded.
    pub events: u64,
    /// The rows that they lead to.
    pub rows: u64,
    /// The rows and keys that were something else the second time.
    pub different: u64,
    /// The events about which `sources` and `keys` disagree.
    #[serde(default)]
    pub misnamed: u64,
    /// The first of them.
    pub example: Vec<String>,
}

/// The fuel of folding the same events with either module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RowCost {
    /// The number of events.
    pub events: u64,
    /// The fuel that they need with the active module; 0 without one.
    pub active_fuel: u64,
    /// The fuel that they need with the candidate.
    pub candidate_fuel: u64,
}

/// The rows of a candidate against those of the active module.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RowDifferences {
    /// The rows that both tables have, with the same value.
    pub equal: u64,
    /// The rows that have another value.
    pub changed: u64,
    /// The rows that the candidate does not have.
    pub only_before: u64,
    /// The rows that the active module does not have.
    pub only_after: u64,
    /// The rows of the candidate, where the tables were not compared in time: a rollback does not
    /// wait for that. Absent where they were; otherwise the other numbers say nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_compared: Option<u64>,
    /// The places in the changed rows that differ, as JSON pointers, the most frequent first.
    pub pointers: Vec<ChangedPointer>,
    /// The sums of the numeric columns that differ.
    pub sums: Vec<ColumnSum>,
    /// The first of the rows that differ.
    pub examples: Vec<RowExample>,
}

/// A place in rows that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangedPointer {
    /// The place as a JSON pointer; empty for the whole row.
    pub pointer: String,
    /// The number of rows that differ there.
    pub rows: u64,
}

/// The sum of a column over all rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ColumnSum {
    /// The column.
    pub column: String,
    /// The sum over the rows of the active module.
    pub before: f64,
    /// The sum over the rows of the candidate.
    pub after: f64,
}

/// A row that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RowExample {
    /// The key of the row.
    pub key: String,
    /// The row of the active module, or the beginning of its text; null if there is none.
    pub before: Option<Value>,
    /// The row of the candidate, or the beginning of its text; null if there is none.
    pub after: Option<Value>,
    /// Lines for people.
    pub lines: Vec<String>,
}

impl RowDifferences {
    /// The number of rows that differ.
    #[must_use]
    pub fn different(&self) -> u64 {
        self.changed + self.only_before + self.only_after
    }

    pub(super) fn summary(&self) -> String {
        if let Some(rows) = self.not_compared {
            let rows = count_of(rows, "row");
            return format!("{rows} not compared: there was no time for so many.");
        }
        let rows = self.equal + self.different();
        if self.different() == 0 {
            return format!("{}: all equal.", count_of(rows, "row"));
        }
        let pointers = self.pointers.iter().take(SHOWN_CHANGES);
        let pointers = pointers.map(|changed| {
            let place = match changed.pointer.trim_start_matches('/') {
                "" => "the whole row",
                place => place,
            };
            format!("{place} {}", count(changed.rows))
        });
        let pointers: Vec<String> = pointers.collect();
        let places = match pointers.is_empty() {
            true => String::new(),
            false => format!(" ({})", pointers.join(", ")),
        };
        let mut summary = format!(
            "{}: {} equal · {} changed{places} · {} only before · {} only after.",
            count_of(rows, "row"),
            count(self.equal),
            count(self.changed),
            count(self.only_before),
            count(self.only_after)
        );
        for sum in &self.sums {
            summary.push_str(&sum.in_words());
        }
        if let Some(first) = self.examples.first() {
            let lines = first.lines.join(", ");
            summary.push_str(&format!(" First: row {} {lines}.", first.key));
        }
        summary
    }
}

impl ColumnSum {
    fn in_words(&self) -> String {
        let Self {
            column,
            before,
            after,
        } = self;
        let share = (after / before - 1.0) * 100.0;
        let share = match share.is_finite() {
            true => format!(" ({share:+.1} %)"),
            false => String::new(),
        };
        format!(
            " Sum of {column} {} -> {}{share}.",
            number(*before),
            number(*after)
        )
    }
}

fn number(number: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole, and within bounds"
    )]
    if number.fract() == 0.0 && number.abs() < 9e15 {
        let sign = if number < 0.0 { "-" } else { "" };
        format!("{sign}{}", count(number.abs() as u64))
    } else {
        format!("{number}")
    }
}
