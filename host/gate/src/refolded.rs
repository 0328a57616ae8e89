//! The results of folding, for the report.

use gavel_model::{Event, Json, Version};
use gavel_sandbox::Fault;
use serde_json::{Value, json};

use super::folder::FoldError;
use super::words::{count, count_of, event_json, excerpt, excerpt_json, seconds as in_seconds};
use super::{Finding, Step, StepResult};

/// The number of examples of each kind that are kept.
const EXAMPLES: usize = 3;

/// The results of folding.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Refolded {
    pub(super) streams: u64,
    pub(super) events: u64,
    /// Streams of which both modules make the same.
    pub(super) equal: u64,
    pub(super) different: u64,
    /// Streams that the candidate cannot fold, and the active module can.
    pub(super) failed: u64,
    /// Streams that neither can fold.
    pub(super) failed_before: u64,
    /// Tells whether so many streams failed that the rest was not looked at.
    pub(super) is_cut_short: bool,
    /// The first streams, by id, that are folded differently.
    pub(super) differences: Vec<StateExample>,
    /// The first streams, by id, that the candidate cannot fold.
    pub(super) failures: Vec<FoldFailure>,
}

/// A stream of which two modules make two things.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StateExample {
    pub(super) id: String,
    pub(super) version: Version,
    pub(super) active: Json,
    pub(super) candidate: Json,
}

/// A stream that cannot be folded, and where that was seen.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FoldFailure {
    pub(super) id: String,
    /// The event that is to blame, and its version, if that is known.
    pub(super) event: Option<(Version, Event)>,
    pub(super) fault: Fault,
}

/// Keeps the first examples, by the id of their stream.
pub(super) fn first_by<T>(examples: &mut Vec<T>, id: impl Fn(&T) -> &String) {
    examples.sort_by(|one, other| id(one).cmp(id(other)));
    examples.truncate(EXAMPLES);
}

impl Refolded {
    /// Adds what another worker, or another round, has seen.
    pub(super) fn add(&mut self, other: Self) {
        self.streams += other.streams;
        self.events += other.events;
        self.equal += other.equal;
        self.different += other.different;
        self.failed += other.failed;
        self.failed_before += other.failed_before;
        self.is_cut_short |= other.is_cut_short;
        self.differences.extend(other.differences);
        first_by(&mut self.differences, |example| &example.id);
        self.failures.extend(other.failures);
        first_by(&mut self.failures, |failure| &failure.id);
    }

    /// Makes the result of the step for the report.
    pub(super) fn result(&self, has_active: bool, seconds: f64) -> StepResult {
        let mut findings = Vec::new();
        if self.failed > 0 {
            findings.push(self.failed_finding());
        }
        if self.failed_before > 0 {
            findings.push(Finding {
                blocks: false,
                ..finding(
                    "re-fold",
                    format!(
                        "{} cannot be folded by the candidate, nor by the active module.",
                        count_of(self.failed_before, "stream")
                    ),
                    json!({ "streams": self.failed_before }),
                )
            });
        }
        if self.different > 0 {
            findings.push(self.states_finding());
        }
        let folded = format!(
            "{} of {} folded in {}",
            count_of(self.events, "event"),
            count_of(self.streams, "stream"),
            in_seconds(seconds),
        );
        let summary = if has_active && self.streams > 0 {
            format!(
                "{folded}: {} equal · {} different · {} failed.",
                count(self.equal),
                count(self.different),
                count(self.failed + self.failed_before)
            )
        } else {
            format!("{folded}: {} failed.", count(self.failed))
        };
        StepResult {
            step: Step::Refold,
            summary,
            findings,
            facts: self.facts(seconds),
        }
    }

    fn facts(&self, seconds: f64) -> Value {
        let failures = self.failures.iter().map(FoldFailure::to_json);
        let differences = self.differences.iter().map(StateExample::to_json);
        json!({
            "streams": self.streams,
            "events": self.events,
            "equal": self.equal,
            "different": self.different,
            "failed": self.failed,
            "failed_before": self.failed_before,
            "cut_short": self.is_cut_short,
            "seconds": seconds,
            "examples": failures.chain(differences).collect::<Vec<_>>(),
        })
    }

    fn failed_finding(&self) -> Finding {
        let mut summary = format!("{} cannot be folded", count_of(self.failed, "stream"));
        if self.is_cut_short {
            summary.push_str(", and the rest was not looked at");
        }
        let mut details = json!({ "streams": self.failed });
        if let Some(first) = self.failures.first() {
            summary.push_str(&format!(". First: {}", first.in_words()));
            details["example"] = first.lines().into();
        } else {
            summary.push('.');
        }
        finding("re-fold", summary, details)
    }

    fn states_finding(&self) -> Finding {
        let mut summary = format!(
            "{} of {} {} another state",
            count(self.different),
            count_of(self.streams, "stream"),
            if self.different == 1 { "has" } else { "have" },
        );
        let mut details = json!({ "streams": self.different });
        if let Some(first) = self.differences.first() {
            summary.push_str(&format!(
                ". First: stream {} version {}.",
                first.id, first.version
            ));
            details["example"] = json!([
                format!("active    {}", excerpt(first.active.as_str())),
                format!("candidate {}", excerpt(first.candidate.as_str())),
            ]);
        }
        Finding {
            blocks: false,
            ..finding("states", summary, details)
        }
    }
}

fn finding(name: &str, summary: String, details: Value) -> Finding {
    Finding {
        name: name.to_owned(),
        step: Step::Refold,
        summary,
        details,
        blocks: true,
        accepted: false,
    }
}

impl StateExample {
    fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "version": self.version.get(),
            "active": excerpt_json(&self.active),
            "candidate": excerpt_json(&self.candidate),
        })
    }
}

impl FoldFailure {
    pub(super) fn new(id: &str, unfolded: FoldError) -> Self {
        let FoldError { event, fault } = unfolded;
        Self {
            id: id.to_owned(),
            event,
            fault,
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "version": self.event.as_ref().map(|(version, _)| version.get()),
            "event": self.event.as_ref().map(|(_, event)| event_json(event)),
            "fault": self.fault.to_string(),
        })
    }

    fn in_words(&self) -> String {
        let fault = match &self.fault {
            Fault::EvolveRefused { message, .. } => format!("the module refuses it: {message}"),
            fault => fault.to_string(),
        };
        match &self.event {
            Some((version, _)) => format!("stream {} version {version}, {fault}", self.id),
            None => format!("stream {}, {fault}", self.id),
        }
    }

    fn lines(&self) -> Vec<String> {
        let event = self.event.iter();
        event
            .map(|(_, event)| format!("event     {} {}", event.name, excerpt(event.data.as_str())))
            .collect()
    }
}
