//! The results of folding, for the report.

use gavel_model::{Event, Json, Version};
use gavel_sandbox::Fault;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::Finding;
use super::finding::{FindingDetails, StreamsFinding};
use super::folder::FoldError;
use super::shown::ShownEvent;
use super::words::{count, count_of, excerpt, excerpt_json, seconds as in_seconds};

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

/// The results of folding, as reports hold them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RefoldFacts {
    /// Streams that were folded.
    pub(super) streams: u64,
    /// Events that were folded.
    pub(super) events: u64,
    /// Streams of which both modules make the same.
    pub(super) equal: u64,
    /// Streams of which the modules make two things.
    pub(super) different: u64,
    /// Streams that the candidate cannot fold, and the active module can.
    pub(super) failed: u64,
    /// Streams that neither can fold.
    pub(super) failed_before: u64,
    /// Tells whether so many streams failed that the rest was not looked at.
    pub(super) cut_short: bool,
    /// The seconds that it took.
    pub(super) seconds: f64,
    /// The first streams that cannot be folded, and the first that are folded differently.
    pub(super) examples: Vec<RefoldExample>,
}

/// A stream that the candidate does not fold as the active module does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub(super) enum RefoldExample {
    /// The candidate cannot fold the stream.
    Failed {
        /// The stream's id.
        id: String,
        /// The version of the event that cannot be folded; null if it is not known which.
        version: Option<u64>,
        /// The event that cannot be folded; null if it is not known which.
        event: Option<ShownEvent>,
        /// The reason.
        fault: String,
    },
    /// The modules come to two states.
    Different {
        /// The stream's id.
        id: String,
        /// The stream's version.
        version: u64,
        /// The state with the active module, or the beginning of its text.
        active: Value,
        /// The state with the candidate, or the beginning of its text.
        candidate: Value,
    },
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

    /// Lists the findings.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.failed > 0 {
            findings.push(self.failed_finding());
        }
        if self.failed_before > 0 {
            let summary = format!(
                "{} cannot be folded by the candidate, nor by the active module.",
                count_of(self.failed_before, "stream")
            );
            let details = FindingDetails::Refold(StreamsFinding {
                streams: self.failed_before,
                example: Vec::new(),
            });
            findings.push(Finding::new(details, summary, false));
        }
        if self.different > 0 {
            findings.push(self.states_finding());
        }
        findings
    }

    /// Says in one sentence what was folded.
    pub(super) fn summary(&self, has_active: bool, seconds: f64) -> String {
        let folded = format!(
            "{} of {} folded in {}",
            count_of(self.events, "event"),
            count_of(self.streams, "stream"),
            in_seconds(seconds),
        );
        if has_active && self.streams > 0 {
            format!(
                "{folded}: {} equal · {} different · {} failed.",
                count(self.equal),
                count(self.different),
                count(self.failed + self.failed_before)
            )
        } else {
            format!("{folded}: {} failed.", count(self.failed))
        }
    }

    /// Gives the numbers and the first examples.
    pub(super) fn facts(&self, seconds: f64) -> RefoldFacts {
        let failures = self.failures.iter().map(FoldFailure::shown);
        let differences = self.differences.iter().map(StateExample::shown);
        RefoldFacts {
            streams: self.streams,
            events: self.events,
            equal: self.equal,
            different: self.different,
            failed: self.failed,
            failed_before: self.failed_before,
            cut_short: self.is_cut_short,
            seconds,
            examples: failures.chain(differences).collect(),
        }
    }

    fn failed_finding(&self) -> Finding {
        let mut summary = format!("{} cannot be folded", count_of(self.failed, "stream"));
        if self.is_cut_short {
            summary.push_str(", and the rest was not looked at");
        }
        let first = self.failures.first();
        if let Some(first) = first {
            summary.push_str(&format!(". First: {}", first.in_words()));
        } else {
            summary.push('.');
        }
        let details = FindingDetails::Refold(StreamsFinding {
            streams: self.failed,
            example: first.map(FoldFailure::lines).unwrap_or_default(),
        });
        Finding::new(details, summary, true)
    }

    fn states_finding(&self) -> Finding {
        let mut summary = format!(
            "{} of {} {} another state",
            count(self.different),
            count_of(self.streams, "stream"),
            if self.different == 1 { "has" } else { "have" },
        );
        let mut example = Vec::new();
        if let Some(first) = self.differences.first() {
            summary.push_str(&format!(
                ". First: stream {} version {}.",
                first.id, first.version
            ));
            example = vec![
                format!("active    {}", excerpt(first.active.as_str())),
                format!("candidate {}", excerpt(first.candidate.as_str())),
            ];
        }
        let details = FindingDetails::States(StreamsFinding {
            streams: self.different,
            example,
        });
        Finding::new(details, summary, false)
    }
}

impl StateExample {
    fn shown(&self) -> RefoldExample {
        RefoldExample::Different {
            id: self.id.clone(),
            version: self.version.get(),
            active: excerpt_json(&self.active),
            candidate: excerpt_json(&self.candidate),
        }
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

    fn shown(&self) -> RefoldExample {
        let event = self.event.as_ref();
        RefoldExample::Failed {
            id: self.id.clone(),
            version: event.map(|(version, _)| version.get()),
            event: event.map(|(_, event)| event.into()),
            fault: self.fault.to_string(),
        }
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
