//! Recorded decisions, and the same decisions made again.

use std::collections::BTreeMap;

use gavel_gate as gate;
use gavel_model::{self as model, CommandOutcome};
use gavel_sandbox::Decision;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Event, ProblemBody};

/// A decision with all its inputs, and the same decision made again by the very module that made
/// it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Why<'a> {
    /// The event in question; null if the request named a command.
    event: Option<Event<'a>>,
    /// The command as it is recorded; null for an event that was imported.
    command: Option<RecordedCommand<'a>>,
    /// All events that followed from the command.
    events: Vec<Event<'a>>,
    /// The state before the decision; null for an event that was imported, or if the state cannot
    /// be folded.
    #[schema(value_type = Option<serde_json::Value>)]
    state_before: Option<&'a RawValue>,
    /// The decision made again; null for an event that was imported, and where the ledger keeps
    /// keys only.
    again: Option<Again<'a>>,
    /// The output to stdout and stderr of the decision made again; null if there is none.
    output: Option<&'a str>,
    /// True if both decisions are the same, byte for byte; null if nothing was decided again.
    equal: Option<bool>,
    /// The differences between both decisions, a sentence each.
    differences: &'a [String],
}

/// A command as it is recorded, with all inputs of its decision.
#[derive(Debug, Serialize, ToSchema)]
struct RecordedCommand<'a> {
    /// The command's id.
    command_id: Uuid,
    /// The decider that rules the stream.
    decider: &'a str,
    /// The stream.
    id: &'a str,
    /// The name of the command, in the imperative.
    command: &'a str,
    /// The payload; null where the ledger keeps keys only.
    #[schema(value_type = serde_json::Value)]
    data: &'a RawValue,
    /// The part of the command that the ledger keeps: all, or all but the payload.
    ledger: LedgerMode,
    /// The sender's metadata that the decider saw.
    metadata: &'a BTreeMap<String, String>,
    /// The sender: the holder of the token; null when authentication was off.
    actor: Option<&'a str>,
    /// The time that the decider saw.
    #[serde(with = "time::serde::rfc3339")]
    now: OffsetDateTime,
    /// The random number that the decider saw: 64 bits, as decimal text.
    #[schema(pattern = "^[0-9]{1,20}$")]
    seed: String,
    /// The version of the stream before the decision.
    version: u64,
    /// The digest of the module that decided.
    module: String,
    /// The outcome of the decision.
    outcome: Outcome,
    /// The rejection; null if the decider accepted the command.
    rejection: Option<RecordedRejection<'a>>,
    /// The cost of deciding, in units of fuel.
    fuel: u64,
}

/// The part of a command that the ledger keeps.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = LedgerMode)]
enum LedgerMode {
    /// All inputs of the decision.
    Full,
    /// All but the payload, so that the command cannot be decided again.
    Keys,
}

/// The outcome of a decision.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CommandOutcome)]
enum Outcome {
    /// The command was accepted, with events or without.
    Accepted,
    /// The command was rejected.
    Rejected,
}

/// A rejection: the decider said no.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Rejection)]
struct RecordedRejection<'a> {
    /// The kind of rejection, for programs.
    code: &'a str,
    /// The reason for people, in one sentence.
    message: &'a str,
    /// Facts for programs.
    #[schema(value_type = Option<serde_json::Value>)]
    data: Option<&'a RawValue>,
}

/// A decision made again.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Again<'a> {
    /// The command is accepted, with these events.
    Events(Vec<DecidedEvent<'a>>),
    /// The decider says no.
    Rejected(RecordedRejection<'a>),
    /// The module fails, one sentence.
    Failed(String),
}

/// An event as a decider returns it: without position, time and ids.
#[derive(Debug, Serialize, ToSchema)]
struct DecidedEvent<'a> {
    /// The name of the event, in the past tense.
    event: &'a str,
    /// The version of the payload's schema; the first is 1.
    #[schema(minimum = 1)]
    schema_version: u32,
    /// The payload.
    #[schema(value_type = serde_json::Value)]
    data: &'a RawValue,
    /// True if the stream ends with this event.
    #[serde(rename = "final")]
    is_final: bool,
    /// The labels of the event.
    tags: &'a [String],
}

impl<'a> From<&'a gate::Why> for Why<'a> {
    fn from(why: &'a gate::Why) -> Self {
        let command = why.command.as_ref().map(RecordedCommand::from);
        Self {
            event: why.event.as_ref().map(Event::from),
            equal: why.again.is_some().then_some(why.differences.is_empty()),
            command,
            events: Event::all(&why.events),
            state_before: why.state_before.as_ref().map(|state| state.as_raw()),
            again: why.again.as_ref().map(Again::from),
            output: why.output.as_deref(),
            differences: &why.differences,
        }
    }
}

impl<'a> From<&'a model::CommandRecord> for RecordedCommand<'a> {
    fn from(record: &'a model::CommandRecord) -> Self {
        let (outcome, rejection) = match &record.outcome {
            CommandOutcome::Accepted { events: _ } => (Outcome::Accepted, None),
            CommandOutcome::Rejected(rejection) => (Outcome::Rejected, Some(rejection.into())),
        };
        Self {
            command_id: record.command_id,
            decider: record.stream.decider().as_str(),
            id: record.stream.id(),
            command: &record.command,
            data: record.data.as_raw(),
            ledger: match record.ledger {
                model::LedgerMode::Full => LedgerMode::Full,
                model::LedgerMode::Keys => LedgerMode::Keys,
            },
            metadata: record.metadata.entries(),
            actor: record.actor.as_deref(),
            now: record.now,
            seed: record.seed.to_string(),
            version: record.version.get(),
            module: record.module.to_string(),
            outcome,
            rejection,
            fuel: record.fuel,
        }
    }
}

impl<'a> From<&'a model::Rejection> for RecordedRejection<'a> {
    fn from(rejection: &'a model::Rejection) -> Self {
        Self {
            code: &rejection.code,
            message: &rejection.message,
            data: rejection.data.as_ref().map(|data| data.as_raw()),
        }
    }
}

impl<'a> From<&'a gate::Again> for Again<'a> {
    fn from(again: &'a gate::Again) -> Self {
        match again {
            Ok(Decision::Accepted(events)) => Self::Events(events.iter().map(Into::into).collect()),
            Ok(Decision::Rejected(rejection)) => Self::Rejected(rejection.into()),
            Err(fault) => Self::Failed(fault.to_string()),
        }
    }
}

impl<'a> From<&'a model::Event> for DecidedEvent<'a> {
    fn from(event: &'a model::Event) -> Self {
        Self {
            event: &event.name,
            schema_version: event.schema_version,
            data: event.data.as_raw(),
            is_final: event.is_final,
            tags: &event.tags,
        }
    }
}

/// A selection of streams to verify. Default: all of the namespace.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct VerifyQuery {
    /// Only the streams of this decider.
    #[param(nullable = false)]
    pub decider: Option<String>,
    /// Only this stream of the decider.
    #[param(nullable = false)]
    pub id: Option<String>,
}

/// A line of a verification.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VerificationLine<'a> {
    /// The progress so far.
    Progress(Verified),
    /// A difference from the recorded decision or state.
    Difference(Difference<'a>),
    /// The totals at the end.
    Done(Verified),
    /// The reason why the verification was interrupted.
    Failed(ProblemBody),
}

/// The totals of a verification so far.
#[derive(Debug, Serialize)]
pub struct Verified {
    streams: u64,
    events: u64,
    commands: u64,
    keys_only: u64,
    outdated: u64,
    differences: u64,
}

/// A difference from what was recorded.
#[derive(Debug, Serialize)]
pub struct Difference<'a> {
    decider: &'a str,
    id: &'a str,
    version: u64,
    command_id: Option<Uuid>,
    reason: &'a str,
    recorded: &'a RawValue,
    again: &'a RawValue,
}

impl From<gate::Verified> for Verified {
    fn from(verified: gate::Verified) -> Self {
        let gate::Verified {
            streams,
            events,
            commands,
            keys_only,
            outdated,
            differences,
        } = verified;
        Self {
            streams,
            events,
            commands,
            keys_only,
            outdated,
            differences,
        }
    }
}

impl<'a> From<&'a gate::Difference> for Difference<'a> {
    fn from(difference: &'a gate::Difference) -> Self {
        Self {
            decider: difference.stream.decider().as_str(),
            id: difference.stream.id(),
            version: difference.version.get(),
            command_id: difference.command_id,
            reason: &difference.reason,
            recorded: difference.recorded.as_raw(),
            again: difference.again.as_raw(),
        }
    }
}

#[cfg(test)]
mod tests {
    use gavel_model::{
        CommandRecord, DeciderName, Fingerprint, Json, Metadata, ModuleDigest, Namespace,
        Rejection, StreamId, Version,
    };
    use gavel_sandbox::Fault;
    use serde_json::{Value, json};
    use time::macros::datetime;

    use super::*;

    fn record(outcome: CommandOutcome) -> CommandRecord {
        let decider = DeciderName::new("counter").unwrap();
        CommandRecord {
            command_id: Uuid::from_u128(7),
            stream: StreamId::new(Namespace::default(), decider, "c-1").unwrap(),
            command: "Decrement".to_owned(),
            data: Json::parse(r#"{"by":1}"#).unwrap(),
            ledger: model::LedgerMode::Full,
            fingerprint: Fingerprint::of([]),
            now: datetime!(2026-02-03 04:05:06.789 UTC),
            seed: u64::MAX,
            actor: Some("ann".to_owned()),
            metadata: Metadata::from_sender([("a".to_owned(), "b".to_owned())].into()).unwrap(),
            version: Version::new(3).unwrap(),
            module: ModuleDigest::of(b"module"),
            outcome,
            fuel: 1_234,
        }
    }

    fn why(outcome: CommandOutcome, again: gate::Again) -> gate::Why {
        gate::Why {
            event: None,
            command: Some(record(outcome)),
            events: Vec::new(),
            state_before: Some(Json::parse("7").unwrap()),
            again: Some(again),
            output: Some("checking\n".to_owned()),
            differences: Vec::new(),
        }
    }

    fn shown(why: &gate::Why) -> Value {
        serde_json::to_value(Why::from(why)).unwrap()
    }

    #[test]
    fn a_decision_is_shown_with_all_it_was_decided_on() {
        let rejection = Rejection {
            code: "at-zero".to_owned(),
            message: "It is 0.".to_owned(),
            data: None,
        };
        let why = why(
            CommandOutcome::Rejected(rejection.clone()),
            Ok(Decision::Rejected(rejection)),
        );
        let rejection = json!({ "code": "at-zero", "message": "It is 0.", "data": null });
        assert_eq!(
            shown(&why),
            json!({
                "event": null,
                "command": {
                    "command_id": "00000000-0000-0000-0000-000000000007", "decider": "counter", "id": "c-1",
                    "command": "Decrement", "data": { "by": 1 }, "ledger": "full", "metadata": { "a": "b" }, "actor": "ann",
                    "now": "2026-02-03T04:05:06.789Z", "seed": "18446744073709551615", "version": 3,
                    "module": ModuleDigest::of(b"module").to_string(), "outcome": "rejected", "rejection": rejection, "fuel": 1234,
                },
                "events": [], "state_before": 7, "again": { "rejected": rejection }, "output": "checking\n", "equal": true, "differences": [],
            })
        );
    }

    #[test]
    fn what_is_decided_otherwise_now_is_not_equal() {
        let event = model::Event {
            name: "Decremented".to_owned(),
            schema_version: 2,
            data: Json::empty_object(),
            is_final: true,
            tags: vec!["x".to_owned()],
        };
        let mut why = why(
            CommandOutcome::Accepted { events: 0 },
            Ok(Decision::Accepted(vec![event])),
        );
        why.differences.push("One event more.".to_owned());
        let shown = shown(&why);
        assert_eq!(shown["command"]["outcome"], "accepted");
        assert_eq!(
            shown["again"],
            json!({ "events": [{ "event": "Decremented", "schema_version": 2, "data": {}, "final": true, "tags": ["x"] }] })
        );
        assert_eq!(shown["equal"], false);
        assert_eq!(shown["differences"], json!(["One event more."]));
    }

    #[test]
    fn without_a_command_nothing_is_equal_or_not() {
        let imported = gate::Why {
            event: None,
            command: None,
            events: Vec::new(),
            state_before: None,
            again: None,
            output: None,
            differences: Vec::new(),
        };
        assert_eq!(shown(&imported)["equal"], Value::Null);
        let failed = Err(Fault::Spent);
        let again = serde_json::to_value(Again::from(&failed)).unwrap();
        assert_eq!(again, json!({ "failed": Fault::Spent.to_string() }));
    }
}
