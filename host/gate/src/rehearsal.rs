//! A rehearsal as people see it: the gate without the activation.

use gavel_model::{ActivationKey, ActivationNumber, Json, ModuleDigest, RehearsalId};
use gavel_store::RehearsalRecord;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::Step;

/// The commands on which a candidate is rehearsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rehearsed {
    /// The stored history.
    #[default]
    History,
    /// The commands that are decided from now on, until the rehearsal is cancelled.
    Shadow,
}

impl Rehearsed {
    /// Gives the name in metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::History => "history",
            Self::Shadow => "shadow",
        }
    }
}

/// A request for a rehearsal, and its author.
#[derive(Debug, Clone, PartialEq)]
pub struct RehearsalRequest {
    /// The pointer that the candidate may be given.
    pub key: ActivationKey,
    /// The candidate.
    pub digest: ModuleDigest,
    /// The commands on which the candidate is rehearsed.
    pub mode: Rehearsed,
    /// The findings to accept, by name.
    pub accept: Vec<String>,
    /// The authenticated sender; none when authentication is off.
    pub requested_by: Option<String>,
    /// The activation that is to follow when no finding blocks the candidate; none where it is only
    /// looked at.
    pub then: Option<ThenActivate>,
}

/// An activation that follows a rehearsal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThenActivate {
    /// The reason for the activation.
    pub message: Option<String>,
}

/// The status of a rehearsal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The rehearsal is under way.
    Running,
    /// No finding blocks the candidate.
    Passed,
    /// A finding blocks the candidate.
    Refused,
    /// A person has ended it. Of a shadow this is the usual end.
    Cancelled,
    /// The rehearsal could not be completed.
    Failed,
}

impl Status {
    /// Gives the name in metrics.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Passed => "passed",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

/// The progress of a rehearsal.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// The step that is under way, or was when it ended.
    pub step: Option<Step>,
    /// Streams that this step is done with.
    pub streams: u64,
    /// Events that this step has folded.
    pub events: u64,
    /// Events that it has to fold, as they were counted when it began.
    pub events_total: u64,
    /// Commands that have been decided again.
    pub commands: u64,
    /// Events per second in this step.
    pub events_per_second: f64,
    /// Seconds until this step ends, at the present rate; none when that cannot be estimated.
    pub seconds_left: Option<f64>,
}

/// A rehearsal.
#[derive(Debug, Clone, PartialEq)]
pub struct Rehearsal {
    /// The rehearsal's id.
    pub id: RehearsalId,
    /// The request for the rehearsal.
    pub request: RehearsalRequest,
    /// The status of the rehearsal.
    pub status: Status,
    /// The progress of the rehearsal.
    pub progress: Progress,
    /// The time of the request.
    pub started_at: OffsetDateTime,
    /// The time at which the rehearsal ended; none while it runs.
    pub ended_at: Option<OffsetDateTime>,
    /// The report of the gate; of a shadow, so far.
    pub report: Option<Json>,
    /// The reason for which the rehearsal failed, one sentence.
    pub error: Option<String>,
    /// The number of times that a host began the rehearsal, and did not give it back when that host
    /// was stopped.
    pub begun: u32,
    /// The activation that it has led to.
    pub activation: Option<ActivationNumber>,
}

/// A rehearsal as it is stored, apart from the columns that the store needs.
#[derive(Serialize, Deserialize)]
struct Document {
    mode: Rehearsed,
    accept: Vec<String>,
    requested_by: Option<String>,
    status: Status,
    progress: Progress,
    #[serde(with = "time::serde::rfc3339")]
    started_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    ended_at: Option<OffsetDateTime>,
    report: Option<serde_json::Value>,
    error: Option<String>,
    /// The number of times that a host began the rehearsal. Absent from records that are older than
    /// the count.
    #[serde(default)]
    begun: u32,
    /// Absent from records that are older than activations which follow.
    #[serde(default)]
    then: Option<ThenActivate>,
    #[serde(default)]
    activation: Option<i64>,
}

impl Rehearsal {
    /// Makes a rehearsal that begins now.
    pub(super) fn new(id: RehearsalId, request: RehearsalRequest, now: OffsetDateTime) -> Self {
        Self {
            id,
            request,
            status: Status::Running,
            progress: Progress::default(),
            started_at: now,
            ended_at: None,
            report: None,
            error: None,
            begun: 1,
            activation: None,
        }
    }

    /// Ends the rehearsal with `status`, at `now`.
    pub(super) fn ended(self, status: Status, now: OffsetDateTime) -> Self {
        Self {
            status,
            ended_at: Some(now),
            ..self
        }
    }

    /// Makes the record to store; `now` is when the rehearsal's host was last seen.
    pub(super) fn to_record(&self, now: OffsetDateTime) -> RehearsalRecord {
        let document = Document {
            mode: self.request.mode,
            accept: self.request.accept.clone(),
            requested_by: self.request.requested_by.clone(),
            status: self.status,
            progress: self.progress,
            started_at: self.started_at,
            ended_at: self.ended_at,
            report: self.report.as_ref().map(Json::to_value),
            error: self.error.clone(),
            begun: self.begun,
            then: self.request.then.clone(),
            activation: self.activation.map(ActivationNumber::get),
        };
        let value = serde_json::to_value(document).expect("a document has only text keys");
        RehearsalRecord {
            id: self.id,
            key: self.request.key.clone(),
            digest: self.request.digest,
            is_over: self.status != Status::Running,
            seen_at: now,
            // A sender's text may hold what no store takes; without it the rehearsal is as good.
            document: Json::from_value(&value).unwrap_or_else(|_| Json::empty_object()),
        }
    }

    /// Reads a stored record; none when another version of Gavel has written it.
    pub(super) fn from_record(record: &RehearsalRecord) -> Option<Self> {
        let document: Document = serde_json::from_str(record.document.as_str()).ok()?;
        Some(Self {
            id: record.id,
            request: RehearsalRequest {
                key: record.key.clone(),
                digest: record.digest,
                mode: document.mode,
                accept: document.accept,
                requested_by: document.requested_by,
                then: document.then,
            },
            status: document.status,
            progress: document.progress,
            started_at: document.started_at,
            ended_at: document.ended_at,
            report: document
                .report
                .and_then(|report| Json::from_value(&report).ok()),
            error: document.error,
            begun: document.begun,
            activation: document.activation.map(ActivationNumber::new),
        })
    }
}
