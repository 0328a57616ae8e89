//! The examination of a view: takes a candidate through the steps, in order.

use std::time::Duration;

use gavel_store::views::{SqlName, ViewTable};
use tokio::time::timeout;

use super::compare::ComparedTables;
use super::found::RowDifferences;
use super::subject::ViewSubject;
use crate::facts::{DescribeFacts, StepFacts, ValidateFacts, ViewFacts};
use crate::finding::{ColumnsFinding, FindingDetails};
use crate::subject::Swap;
use crate::words::count_of;
use crate::{Error, Finding, Gate, Report, Step, StepResult, Watch};

/// The longest time for which a rollback waits for the comparison of rows: where it was kept up to
/// date, it is there at once.
pub(super) const ROLLBACK_LOOK: Duration = Duration::from_secs(3);

/// A candidate as it was last looked at.
#[derive(Debug, Clone)]
pub(crate) struct ViewLook {
    pub(crate) report: Report,
    /// The table of the candidate; none where the examination ended before it was built.
    pub(super) table: Option<ViewTable>,
    /// The comparison with the table that people read, if there is one.
    pub(super) compared: Option<ComparedTables>,
}

impl Gate {
    /// Takes a candidate through all steps. What is found about the rows of a module that was
    /// active before does not keep people from going back to them.
    pub(crate) async fn examine_view(
        &self,
        subject: &ViewSubject,
        watch: &Watch,
    ) -> Result<ViewLook, Error> {
        let as_of = self.store.moment(subject.id.namespace()).await;
        let as_of = as_of.map_err(Error::Store)?;
        let (policy, accept) = (self.policy(&subject.key), &subject.accept);
        let mut look = ViewLook {
            report: subject.empty_report(&as_of),
            table: None,
            compared: None,
        };

        // A module is only ever stored, and made ready, after it has passed this.
        watch.begin(Step::Validate, 0);
        let imports = subject.candidate.module().imports().len();
        let validated = StepResult {
            summary: "The component is well formed and asks for nothing that it cannot have."
                .to_owned(),
            findings: Vec::new(),
            facts: StepFacts::Validate(ValidateFacts { imports }),
        };
        look.report.enter(validated, policy, accept);

        watch.begin(Step::Describe, 0);
        let shape = subject.candidate.shape();
        let name = self.views.store().sql_name(&subject.id, shape).await;
        let described = describe(subject, name.map_err(Error::Store)?);
        if !look.report.enter(described, policy, accept) {
            return Ok(look);
        }

        watch.begin(Step::Dependents, 0);
        let alone = [subject.pointing()];
        let dependents = self
            .dependents(subject.id.namespace(), &alone, watch)
            .await?;
        for result in dependents.results {
            look.report.enter(result, policy, accept);
        }
        watch.begin(Step::Specs, 0);
        let specs = self.run_view_specs(subject, watch).await?;
        if !look.report.enter(specs, policy, accept) {
            return Ok(look);
        }

        let (table, built) = self.build(subject, watch).await?;
        let is_built = look.report.enter(built, policy, accept);
        look.table = Some(table);
        if subject.is_active() || !is_built {
            return Ok(look);
        }
        self.compare_look(subject, &mut look, watch).await?;
        if subject.direction == Swap::Back {
            return Ok(look);
        }
        for result in self
            .repeat_rows(subject, policy.max_fuel_increase, watch)
            .await?
        {
            look.report.enter(result, policy, accept);
        }
        Ok(look)
    }

    /// Compares the candidate's table with the one that people read, if there is one.
    async fn compare_look(
        &self,
        subject: &ViewSubject,
        look: &mut ViewLook,
        watch: &Watch,
    ) -> Result<(), Error> {
        let status = self.views.status(&subject.id).await.map_err(Error::Store)?;
        let before = status.and_then(|status| status.active);
        let before = before.filter(|before| before.is_finished);
        let (Some(before), Some(after)) = (before, look.table.clone()) else {
            return Ok(());
        };
        if before.id == after.id || subject.active.is_none() {
            return Ok(());
        }
        let comparing = self.compare_rows(subject, (&before, &after), watch);
        let compared = match subject.direction {
            Swap::Forward => Some(comparing.await?),
            // Nothing keeps people from going back.
            Swap::Back => match timeout(ROLLBACK_LOOK, comparing).await {
                Ok(Ok(compared)) => Some(compared),
                Ok(Err(Error::Paused { .. })) | Err(_) => None,
                Ok(Err(error)) => return Err(error),
            },
        };
        let found = match &compared {
            Some(compared) => self.differences(compared).await?,
            None => RowDifferences {
                not_compared: Some(after.rows),
                ..RowDifferences::default()
            },
        };
        let policy = self.policy(&subject.key);
        let result = found.result(subject.most_changed_rows(policy));
        look.report.enter(result, policy, &subject.accept);
        look.compared = compared;
        Ok(())
    }
}

fn indexes(number: usize) -> String {
    match number {
        1 => "1 index".to_owned(),
        _ => format!("{number} indexes"),
    }
}

fn describe(subject: &ViewSubject, name: SqlName) -> StepResult {
    let (view, shape) = (&subject.candidate, subject.candidate.shape());
    let mut summary = format!(
        "{}, {}, {} read.",
        count_of(shape.columns.len() as u64, "column"),
        indexes(shape.indexes.len()),
        count_of(view.manifest().reads.len() as u64, "event")
    );
    if let Some(name) = &name.name {
        summary.push_str(&format!(" In SQL: {name}."));
    }
    if let Some(lacks) = &name.lacks {
        summary.push_str(&format!(" Less than usual: {lacks}."));
    }
    if !view.uncolumned().is_empty() {
        let members = view.uncolumned().join(", ");
        summary.push_str(&format!(" In the row alone: {members}."));
    }
    let mut findings = Vec::new();
    if !name.columns.is_empty() {
        let columns = name.columns.join(", ");
        let mut words =
            format!("The view's name in SQL has to be made anew for the columns {columns}");
        if !name.dependents.is_empty() {
            words.push_str(&format!(", on which depend {}", name.dependents.join(", ")));
        }
        let details = FindingDetails::Columns(ColumnsFinding {
            columns: name.columns.clone(),
            dependents: name.dependents.clone(),
        });
        let is_binding = subject.direction == Swap::Forward;
        findings.push(Finding::new(details, words + ".", is_binding));
    }
    StepResult {
        summary,
        findings,
        facts: StepFacts::Describe(DescribeFacts::View(ViewFacts {
            columns: shape
                .columns
                .iter()
                .map(|column| column.name.clone())
                .collect(),
            in_row_alone: view.uncolumned().to_vec(),
            indexes: shape.indexes.clone(),
            reads: view.manifest().reads.len(),
            sql_name: name.name,
        })),
    }
}
