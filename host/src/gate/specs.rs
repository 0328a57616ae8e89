//! Step 3: given/when/then, run in the production sandbox.

use serde_json::{Value, json};

use super::words::{count_of, excerpt};
use super::{Finding, Step, StepResult};
use crate::core::{Event, Json, Rejection};
use crate::modules::{Decider, ExpectedRejection, Manifest, Spec, SpecEvent, SpecOutcome};
use crate::runtime::{Decision, Fault, GuestCommand, GuestContext};

/// A specification that does not hold.
#[derive(Debug, Clone, PartialEq)]
pub struct SpecFailure {
    /// Its title.
    pub title: String,
    /// One sentence for people.
    pub reason: String,
    /// What was expected.
    pub expected: Value,
    /// What was seen instead.
    pub actual: Value,
    /// Whether the module failed, rather than answering something else.
    pub faulted: bool,
}

/// A specification that was run.
#[derive(Debug, Clone, PartialEq)]
pub struct SpecRun {
    /// Why it does not hold, or that the module failed on the way; none when it holds.
    pub failure: Option<SpecFailure>,
    /// What the module wrote to stdout and stderr; none if that is nothing.
    pub output: Option<String>,
}

/// Runs specifications against `decider`, which need not be the module that brought them. Gives those that do not hold.
///
/// A specification in which the module fails (traps, loops …) is the last one that is run, so that a hostile module with many
/// of them holds a guest thread for one deadline only. Calls the guest: run it on a guest thread.
#[must_use]
pub fn run_specs<'a>(
    decider: &Decider,
    specs: impl IntoIterator<Item = &'a Spec>,
) -> Vec<SpecFailure> {
    let mut failures = Vec::new();
    for spec in specs {
        if let Some(failure) = run_spec(decider, spec).failure {
            let faulted = failure.faulted;
            failures.push(failure);
            if faulted {
                break;
            }
        }
    }
    failures
}

/// Runs one specification.
#[must_use]
pub fn run_spec(decider: &Decider, spec: &Spec) -> SpecRun {
    let mut output = None;
    let failure = hold(decider, spec, &mut output).err();
    SpecRun { failure, output }
}

fn hold(decider: &Decider, spec: &Spec, output: &mut Option<String>) -> Result<(), SpecFailure> {
    let expected = serde_json::to_value(&spec.then).unwrap_or_default();
    let failed = |reason: String, actual: Value| SpecFailure {
        title: spec.title.clone(),
        reason,
        expected: expected.clone(),
        actual,
        faulted: false,
    };
    if decider
        .check_command(&spec.when.command, &spec.when.data)
        .is_err()
    {
        let reason = format!(
            "the data of {} breaks its schema, or there is no such command",
            spec.when.command
        );
        return Err(failed(reason, Value::Null));
    }
    let (decision, state) = play(decider, spec, output).map_err(|fault| {
        let actual = json!({ "fault": fault.to_string() });
        SpecFailure {
            faulted: true,
            ..failed(fault.to_string(), actual)
        }
    })?;
    let actual = match &decision {
        Decision::Rejected(rejection) => json!({ "rejected": rejection_json(rejection) }),
        Decision::Accepted(_) if matches!(spec.then, SpecOutcome::State(_)) => {
            json!({ "state": state.to_value() })
        }
        Decision::Accepted(events) => {
            json!({ "events": events.iter().map(event_json).collect::<Vec<_>>() })
        }
    };
    let verdict = match (&spec.then, &decision) {
        (SpecOutcome::Events(wanted), Decision::Accepted(events)) => {
            compare_events(decider, wanted, events)
        }
        (SpecOutcome::State(wanted), Decision::Accepted(_)) => {
            if state.to_value() == *wanted {
                Ok(())
            } else {
                Err("the state is another one".to_owned())
            }
        }
        (SpecOutcome::Rejected(wanted), Decision::Rejected(rejection)) => {
            compare_rejection(wanted, rejection)
        }
        (SpecOutcome::Rejected(_), Decision::Accepted(_)) => {
            Err("the command was accepted instead of rejected".to_owned())
        }
        (SpecOutcome::Events(_) | SpecOutcome::State(_), Decision::Rejected(rejection)) => {
            Err(format!("the command was rejected with {}", rejection.code))
        }
    };
    verdict.map_err(|reason| failed(reason, actual))
}

/// Runs the candidate's own specifications, and those of the active module that it does not bring along unchanged. Calls the guest.
pub(super) fn own_specs(
    candidate: &Decider,
    active: Option<&Decider>,
    is_binding: bool,
) -> StepResult {
    let own = &candidate.manifest().specs;
    let theirs = active.iter().flat_map(|active| &active.manifest().specs);
    let theirs: Vec<&Spec> = theirs.filter(|spec| !own.contains(spec)).collect();
    let count = own.len() + theirs.len();
    let own = run_specs(candidate, own);
    let own = own
        .into_iter()
        .map(|failure| finding("the module", failure, true));
    let theirs = run_specs(candidate, theirs);
    let theirs = theirs.into_iter();
    let theirs = theirs.map(|failure| finding("the active module", failure, is_binding));
    let findings: Vec<Finding> = own.chain(theirs).collect();
    StepResult {
        step: Step::Specs,
        summary: format!(
            "{} run: {} failed.",
            count_of(count as u64, "spec"),
            findings.len()
        ),
        facts: json!({ "specs": count, "failed": findings.len() }),
        findings,
    }
}

fn finding(whose: &str, failure: SpecFailure, blocks: bool) -> Finding {
    let SpecFailure {
        title,
        reason,
        expected,
        actual,
        faulted: _,
    } = failure;
    Finding {
        name: format!("specs:{title}"),
        step: Step::Specs,
        summary: format!("Spec \"{title}\" of {whose} does not hold: {reason}."),
        details: json!({
            "title": title,
            "expected": expected,
            "actual": actual,
            "example": [
                format!("expected  {}", excerpt(&expected.to_string())),
                format!("actual    {}", excerpt(&actual.to_string())),
            ],
        }),
        blocks,
        accepted: false,
    }
}

fn play(
    decider: &Decider,
    spec: &Spec,
    output: &mut Option<String>,
) -> Result<(Decision, Json), Fault> {
    let given = spec
        .given
        .iter()
        .map(|event| given_event(decider.manifest(), event))
        .collect::<Result<Vec<_>, _>>()?;
    let set = spec.when.context.clone().unwrap_or_default();
    let context = GuestContext {
        command_id: uuid::Uuid::nil().to_string(),
        namespace: "default".to_owned(),
        stream_id: set.stream_id.unwrap_or_else(|| "spec".to_owned()),
        version: given.len() as u64,
        now_ms: set.now_ms,
        seed: set.seed,
        actor: set.actor,
        metadata: set.metadata.into_iter().collect(),
    };
    let command = GuestCommand {
        name: spec.when.command.clone(),
        data: json_of(&spec.when.data)?,
    };

    let mut instance = decider.module().instantiate()?;
    let played = (|| {
        let state = instance.initial()?;
        instance.evolve(&state, &given)?;
        let decision = instance.decide(&state, &command, &context)?;
        if let Decision::Accepted(events) = &decision {
            instance.evolve(&state, events)?;
        }
        let snapshot = instance.snapshot(&state)?;
        Ok((decision, snapshot))
    })();
    *output = instance.take_output();
    played
}

fn given_event(manifest: &Manifest, event: &SpecEvent) -> Result<Event, Fault> {
    let newest = manifest.newest_schema_version(&event.event);
    Ok(Event {
        name: event.event.clone(),
        schema_version: event.schema_version.or(newest).unwrap_or(1),
        data: json_of(&event.data)?,
        is_final: false,
        tags: Vec::new(),
    })
}

fn json_of(value: &Value) -> Result<Json, Fault> {
    Json::from_value(value).map_err(|error| Fault::BrokeContract {
        reason: error.to_string(),
    })
}

fn compare_events(decider: &Decider, wanted: &[SpecEvent], events: &[Event]) -> Result<(), String> {
    decider.check_events(events)?;
    let equal = |(wanted, event): (&SpecEvent, &Event)| {
        wanted.event == event.name
            && wanted
                .schema_version
                .is_none_or(|version| version == event.schema_version)
            && wanted.data == event.data.to_value()
    };
    if wanted.len() == events.len() && wanted.iter().zip(events).all(equal) {
        Ok(())
    } else {
        Err("the events are others".to_owned())
    }
}

fn compare_rejection(wanted: &ExpectedRejection, rejection: &Rejection) -> Result<(), String> {
    let holds = match wanted {
        ExpectedRejection::Code(code) => *code == rejection.code,
        ExpectedRejection::Details {
            code,
            message,
            data,
        } => {
            *code == rejection.code
                && message
                    .as_ref()
                    .is_none_or(|message| *message == rejection.message)
                && data.as_ref().is_none_or(|data| {
                    Some(data) == rejection.data.as_ref().map(Json::to_value).as_ref()
                })
        }
    };
    if holds {
        Ok(())
    } else {
        Err("the rejection is another one".to_owned())
    }
}

fn rejection_json(rejection: &Rejection) -> Value {
    let data = rejection.data.as_ref().map(Json::to_value);
    json!({ "code": rejection.code, "message": rejection.message, "data": data })
}

fn event_json(event: &Event) -> Value {
    json!({ "event": event.name, "schema_version": event.schema_version, "data": event.data.to_value() })
}
