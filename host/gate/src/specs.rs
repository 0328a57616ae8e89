//! Step 3: given/when/then, run in the production sandbox. `wit/specs.md` says what specifications
//! mean.

use std::sync::Arc;
use std::time::Instant;

use gavel_engine::catalog::{
    Decider, ExpectedRejection, Manifest, RejectionDetails, Spec, SpecEvent, SpecOutcome, Unfit,
};
use gavel_model::{Event, Json, Rejection};
use gavel_sandbox::{Decision, Fault, GuestCommand, GuestContext, Instance, Restored, State};
use serde_json::{Value, json};

use super::promised::{Promised, SpecFailure};
use super::subject::{Subject, Swap};
use super::{Error, Gate, StepResult, Watch};

/// A specification that was run.
#[derive(Debug, Clone, PartialEq)]
pub struct SpecRun {
    /// The specification's title.
    pub title: String,
    /// The reason for which the specification does not hold, or that the module failed on the way;
    /// none when it holds.
    pub failure: Option<SpecFailure>,
    /// The text that the module wrote to stdout and stderr; none if it wrote nothing.
    pub output: Option<String>,
}

/// Runs the specifications of a decider itself, each in an instance of its own, also after one in
/// which the module fails. Calls the guest.
pub(super) fn run_all(decider: &Decider) -> Vec<SpecRun> {
    let specs = decider.manifest().specs.iter();
    let run_each = |spec: &Spec| {
        let mut output = None;
        let failure = run(decider, None, spec, &mut output).err();
        SpecRun {
            title: spec.title.clone(),
            failure,
            output,
        }
    };
    specs.map(run_each).collect()
}

/// A specification that a candidate has to keep.
#[derive(Debug, Clone)]
struct Promise {
    spec: Spec,
    /// The module that has given it, if that is not the candidate.
    former: Option<Arc<Decider>>,
    /// Tells whether the candidate is refused when the specification does not hold.
    is_binding: bool,
}

impl Promise {
    fn run(&self, candidate: &Decider) -> Result<(), SpecFailure> {
        let former = self.former.as_ref().map(|former| former.manifest());
        run(candidate, former, &self.spec, &mut None)
    }

    fn whose(&self) -> &'static str {
        match self.former {
            None => "the module",
            Some(_) => "the active module",
        }
    }
}

/// Lists the candidate's own specifications, and those of the active module that the candidate does
/// not contain unchanged.
fn promises(subject: &Subject) -> Vec<Promise> {
    let own = as_meant(subject.candidate.manifest());
    let former = subject.active.as_ref().map(|active| &active.decider);
    let taken_over = former.into_iter().flat_map(|former| {
        let specs = as_meant(former.manifest()).into_iter();
        specs
            .filter(|spec| !own.contains(spec))
            .map(|spec| Promise {
                spec,
                former: Some(former.clone()),
                // Going back must not fail on what only the module that is left behind has
                // promised.
                is_binding: subject.direction == Swap::Forward,
            })
    });
    let taken_over: Vec<_> = taken_over.collect();
    let own = own.into_iter().map(|spec| Promise {
        spec,
        former: None,
        is_binding: true,
    });
    own.chain(taken_over).collect()
}

/// Gives the specifications of a module, in the schema versions that it means where it names none:
/// another module may have newer ones.
fn as_meant(manifest: &Manifest) -> Vec<Spec> {
    let mut specs = manifest.specs.clone();
    for event in specs.iter_mut().flat_map(|spec| &mut spec.given) {
        let newest = manifest.newest_schema_version(&event.event);
        event.schema_version = event.schema_version.or(newest);
    }
    specs
}

impl Gate {
    /// Runs the candidate's own specifications, and those of the active module.
    ///
    /// Each has a job and an instance of its own: one in which the module fails hides none, and
    /// holds a thread for no longer than itself. What a hostile module can make of many is bounded
    /// by [`GateSettings::specs`](super::GateSettings::specs).
    pub(super) async fn run_specs(
        &self,
        subject: &Subject,
        watch: &Watch,
    ) -> Result<StepResult, Error> {
        let promises = promises(subject);
        let limit = self.settings.specs;
        let runtime = self.modules.runtime();
        let mut promised = Promised::new(limit);
        let began = Instant::now();
        for promise in &promises {
            watch.check()?;
            let (whose, is_binding) = (promise.whose(), promise.is_binding);
            if began.elapsed() >= limit {
                promised.not_run(&promise.spec.title, whose, is_binding);
                continue;
            }
            let (candidate, job) = (subject.candidate.clone(), promise.clone());
            let verdict = runtime.run_in_background(move || job.run(&candidate)).await;
            promised.was_run(verdict.map_err(Error::NotRun)?.err(), whose, is_binding);
        }
        Ok(promised.result())
    }
}

/// Runs a specification of `former`, or of the module itself. Leaves what the module has written in
/// `output`.
fn run(
    decider: &Decider,
    former: Option<&Manifest>,
    spec: &Spec,
    output: &mut Option<String>,
) -> Result<(), SpecFailure> {
    let failed = |reason: String, actual: Value| SpecFailure {
        title: spec.title.clone(),
        reason,
        expected: serde_json::to_value(&spec.then).unwrap_or_default(),
        actual,
    };
    let faulty = |fault: Fault| failed(fault.to_string(), json!({ "fault": fault.to_string() }));
    let command = &spec.when.command;
    let data = json_of(&spec.when.data).map_err(faulty)?;
    if let Err(unfit) = decider.check_command(command, &data) {
        return Err(failed(unfit_reason(command, unfit), Value::Null));
    }
    let mut played = play(decider, spec, data, output).map_err(faulty)?;
    let verdict = match (&spec.then, played.decision.clone()) {
        (SpecOutcome::Events(wanted), Decision::Accepted(events)) => {
            played.compare_events(former, wanted, &events)
        }
        (SpecOutcome::State(wanted), Decision::Accepted(_)) => {
            if played.after.to_value() == *wanted {
                Ok(())
            } else {
                Err("the state is another one".to_owned())
            }
        }
        (SpecOutcome::Rejected(wanted), Decision::Rejected(rejection)) => {
            compare_rejection(wanted, &rejection)
        }
        (SpecOutcome::Rejected(_), Decision::Accepted(_)) => {
            Err("the command was accepted instead of rejected".to_owned())
        }
        (SpecOutcome::Events(_) | SpecOutcome::State(_), Decision::Rejected(rejection)) => {
            Err(format!("the command was rejected with {}", rejection.code))
        }
    };
    verdict.map_err(|reason| failed(reason, played.seen(&spec.then)))
}

/// A specification that was carried out.
struct PlayedSpec {
    instance: Instance,
    /// The state that was decided at.
    before: Json,
    decision: Decision,
    /// The state with what was decided.
    after: Json,
}

fn play(
    decider: &Decider,
    spec: &Spec,
    data: Json,
    output: &mut Option<String>,
) -> Result<PlayedSpec, Fault> {
    let given = spec.given.iter().map(|event| {
        let newest = decider.manifest().newest_schema_version(&event.event);
        as_event(event, event.schema_version.or(newest))
    });
    let given = given.collect::<Result<Vec<_>, _>>()?;
    let set = spec.when.context.clone().unwrap_or_default();
    let context = GuestContext {
        command_id: set
            .command_id
            .unwrap_or_else(|| uuid::Uuid::nil().to_string()),
        namespace: set.namespace.unwrap_or_else(|| "default".to_owned()),
        stream_id: set.stream_id.unwrap_or_else(|| "spec".to_owned()),
        version: given.len() as u64,
        now_ms: set.now_ms,
        seed: set.seed,
        actor: set.actor,
        metadata: set.metadata.into_iter().collect(),
    };
    let command = GuestCommand {
        name: spec.when.command.clone(),
        data,
    };

    let mut instance = decider.module().instantiate()?;
    let played = (|| {
        let state = instance.initial()?;
        instance.evolve(&state, &given)?;
        let before = instance.snapshot(&state)?;
        // As after a restart: what a snapshot does not keep must not be decided on.
        let state = restore(&mut instance, &before)?;
        let decision = instance.decide(&state, &command, &context)?;
        if let Decision::Accepted(events) = &decision {
            decider.check_events(events).map_err(broke_contract)?;
            if events.iter().rev().skip(1).any(|event| event.is_final) {
                return Err(broke_contract("an event follows one that is final"));
            }
            instance.evolve(&state, events)?;
        }
        let after = instance.snapshot(&state)?;
        Ok((before, decision, after))
    })();
    *output = instance.take_output();
    played.map(|(before, decision, after)| PlayedSpec {
        instance,
        before,
        decision,
        after,
    })
}

fn restore(instance: &mut Instance, snapshot: &Json) -> Result<State, Fault> {
    match instance.restore(snapshot)? {
        Restored::State(state) => Ok(state),
        Restored::Refused(reason) => Err(broke_contract(format!(
            "the module refuses its own snapshot: {reason}"
        ))),
    }
}

impl PlayedSpec {
    /// Gives the outcome of the command, in the form in which it is expected.
    fn seen(&self, then: &SpecOutcome) -> Value {
        match &self.decision {
            Decision::Rejected(rejection) => json!({ "rejected": rejection_json(rejection) }),
            Decision::Accepted(_) if matches!(then, SpecOutcome::State(_)) => {
                json!({ "state": self.after.to_value() })
            }
            Decision::Accepted(events) => {
                json!({ "events": events.iter().map(event_json).collect::<Vec<_>>() })
            }
        }
    }

    /// Compares the decided events with those that `former` expects, or the module itself.
    ///
    /// What `former` expects in an older schema version than this module writes is no other event
    /// because of that: then the states are compared to which the events lead.
    fn compare_events(
        &mut self,
        former: Option<&Manifest>,
        wanted: &[SpecEvent],
        events: &[Event],
    ) -> Result<(), String> {
        let version = |wanted: &SpecEvent| {
            let newest = former.and_then(|former| former.newest_schema_version(&wanted.event));
            wanted.schema_version.or(newest)
        };
        let is_older = |(wanted, event): (&SpecEvent, &Event)| {
            former.is_some()
                && version(wanted).is_some_and(|version| version < event.schema_version)
        };
        let is_same = |(wanted, event): (&SpecEvent, &Event)| {
            wanted
                .schema_version
                .is_none_or(|version| version == event.schema_version)
                && wanted.data == event.data.to_value()
        };
        let pairs = || std::iter::zip(wanted, events);
        let is_other = wanted.len() != events.len()
            || pairs().any(|(wanted, event)| wanted.event != event.name)
            || !pairs().all(|pair| is_older(pair) || is_same(pair));
        if is_other {
            return Err("the events are others".to_owned());
        }
        if !pairs().any(is_older) {
            return Ok(());
        }
        let wanted = wanted.iter().map(|event| as_event(event, version(event)));
        let expected = wanted.collect::<Result<Vec<_>, _>>();
        match expected.and_then(|events| self.state_with(&events)) {
            Ok(state) if state.to_value() == self.after.to_value() => Ok(()),
            Ok(_) => Err("the events in a newer schema version lead to another state".to_owned()),
            Err(fault) => Err(format!("the expected events cannot be folded: {fault}")),
        }
    }

    /// Gives the state after events that were not decided.
    fn state_with(&mut self, events: &[Event]) -> Result<Json, Fault> {
        let state = restore(&mut self.instance, &self.before)?;
        self.instance.evolve(&state, events)?;
        self.instance.snapshot(&state)
    }
}

fn as_event(event: &SpecEvent, schema_version: Option<u32>) -> Result<Event, Fault> {
    Ok(Event {
        name: event.event.clone(),
        schema_version: schema_version.unwrap_or(1),
        data: json_of(&event.data)?,
        is_final: false,
        tags: Vec::new(),
    })
}

fn json_of(value: &Value) -> Result<Json, Fault> {
    Json::from_value(value).map_err(|error| broke_contract(error.to_string()))
}

fn broke_contract(reason: impl Into<String>) -> Fault {
    Fault::BrokeContract {
        reason: reason.into(),
    }
}

fn unfit_reason(command: &str, unfit: Unfit) -> String {
    match unfit {
        Unfit::UnknownCommand { did_you_mean } => {
            let meant = did_you_mean.map(|name| format!(", did you mean {name}?"));
            format!("there is no command {command}{}", meant.unwrap_or_default())
        }
        Unfit::InvalidData(violations) => {
            let first = violations.into_iter().next().unwrap_or_default();
            format!(
                "the data of {command} breaks its schema: {} {}",
                first.0, first.1
            )
        }
    }
}

fn compare_rejection(wanted: &ExpectedRejection, rejection: &Rejection) -> Result<(), String> {
    let holds = match wanted {
        ExpectedRejection::Code(code) => *code == rejection.code,
        ExpectedRejection::Details(RejectionDetails {
            code,
            message,
            data,
        }) => {
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
