//! Steps `determinism` and `cost`: a sample of the log folded in one call and event by event, and
//! the fuel of it against the active module.

use std::sync::Arc;

use gavel_engine::views::{Differences, RepeatedFold};
use gavel_model::RecordedEvent;

use super::found::{RowCost, RowRepetition};
use super::subject::ViewSubject;
use crate::facts::{CostFacts, DeterminismFacts, StepFacts};
use crate::finding::{CostFinding, DeterminismFinding, FindingDetails, RowsFinding};
use crate::words::{count, count_of};
use crate::{Error, Finding, Gate, Step, StepResult, Watch};

/// The number of events of the sample.
const SAMPLE: u32 = 1_000;

impl Gate {
    /// Folds a sample twice, and once with the active module.
    pub(super) async fn repeat_rows(
        &self,
        subject: &ViewSubject,
        max_increase: f64,
        watch: &Watch,
    ) -> Result<[StepResult; 2], Error> {
        watch.begin(Step::Determinism, u64::from(SAMPLE));
        let sample = self
            .views
            .sample(&subject.candidate, subject.id.namespace(), SAMPLE)
            .await;
        let sample: Arc<Vec<RecordedEvent>> = Arc::new(sample.map_err(Error::Store)?);
        let repeated = self
            .views
            .repeat(&subject.candidate, Arc::clone(&sample))
            .await?;
        watch.begin(Step::Cost, u64::from(SAMPLE));
        let active = match &subject.active {
            Some(active) => self.views.repeat(active, sample).await?,
            None => RepeatedFold::default(),
        };
        let cost = RowCost {
            events: repeated.events,
            active_fuel: active.fuel,
            candidate_fuel: repeated.fuel,
        };
        Ok([repetition(repeated), cost.result(max_increase)])
    }
}

fn repetition(found: RepeatedFold) -> StepResult {
    let RepeatedFold {
        different,
        misnamed,
        ..
    } = found;
    let mut summary = format!(
        "{} folded twice into {}: {} different.",
        count_of(found.events, "event"),
        count_of(found.rows, "row"),
        count(different.count)
    );
    let mut findings = Vec::new();
    if different.count > 0 {
        let words = format!(
            "The module is no function of its events: {} folded again.",
            count_of(different.count, "difference")
        );
        findings.push(finding(&different, words));
    }
    if misnamed.count > 0 {
        let words = format!(
            "`sources` and `keys` disagree about {}.",
            count_of(misnamed.count, "event")
        );
        summary.push_str(&format!(" {words}"));
        findings.push(finding(&misnamed, words));
    }
    let examples = different.examples.into_iter().chain(misnamed.examples);
    let facts = RowRepetition {
        events: found.events,
        rows: found.rows,
        different: different.count,
        misnamed: misnamed.count,
        example: examples.collect(),
    };
    StepResult {
        summary,
        findings,
        facts: StepFacts::Determinism(DeterminismFacts::Rows(facts)),
    }
}

fn finding(differences: &Differences, summary: String) -> Finding {
    let details = FindingDetails::Determinism(DeterminismFinding::Rows(RowsFinding {
        rows: differences.count,
        events: None,
        example: differences.examples.clone(),
    }));
    Finding::new(details, summary, true)
}

impl RowCost {
    /// The increase of fuel over the active module, as a share: 1.0 is twice the fuel.
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    fn increase(&self) -> f64 {
        if self.active_fuel == 0 {
            return 0.0;
        }
        self.candidate_fuel as f64 / self.active_fuel as f64 - 1.0
    }

    fn result(self, max_increase: f64) -> StepResult {
        let each = |fuel: u64| count(fuel / self.events.max(1));
        let fuel = each(self.candidate_fuel);
        let summary = match self.active_fuel {
            0 => format!("{fuel} units of fuel an event."),
            _ => format!(
                "{fuel} units of fuel an event, {:+.0} % against the active module.",
                self.increase() * 100.0
            ),
        };
        let mut findings = Vec::new();
        if self.increase() > max_increase {
            let line = format!(
                "{fuel} units of fuel an event, {} with the active module",
                each(self.active_fuel)
            );
            let details = FindingDetails::Cost(CostFinding {
                example: vec![line],
            });
            let summary = format!(
                "Folding needs more fuel than is allowed ({:+.0} %): {:+.0} %.",
                max_increase * 100.0,
                self.increase() * 100.0
            );
            findings.push(Finding::new(details, summary, true));
        }
        StepResult {
            summary,
            findings,
            facts: StepFacts::Cost(CostFacts::Rows(self)),
        }
    }
}
