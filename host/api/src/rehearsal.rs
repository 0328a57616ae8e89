//! Rehearsals and their progress.

use gavel_gate as gate;
use gavel_model::{ActivationNumber, ModuleKind};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

use super::AcceptedName;
use super::decider::name_of;

/// A request to rehearse a module.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RehearsalRequest)]
pub struct RehearsalBody {
    /// The candidate.
    #[schema(pattern = "^sha256:[0-9a-f]{64}$")]
    pub digest: String,
    /// The commands and events to rehearse on. Default: `history`.
    #[serde(default)]
    pub mode: RehearsalMode,
    /// The findings to accept, by name. `rows:412` accepts up to 412 rows of a view that are
    /// others.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub accept: Vec<AcceptedName>,
}

/// The commands and events that a candidate is rehearsed on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RehearsalMode {
    /// The recorded commands and events.
    #[default]
    History,
    /// The commands that are decided from now on, until the rehearsal is cancelled.
    Shadow,
}

impl From<RehearsalMode> for gate::Rehearsed {
    fn from(mode: RehearsalMode) -> Self {
        match mode {
            RehearsalMode::History => Self::History,
            RehearsalMode::Shadow => Self::Shadow,
        }
    }
}

impl From<gate::Rehearsed> for RehearsalMode {
    fn from(rehearsed: gate::Rehearsed) -> Self {
        match rehearsed {
            gate::Rehearsed::History => Self::History,
            gate::Rehearsed::Shadow => Self::Shadow,
        }
    }
}

/// The status of a rehearsal.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RehearsalStatus {
    /// The rehearsal is running.
    Running,
    /// The gate would activate the candidate.
    Passed,
    /// The gate would refuse the candidate.
    Refused,
    /// A person ended the rehearsal. For a shadow, this is the usual end.
    Cancelled,
    /// The rehearsal was interrupted by an error.
    Failed,
}

impl From<gate::Status> for RehearsalStatus {
    fn from(status: gate::Status) -> Self {
        match status {
            gate::Status::Running => Self::Running,
            gate::Status::Passed => Self::Passed,
            gate::Status::Refused => Self::Refused,
            gate::Status::Cancelled => Self::Cancelled,
            gate::Status::Failed => Self::Failed,
        }
    }
}

/// A run of the gate without an activation.
#[derive(Debug, Serialize, ToSchema)]
pub struct Rehearsal<'a> {
    /// The id of the rehearsal.
    rehearsal: Uuid,
    /// `decider` or `view`.
    kind: &'static str,
    /// The decider; absent of another kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    decider: Option<&'a str>,
    /// The view; absent of another kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    view: Option<&'a str>,
    /// The candidate.
    digest: String,
    /// The commands and events that it is rehearsed on.
    mode: RehearsalMode,
    /// The status of the rehearsal.
    status: RehearsalStatus,
    /// The holder of the token that requested the rehearsal; null when authentication is off.
    requested_by: Option<&'a str>,
    /// The time of the request.
    #[serde(with = "time::serde::rfc3339")]
    started_at: OffsetDateTime,
    /// The time at which the rehearsal ended; null while it runs.
    #[serde(with = "time::serde::rfc3339::option")]
    ended_at: Option<OffsetDateTime>,
    /// The progress of the rehearsal.
    progress: RehearsalProgress,
    /// The report of the gate, as for an activation; for a shadow, the report so far.
    #[schema(value_type = Option<gate::Report>)]
    report: Option<&'a RawValue>,
    /// The reason why the rehearsal failed, in one sentence.
    error: Option<&'a str>,
    /// The number of the activation that the rehearsal has led to; null if it has led to none.
    #[schema(minimum = 1)]
    activation: Option<i64>,
}

/// The progress of a rehearsal.
#[derive(Debug, Serialize, ToSchema)]
struct RehearsalProgress {
    /// The step of the gate that is running, or that was running at the end.
    step: Option<gate::Step>,
    /// Streams that this step has finished.
    streams: u64,
    /// Events that this step has folded.
    events: u64,
    /// Events that this step has to fold, as counted when it began.
    events_total: u64,
    /// Commands that have been decided again.
    commands: u64,
    /// Events per second in this step.
    events_per_second: f64,
    /// Seconds until this step ends, at the present rate; null if there is no estimate.
    seconds_left: Option<f64>,
}

impl From<gate::Progress> for RehearsalProgress {
    fn from(progress: gate::Progress) -> Self {
        let gate::Progress {
            step,
            streams,
            events,
            events_total,
            commands,
            events_per_second,
            seconds_left,
        } = progress;
        Self {
            step,
            streams,
            events,
            events_total,
            commands,
            events_per_second,
            seconds_left,
        }
    }
}

impl<'a> From<&'a gate::Rehearsal> for Rehearsal<'a> {
    fn from(rehearsal: &'a gate::Rehearsal) -> Self {
        let request = &rehearsal.request;
        Self {
            rehearsal: rehearsal.id,
            kind: request.key.kind().as_str(),
            decider: name_of(&request.key, ModuleKind::Decider),
            view: name_of(&request.key, ModuleKind::View),
            digest: request.digest.to_string(),
            mode: request.mode.into(),
            status: rehearsal.status.into(),
            requested_by: request.requested_by.as_deref(),
            started_at: rehearsal.started_at,
            ended_at: rehearsal.ended_at,
            progress: rehearsal.progress.into(),
            report: rehearsal.report.as_ref().map(|report| report.as_raw()),
            error: rehearsal.error.as_deref(),
            activation: rehearsal.activation.map(ActivationNumber::get),
        }
    }
}

/// Rehearsals, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct RehearsalList<'a> {
    /// The rehearsals.
    pub rehearsals: Vec<Rehearsal<'a>>,
}

#[cfg(test)]
mod tests {
    use gavel_model::{ActivationKey, Json, ModuleDigest, ModuleKind, Namespace};
    use serde_json::json;
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_rehearsal_says_what_it_is_about_how_far_it_is_and_what_was_found() {
        let mut rehearsal = gate::Rehearsal {
            id: Uuid::from_u128(7),
            request: gate::RehearsalRequest {
                key: ActivationKey::new(Namespace::default(), ModuleKind::Decider, "counter")
                    .unwrap(),
                digest: ModuleDigest::of(b"module"),
                mode: gate::Rehearsed::Shadow,
                accept: vec!["cost".to_owned()],
                requested_by: Some("ann".to_owned()),
                then: None,
            },
            status: gate::Status::Running,
            progress: gate::Progress {
                step: Some(gate::Step::Redecide),
                streams: 1,
                events: 2,
                events_total: 4,
                commands: 3,
                events_per_second: 0.5,
                seconds_left: Some(4.0),
            },
            started_at: datetime!(2026-02-03 04:05:06 UTC),
            ended_at: None,
            report: None,
            error: None,
            begun: 1,
            activation: None,
        };
        let mut expected = json!({
            "rehearsal": "00000000-0000-0000-0000-000000000007", "kind": "decider", "decider": "counter",
            "digest": ModuleDigest::of(b"module").to_string(), "mode": "shadow", "status": "running", "requested_by": "ann",
            "started_at": "2026-02-03T04:05:06Z", "ended_at": null,
            "progress": {
                "step": "re-decide", "streams": 1, "events": 2, "events_total": 4, "commands": 3, "events_per_second": 0.5,
                "seconds_left": 4.0,
            },
            "report": null, "error": null, "activation": null,
        });
        let shown =
            |rehearsal: &gate::Rehearsal| serde_json::to_value(Rehearsal::from(rehearsal)).unwrap();
        assert_eq!(shown(&rehearsal), expected);

        rehearsal.status = gate::Status::Cancelled;
        rehearsal.ended_at = Some(datetime!(2026-02-03 04:05:07 UTC));
        rehearsal.report = Some(Json::parse(r#"{"passed":true}"#).unwrap());
        expected["status"] = json!("cancelled");
        expected["ended_at"] = json!("2026-02-03T04:05:07Z");
        expected["report"] = json!({ "passed": true });
        assert_eq!(shown(&rehearsal), expected);
    }
}
