//! The gate's report in words.
//!
//! Reads no more of a report than people are shown, so that a report of a newer host, with steps
//! and findings that this program does not know, can be read as well.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::Value;

/// The finding about recorded commands that would be decided otherwise.
pub(super) const DECISIONS: &str = "decisions";

/// The report of the gate.
#[derive(Debug, Default, Deserialize)]
struct Report {
    /// The module that is active; none before the first activation.
    #[serde(default)]
    active: Option<String>,
    steps: Vec<Step>,
    findings: Vec<Finding>,
    #[serde(default)]
    rollback: Option<Rollback>,
}

#[derive(Debug, Deserialize)]
struct Rollback {
    /// The safety of a rollback, in one sentence.
    summary: String,
}

#[derive(Debug, Deserialize)]
struct Step {
    step: String,
    /// `passed` or `refused`.
    outcome: String,
    /// The result of the step, in one sentence.
    summary: String,
}

#[derive(Debug, Deserialize)]
struct Finding {
    /// The name under which it can be accepted.
    name: String,
    /// The step that found it.
    step: String,
    /// The finding, in one sentence.
    summary: String,
    /// Facts, of which people are shown the lines of `example`.
    #[serde(default)]
    details: Value,
    blocks: bool,
    accepted: bool,
}

impl Finding {
    /// The first case that was found, in lines that are made for people; often none.
    fn example(&self) -> impl Iterator<Item = &str> {
        let example = self.details.get("example").and_then(Value::as_array);
        let lines = example.into_iter().flatten().filter_map(Value::as_str);
        lines.flat_map(str::lines)
    }
}

/// The report, a line for each step and finding.
pub(super) fn in_words(report: &Value) -> String {
    let Ok(report) = Report::deserialize(report) else {
        return "  the report is of another version than this gavel; -o json shows it".to_owned();
    };
    let mut words = String::new();
    for Step {
        step,
        outcome,
        summary,
    } in &report.steps
    {
        let _ = writeln!(words, "  {outcome:<8} {step:<11} {summary}");
        for finding in report
            .findings
            .iter()
            .filter(|finding| finding.step == *step)
        {
            let weight = match (finding.blocks, finding.accepted) {
                (true, true) => "accepted",
                (true, false) => "blocks",
                (false, _) => "note",
            };
            let _ = writeln!(
                words,
                "           {weight:<11} {}: {}",
                finding.name, finding.summary
            );
            for line in finding.example() {
                let _ = writeln!(words, "                         {line}");
            }
        }
    }
    if let Some(rollback) = &report.rollback {
        let _ = writeln!(words, "  rollback             {}", rollback.summary);
    }
    words.trim_end().to_owned()
}

/// The names of the findings that refuse the candidate.
pub(super) fn blocking(report: &Value) -> Vec<String> {
    let findings = Report::deserialize(report).unwrap_or_default().findings;
    let blocking = findings
        .into_iter()
        .filter(|finding| finding.blocks && !finding.accepted);
    blocking.map(|finding| finding.name).collect()
}

/// Tells whether recorded commands would be decided otherwise.
pub(super) fn changes_decisions(report: &Value) -> bool {
    let findings = Report::deserialize(report).unwrap_or_default().findings;
    findings.iter().any(|finding| finding.name == DECISIONS)
}

/// Tells whether a person should confirm the replacement of the active module.
pub(super) fn is_worth_a_question(report: &Value) -> bool {
    let report = Report::deserialize(report).unwrap_or_default();
    report.active.is_some() && !report.findings.is_empty()
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    pub(crate) fn refused() -> Value {
        json!({
            "decider": "account", "candidate": "sha256:new", "active": "sha256:old", "passed": false,
            "steps": [
                {"step": "validate", "outcome": "passed", "summary": "181 KiB, compiled in 52 ms"},
                {"step": "describe", "outcome": "passed", "summary": "1 command is new"},
                {"step": "specs", "outcome": "refused", "summary": "1 of 12 specs fails"},
            ],
            "findings": [
                {"name": "schema", "step": "describe", "summary": "Close is new", "details": {}, "blocks": false, "accepted": false},
                {"name": "specs:no overdraft", "step": "specs", "summary": "the command was accepted", "details": {}, "blocks": true, "accepted": false},
            ],
            "summary": [],
        })
    }

    #[test]
    fn a_report_reads_step_by_step() {
        assert_eq!(
            in_words(&refused()),
            "  passed   validate    181 KiB, compiled in 52 ms\n\
             \x20 passed   describe    1 command is new\n\
             \x20          note        schema: Close is new\n\
             \x20 refused  specs       1 of 12 specs fails\n\
             \x20          blocks      specs:no overdraft: the command was accepted"
        );
    }

    #[test]
    fn a_finding_is_followed_by_its_example() {
        let example = json!([
            "stream acc-17 version 9",
            "  before {\"balance\":3}\n  after  {\"balance\":4}"
        ]);
        let report = json!({
            "steps": [{"step": "determinism", "outcome": "passed", "summary": "100 commands decided twice"}],
            "findings": [{
                "name": "decisions", "step": "determinism", "summary": "1 differs", "details": {"example": example},
                "blocks": true, "accepted": true,
            }],
        });
        assert_eq!(
            in_words(&report),
            "  passed   determinism 100 commands decided twice\n\
             \x20          accepted    decisions: 1 differs\n\
             \x20                        stream acc-17 version 9\n\
             \x20                          before {\"balance\":3}\n\
             \x20                          after  {\"balance\":4}"
        );
    }

    #[test]
    fn a_report_as_hosts_store_it_is_read_in_full() {
        let report = include_str!("../../gate/tests/stored-report.json");
        let report: Value = serde_json::from_str(report).unwrap();
        let words = in_words(&report);
        for shown in [
            "refused  re-decide   54 commands re-decided",
            "accepted    schema: Event Closed version 1",
            "blocks      specs:no overdraft: never: Spec",
            "expected  {\"rejected\":\"overdraft\"}",
            "note        states: 1 of 12 streams",
            "rollback             Once the module has written",
        ] {
            assert!(words.contains(shown), "{shown}: {words}");
        }
        assert!(changes_decisions(&report) && is_worth_a_question(&report));
        assert_eq!(blocking(&report).len(), 8);
    }

    #[test]
    fn a_first_module_or_one_without_findings_raises_no_question() {
        let mut report = refused();
        assert!(is_worth_a_question(&report));
        report["active"] = Value::Null;
        assert!(!is_worth_a_question(&report));
        let mut report = refused();
        report["findings"] = json!([]);
        assert!(!is_worth_a_question(&report));
    }

    #[test]
    fn only_what_blocks_needs_to_be_accepted() {
        assert_eq!(blocking(&refused()), ["specs:no overdraft"]);
        assert_eq!(blocking(&Value::Null), Vec::<String>::new());
    }

    #[test]
    fn a_report_of_another_shape_is_not_dumped() {
        assert!(in_words(&json!({"steps": 3})).contains("-o json"));
    }
}
