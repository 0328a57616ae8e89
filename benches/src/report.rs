//! The results of a bench: tables for people, JSON for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Result;
use serde_json::{Map, Value, json};

/// Figures of one run, by name. The name holds the unit.
pub(crate) type Figures = Vec<(&'static str, f64)>;

/// A line of a table.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Row {
    /// The conditions of the measurement, as in `("store", "sqlite")`.
    pub(crate) labels: Vec<(&'static str, String)>,
    /// The figures.
    pub(crate) figures: Figures,
    /// The unexpected outcomes; usually empty.
    pub(crate) note: String,
}

/// The results of one bench.
#[derive(Debug)]
pub struct Report {
    bench: &'static str,
    facts: BTreeMap<String, String>,
    sections: Vec<Section>,
}

#[derive(Debug)]
struct Section {
    name: &'static str,
    about: String,
    rows: Vec<Row>,
}

impl Report {
    /// An empty report of the bench with this name.
    #[must_use]
    pub fn new(bench: &'static str) -> Self {
        Self {
            bench,
            facts: BTreeMap::new(),
            sections: Vec::new(),
        }
    }

    /// A version or a setting that the figures depend on.
    pub fn fact(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.facts.insert(name.into(), value.into());
    }

    /// Adds a table and prints it at once, as a sign of progress.
    pub(crate) fn section(&mut self, name: &'static str, about: impl Into<String>, rows: Vec<Row>) {
        let about = about.into();
        let section = Section { name, about, rows };
        print(&section.to_markdown());
        self.sections.push(section);
    }

    /// Prints the versions and settings, and writes everything to `<folder>/<bench>.json`.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn finish(&self, folder: &Path) -> Result<()> {
        let mut text = String::from("\nVersions and settings\n");
        for (name, value) in &self.facts {
            let _ = writeln!(text, "- {name}: {value}");
        }
        print(&text);
        fs::create_dir_all(folder)?;
        let file = folder.join(format!("{}.json", self.bench));
        fs::write(&file, serde_json::to_string_pretty(&self.to_json())? + "\n")?;
        print(&format!("\nAll of this as JSON: {}\n", file.display()));
        Ok(())
    }

    fn to_json(&self) -> Value {
        let sections: Vec<_> = self.sections.iter().map(Section::to_json).collect();
        json!({ "bench": self.bench, "facts": self.facts, "sections": sections })
    }
}

impl Section {
    fn to_markdown(&self) -> String {
        let labels = names(self.rows.iter().map(|row| &row.labels));
        let figures = names(self.rows.iter().map(|row| &row.figures));
        let has_notes = self.rows.iter().any(|row| !row.note.is_empty());
        let head: Vec<_> = labels
            .iter()
            .chain(&figures)
            .chain(has_notes.then_some(&"note"))
            .collect();
        let mut lines = vec![
            head.iter().map(ToString::to_string).collect::<Vec<_>>(),
            head.iter().map(|_| "---".to_owned()).collect(),
        ];
        lines.extend(self.rows.iter().map(|row| {
            let labels = labels
                .iter()
                .map(|name| find(&row.labels, name).cloned().unwrap_or_default());
            let figures = figures.iter().map(|name| {
                find(&row.figures, name).map_or(String::new(), |figure| rounded(*figure))
            });
            let note = has_notes.then(|| row.note.clone());
            labels.chain(figures).chain(note).collect()
        }));
        let mut text = format!("\n### {}\n\n{}\n\n", self.name, self.about);
        let widths: Vec<_> = (0..head.len())
            .map(|column| lines.iter().map(|line| line[column].chars().count()).max())
            .collect();
        for line in &lines {
            let cells = line.iter().zip(&widths);
            let cells = cells.map(|(cell, width)| format!("{cell:<0$}", width.unwrap_or(0)));
            let _ = writeln!(text, "| {} |", cells.collect::<Vec<_>>().join(" | "));
        }
        text
    }

    fn to_json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let labels = row
                .labels
                .iter()
                .map(|(name, value)| ((*name).to_owned(), json!(value)));
            // A figure that is no number (nothing was answered) becomes null.
            let figures = row
                .figures
                .iter()
                .map(|(name, value)| ((*name).to_owned(), json!(value)));
            let note = (!row.note.is_empty()).then(|| ("note".to_owned(), json!(row.note)));
            Value::Object(labels.chain(figures).chain(note).collect::<Map<_, _>>())
        });
        json!({ "name": self.name, "about": self.about, "rows": rows.collect::<Vec<_>>() })
    }
}

/// The median of each figure over the runs, and how far the runs lie apart in the first one, in
/// percent of its median.
pub(crate) fn median(runs: &[Figures]) -> Figures {
    let all = |name| -> Vec<f64> {
        let found = runs.iter().filter_map(|run| find(run, name).copied());
        let mut values: Vec<_> = found.collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let names = names(runs.iter());
    let mut figures: Figures = names
        .iter()
        .map(|name| (*name, middle(&all(name))))
        .collect();
    if let Some((first, median)) = figures.first().copied().filter(|_| runs.len() > 1) {
        let values = all(first);
        let span = values.last().unwrap_or(&median) - values.first().unwrap_or(&median);
        figures.push(("spread_%", span / median * 100.0));
    }
    figures
}

/// A figure by its name; NaN if there is none.
pub(crate) fn figure(figures: &Figures, name: &str) -> f64 {
    find(figures, name).copied().unwrap_or(f64::NAN)
}

fn middle(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[length / 2],
        length => f64::midpoint(sorted[length / 2 - 1], sorted[length / 2]),
    }
}

/// All names, in the order in which they first come.
fn names<'a, T: 'a>(lists: impl Iterator<Item = &'a Vec<(&'static str, T)>>) -> Vec<&'static str> {
    let mut names = Vec::new();
    for (name, _) in lists.flatten() {
        if !names.contains(name) {
            names.push(name);
        }
    }
    names
}

fn find<'a, T>(list: &'a [(&'static str, T)], name: &str) -> Option<&'a T> {
    list.iter()
        .find_map(|(known, value)| (*known == name).then_some(value))
}

/// Rounds a figure to three digits, but keeps all digits before the point.
fn rounded(figure: f64) -> String {
    match figure.abs() {
        _ if figure.is_nan() => "-".to_owned(),
        0.0 => "0".to_owned(),
        size if size >= 100.0 => format!("{figure:.0}"),
        size if size >= 10.0 => format!("{figure:.1}"),
        size if size >= 1.0 => format!("{figure:.2}"),
        _ => format!("{figure:.3}"),
    }
}

#[expect(
    clippy::print_stdout,
    reason = "the tables are what the program is for"
)]
fn print(text: &str) {
    print!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_taken_figure_by_figure() {
        let runs = [
            vec![("per_s", 30.0), ("p99_ms", 1.0)],
            vec![("per_s", 10.0), ("p99_ms", 9.0)],
            vec![("per_s", 20.0), ("p99_ms", 2.0)],
        ];
        let expected = vec![("per_s", 20.0), ("p99_ms", 2.0), ("spread_%", 100.0)];
        assert_eq!(median(&runs), expected);
        assert_eq!(median(&runs[..2])[0], ("per_s", 20.0));
        assert_eq!(median(&runs[..1]).len(), 2, "one run has no spread");
    }

    #[test]
    fn a_table_has_the_columns_of_all_rows() {
        let row = |store: &str, figures| Row {
            labels: vec![("store", store.to_owned())],
            figures,
            note: String::new(),
        };
        let rows = vec![
            row("sqlite", vec![("p50_ms", 0.12345)]),
            row("postgres", vec![("p50_ms", 12.0), ("wal_bytes", 1234.5)]),
        ];
        let section = Section {
            name: "n",
            about: "a".to_owned(),
            rows,
        };
        let text = section.to_markdown();
        assert!(text.contains("| store    | p50_ms | wal_bytes |"), "{text}");
        assert!(text.contains("| sqlite   | 0.123  |           |"), "{text}");
        assert!(text.contains("| postgres | 12.0   | 1234      |"), "{text}");
        assert_eq!(section.to_json()["rows"][1]["wal_bytes"], 1234.5);
    }
}
