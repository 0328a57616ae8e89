//! Step `specs`: given events, then rows, in the production sandbox. `wit/specs.md` says what
//! specifications mean.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use gavel_engine::catalog::{View, ViewSpec};
use gavel_engine::views::{ViewLimits, fold_spec};
use gavel_sandbox::RunError;
use serde_json::{Value, json};

use super::subject::ViewSubject;
use crate::promised::{Promised, SpecFailure};
use crate::specs::SpecRun;
use crate::subject::Swap;
use crate::{Error, Gate, StepResult, Watch};

/// Runs the specifications of a view itself, each in an instance of its own. Calls the guest.
pub(crate) fn run_all(view: &Arc<View>, limits: ViewLimits) -> Vec<SpecRun> {
    let specs = view.manifest().specs.iter();
    let run_each = |spec: &ViewSpec| {
        let mut output = None;
        let failure = run(view, limits, spec, &mut output);
        SpecRun {
            title: spec.title.clone(),
            failure: failure
                .unwrap_or_else(|error| Some(failed(spec, error.to_string(), Value::Null))),
            output,
        }
    };
    specs.map(run_each).collect()
}

impl Gate {
    /// Runs the candidate's own specifications, and those of the active module that it does not
    /// contain unchanged.
    pub(super) async fn run_view_specs(
        &self,
        subject: &ViewSubject,
        watch: &Watch,
    ) -> Result<StepResult, Error> {
        let own = &subject.candidate.manifest().specs;
        let former = subject
            .active
            .iter()
            .flat_map(|active| &active.manifest().specs);
        let former = former.filter(|spec| !own.contains(spec));
        let is_binding = subject.direction == Swap::Forward;
        let all = own.iter().map(|spec| (spec, "the module", true));
        let all = all.chain(former.map(|spec| (spec, "the active module", is_binding)));
        let mut promised = Promised::new(self.settings.specs);
        let began = Instant::now();
        for (spec, whose, is_binding) in all {
            watch.check()?;
            if began.elapsed() >= self.settings.specs {
                promised.not_run(&spec.title, whose, is_binding);
                continue;
            }
            let (view, spec) = (Arc::clone(&subject.candidate), spec.clone());
            let limits = self.views.limits();
            let runtime = self.modules.runtime();
            let verdict = runtime.run_in_background(move || run(&view, limits, &spec, &mut None));
            let failure = verdict
                .await
                .and_then(|verdict| verdict)
                .map_err(Error::NotRun)?;
            promised.was_run(failure, whose, is_binding);
        }
        Ok(promised.result())
    }
}

/// Runs a specification. Gives why it does not hold, and leaves what the module has written in
/// `output`.
fn run(
    view: &Arc<View>,
    limits: ViewLimits,
    spec: &ViewSpec,
    output: &mut Option<String>,
) -> Result<Option<SpecFailure>, RunError> {
    let folded = fold_spec(view, limits, &spec.given)?;
    *output = folded.output;
    Ok(match folded.rows {
        Err(reason) => Some(failed(spec, reason, Value::Null)),
        Ok(rows) if is_same(&rows, &spec.then.rows) => None,
        Ok(rows) => Some(failed(
            spec,
            "the rows are others".to_owned(),
            json!({ "rows": rows }),
        )),
    })
}

/// Compares rows as what they say: `5` is `5.0`.
fn is_same(rows: &BTreeMap<String, Value>, wanted: &BTreeMap<String, Value>) -> bool {
    let text = |rows: &BTreeMap<String, Value>| -> BTreeMap<String, String> {
        let rows = rows.iter();
        rows.map(|(key, row)| (key.clone(), as_kept(row))).collect()
    };
    text(rows) == text(wanted)
}

/// The text in which a document would be kept.
fn as_kept(row: &Value) -> String {
    let text = row.to_string();
    gavel_model::Json::parse(&text).map_or(text, |kept| kept.as_str().to_owned())
}

fn failed(spec: &ViewSpec, reason: String, actual: Value) -> SpecFailure {
    SpecFailure {
        title: spec.title.clone(),
        reason,
        expected: serde_json::to_value(&spec.then).unwrap_or_default(),
        actual,
    }
}
