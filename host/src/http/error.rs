//! The one place where our errors become problems.
//!
//! A sentence of ours is shown when it was written for senders; what a store, a compiler or a bug says goes to the log only.

use serde_json::{Value, json};

use super::code::Code;
use super::extract::{Place, malformed};
use super::problem::Problem;
use crate::command::{self, BatchError, SchemaViolation};
use crate::core::{ModuleDigest, Rejection};
use crate::runtime::{Fault, RunError};
use crate::store::ConsumerError;
use crate::{gate, modules, store};

/// The code of an error, as it is counted.
pub(super) fn code_of(error: &command::Error) -> Code {
    use command::Error as E;
    match error {
        E::DeciderNotFound { .. } => Code::DeciderNotFound,
        E::CommandUnknown { .. } => Code::CommandUnknown,
        E::InvalidData { .. } => Code::InvalidCommandData,
        E::Rejected { .. } => Code::CommandRejected,
        E::VersionConflict { .. } | E::WrongPreviousId { .. } => Code::VersionConflict,
        E::StreamFinal { .. } => Code::StreamFinal,
        E::KeyReused { .. } => Code::IdempotencyKeyReused,
        E::DuplicateEventId { .. } => Code::DuplicateEventId,
        E::EventUnregistered { .. } => Code::EventUnregistered,
        E::StreamNotFound { .. } => Code::StreamNotFound,
        E::Fault { fault, .. } => code_of_fault(fault),
        E::NotRun(error) => code_of_run(*error),
        E::SwapUnderWay { .. } | E::StoreOverloaded { .. } => Code::Overloaded,
        E::Module(error) => match error {
            modules::Error::NotFound { .. } => Code::ModuleNotFound,
            modules::Error::Compile(_) => Code::Overloaded,
            modules::Error::NotRun(error) => code_of_run(*error),
            modules::Error::Store(error) => code_of_store(error),
            // It was valid when it was stored.
            modules::Error::Invalid { .. } | modules::Error::InUse { .. } => Code::Internal,
        },
        E::Store(error) => code_of_store(error),
        E::OutcomeUnknown { .. } => Code::OutcomeUnknown,
    }
}

fn code_of_fault(fault: &Fault) -> Code {
    match fault {
        Fault::Deadline { .. } => Code::ModuleDeadline,
        Fault::OutOfFuel { .. } => Code::ModuleOutOfFuel,
        Fault::OutOfMemory { .. } => Code::ModuleOutOfMemory,
        Fault::Trapped { .. } | Fault::StackOverflow { .. } | Fault::Spent => Code::ModuleTrapped,
        Fault::OutputTooLarge { .. }
        | Fault::BrokeContract { .. }
        | Fault::EvolveRefused { .. } => Code::ModuleBrokeContract,
    }
}

fn code_of_run(error: RunError) -> Code {
    match error {
        RunError::Overloaded { .. } => Code::Overloaded,
        RunError::Panicked => Code::Internal,
    }
}

fn code_of_store(error: &store::Error) -> Code {
    match error {
        store::Error::Unavailable(_) => Code::StoreUnavailable,
        store::Error::Malformed { .. } | store::Error::Corrupt { .. } => Code::Internal,
    }
}

impl From<command::Error> for Problem {
    fn from(error: command::Error) -> Self {
        use command::Error as E;
        let problem = Self::new(code_of(&error), sentence(&error));
        match error {
            E::DeciderNotFound { decider } | E::SwapUnderWay { decider } => {
                problem.with("decider", decider.as_str())
            }
            E::CommandUnknown {
                decider,
                command,
                did_you_mean,
            } => problem
                .with("decider", decider.as_str())
                .with("command", command)
                .with("did_you_mean", did_you_mean),
            E::InvalidData { violations } => problem.with(
                "errors",
                violations.iter().map(violation).collect::<Vec<_>>(),
            ),
            E::Rejected {
                rejection,
                command_id,
                version,
                module,
                replayed,
            } => problem
                .with("rejection", rejection_fact(&rejection))
                .with("command_id", command_id)
                .with("version", version.get())
                .with("module", module.to_string())
                .with("replayed", replayed),
            E::VersionConflict {
                stream: _,
                expected,
                current,
            } => problem
                .with("expected_version", expected.get())
                .with("current_version", current.get()),
            E::StreamFinal { stream: _, version } => problem.with("current_version", version.get()),
            E::KeyReused { command_id } | E::OutcomeUnknown { command_id } => {
                problem.with("command_id", command_id)
            }
            E::DuplicateEventId { event_id } => problem.with("event_id", event_id),
            E::EventUnregistered {
                decider,
                event,
                schema_version,
            } => problem
                .with("decider", decider.as_str())
                .with("event", event)
                .with("schema_version", schema_version),
            E::StreamNotFound { stream: _, current } => {
                problem.with("current_version", current.get())
            }
            E::Fault { module, fault } => of_fault(module, fault),
            E::Module(error) => match error {
                modules::Error::Invalid { .. } | modules::Error::InUse { .. } => {
                    Self::internal(error)
                }
                error => error.into(),
            },
            E::Store(error) => error.into(),
            E::NotRun(error) => error.into(),
            E::WrongPreviousId { .. } | E::StoreOverloaded { .. } => problem,
        }
    }
}

/// What the sender is told; a variant that is translated elsewhere needs no sentence here.
fn sentence(error: &command::Error) -> String {
    use command::Error as E;
    match error {
        E::DeciderNotFound { decider } => format!("The decider `{decider}` has no active module in this namespace."),
        E::CommandUnknown { decider, command, did_you_mean } => {
            let hint = did_you_mean.as_ref().map(|name| format!(" Did you mean `{name}`?")).unwrap_or_default();
            format!("The decider `{decider}` has no command `{command}`.{hint}")
        }
        E::InvalidData { .. } => "The data of the command breaks its schema where `errors` points.".to_owned(),
        E::Rejected { rejection, .. } => rejection.message.clone(),
        E::VersionConflict { expected, current, .. } => {
            format!("The stream is at version {current}, not {expected}. Nothing was written.")
        }
        E::StreamFinal { version, .. } => format!("The stream has ended with version {version}."),
        E::KeyReused { .. } => "The key was used for another command, body or stream.".to_owned(),
        E::DuplicateEventId { event_id } => format!("The event id {event_id} is already in use."),
        E::EventUnregistered { decider, event, schema_version } => {
            format!("The decider `{decider}` has not registered `{event}` in schema version {schema_version}.")
        }
        E::StreamNotFound { current, .. } if current.get() == 0 => "The stream has no event.".to_owned(),
        E::StreamNotFound { current, .. } => format!("The stream has no event at that point; it is at version {current}."),
        E::SwapUnderWay { decider } => format!("The decider `{decider}` is being swapped. Try again."),
        E::StoreOverloaded { .. } => "More is waiting to be written than the host holds. Nothing was written. Try again.".to_owned(),
        E::WrongPreviousId { .. } => "The newest event of the stream is another one. Nothing was written.".to_owned(),
        E::OutcomeUnknown { .. } => {
            "The store broke off while writing. Send the command again with this `command_id` as its `Idempotency-Key`."
                .to_owned()
        }
        E::Fault { .. } | E::Module(_) | E::Store(_) | E::NotRun(_) => String::new(),
    }
}

fn violation(violation: &SchemaViolation) -> Value {
    json!({ "pointer": format!("/data{}", violation.pointer), "message": violation.message })
}

fn rejection_fact(rejection: &Rejection) -> Value {
    let data = rejection.data.as_ref().map(|data| data.to_value());
    json!({ "code": rejection.code, "message": rejection.message, "data": data })
}

/// Faults of a module are its author's to see; the texts of [`Fault`] are bounded and name nothing of the host.
fn of_fault(module: ModuleDigest, fault: Fault) -> Problem {
    let problem = Problem::new(
        code_of_fault(&fault),
        format!("Nothing was written: {fault}."),
    );
    let problem = problem.with("module", module.to_string());
    let problem = match &fault {
        Fault::Deadline { limit } => problem.with("limit", format!("{} ms", limit.as_millis())),
        Fault::OutOfFuel { limit } => problem.with("limit", format!("{limit} units of fuel")),
        Fault::OutOfMemory { what, limit } | Fault::OutputTooLarge { what, limit } => {
            problem.with("limit", format!("{limit} {what}"))
        }
        Fault::StackOverflow { limit_bytes } => {
            problem.with("limit", format!("{limit_bytes} bytes of stack"))
        }
        Fault::Trapped { .. }
        | Fault::BrokeContract { .. }
        | Fault::EvolveRefused { .. }
        | Fault::Spent => problem,
    };
    problem.caused_by(fault)
}

impl From<BatchError> for Problem {
    fn from(BatchError { index, error }: BatchError) -> Self {
        Self::from(*error).with("command_index", index)
    }
}

impl From<modules::Error> for Problem {
    fn from(error: modules::Error) -> Self {
        use modules::Error as E;
        match error {
            E::NotFound { digest } => Self::new(
                Code::ModuleNotFound,
                format!("No module {digest} is stored."),
            ),
            E::InUse { digest } => Self::new(
                Code::ModuleInUse,
                format!("The module {digest} is or was active: events name it."),
            ),
            E::Invalid { reasons } => Self::new(
                Code::InvalidModule,
                "The module is refused for the `reasons`.",
            )
            .with("reasons", reasons),
            E::Compile(error) => Self::new(
                Code::Overloaded,
                "The module cannot be compiled now. Try again.",
            )
            .caused_by(error),
            E::NotRun(error) => error.into(),
            E::Store(error) => error.into(),
        }
    }
}

impl From<gate::Error> for Problem {
    fn from(error: gate::Error) -> Self {
        use gate::Error as E;
        match error {
            E::DeciderNotFound { decider } => Self::new(
                Code::DeciderNotFound,
                format!("The decider `{decider}` was never active in this namespace."),
            ),
            E::NothingToRollBackTo { decider } => Self::new(
                Code::NothingToRollBackTo,
                format!("No module was active for `{decider}` before the present one."),
            ),
            E::Refused { report } => {
                let detail = "The gate has found what nobody has accepted. Nothing has changed.";
                Self::new(Code::GateRefused, detail).with("report", report.to_value())
            }
            E::Contended { decider } => Self::new(
                Code::ActivationContended,
                format!(
                    "Other activations of `{decider}` came first, again and again. Nothing has changed."
                ),
            ),
            E::RehearsalNotFound { id } => rehearsal_not_found(&id.to_string()),
            E::EventNotFound { event_id } => event_not_found(&event_id.to_string()),
            E::CommandNotFound { command_id } => command_not_found(&command_id.to_string()),
            // Nobody waits for the answer.
            error @ E::Cancelled => Self::internal(error),
            E::Busy { limit } => Self::new(
                Code::Overloaded,
                format!(
                    "{limit} of the kind are under way, as many as this host takes. Try again."
                ),
            )
            .with("limit", limit),
            E::Module(error) => error.into(),
            E::NotRun(error) => error.into(),
            E::Store(error) => error.into(),
        }
    }
}

/// No rehearsal is called `id`, be it a UUID or any other text.
pub(super) fn rehearsal_not_found(id: &str) -> Problem {
    let detail = format!("There is no rehearsal `{id}` in this namespace.");
    Problem::new(Code::RehearsalNotFound, detail).with("rehearsal", id)
}

/// No event is called `id`, be it a UUID or any other text.
pub(super) fn event_not_found(id: &str) -> Problem {
    let detail = format!("There is no event `{id}` in this namespace.");
    Problem::new(Code::EventNotFound, detail).with("event_id", id)
}

/// No command is called `id`, be it a UUID or any other text.
pub(super) fn command_not_found(id: &str) -> Problem {
    let detail = format!("No command `{id}` is on record in this namespace.");
    Problem::new(Code::CommandNotFound, detail).with("command_id", id)
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        match code_of_store(&error) {
            Code::StoreUnavailable => Self::new(
                Code::StoreUnavailable,
                "The store did not answer. Nothing was written.",
            )
            .caused_by(error),
            _ => Self::internal(error),
        }
    }
}

impl From<ConsumerError> for Problem {
    fn from(error: ConsumerError) -> Self {
        use ConsumerError as E;
        match error {
            E::NotFound => Self::new(Code::ConsumerNotFound, "There is no consumer of this name."),
            E::LeaseLost => Self::new(
                Code::LeaseLost,
                "The lease was settled, or another worker has taken over. Nothing has changed.",
            ),
            E::NotLeased { through } => malformed(
                Place::pointer("/through"),
                format!("no event of the lease that is left is at {through}; the lease holds"),
            ),
            E::NotParked => Self::new(Code::StreamNotFound, "The stream is not parked."),
            E::Store(error) => error.into(),
        }
    }
}

impl From<RunError> for Problem {
    fn from(error: RunError) -> Self {
        match code_of_run(error) {
            Code::Overloaded => {
                let detail = "More calls of modules are waiting than the host holds. Try again.";
                Self::new(Code::Overloaded, detail).caused_by(error)
            }
            _ => Self::internal(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::core::{DeciderName, Json, Namespace, Position, StreamId, Version};

    fn decider() -> DeciderName {
        DeciderName::new("counter").unwrap()
    }

    fn stream() -> StreamId {
        StreamId::new(Namespace::default(), decider(), "c-1").unwrap()
    }

    fn module() -> ModuleDigest {
        ModuleDigest::of(b"module")
    }

    fn version(number: u64) -> Version {
        Version::new(number).unwrap()
    }

    fn secret() -> store::Error {
        store::Error::Unavailable("password=hunter2".into())
    }

    fn faulted(fault: Fault) -> command::Error {
        command::Error::Fault {
            module: module(),
            fault,
        }
    }

    #[track_caller]
    fn assert_told(error: impl Into<Problem>, status: u16, code: &str, facts: &Value) {
        let problem: Problem = error.into();
        assert_eq!(
            (problem.code().status().as_u16(), problem.code().as_str()),
            (status, code)
        );
        for (name, fact) in facts.as_object().unwrap() {
            assert_eq!(problem.fact(name), fact, "{code}: {name}");
        }
        assert!(!problem.detail().is_empty(), "{code}");
        assert!(
            !problem.detail().contains("hunter2"),
            "{code} gives away what only the log should have"
        );
    }

    #[test]
    fn what_the_sender_can_mend_is_told_with_its_facts() {
        use command::Error as E;
        assert_told(
            E::DeciderNotFound { decider: decider() },
            404,
            "decider-not-found",
            &json!({ "decider": "counter" }),
        );
        let unknown = E::CommandUnknown {
            decider: decider(),
            command: "Incremet".into(),
            did_you_mean: Some("Increment".into()),
        };
        assert_told(
            unknown,
            404,
            "command-unknown",
            &json!({ "did_you_mean": "Increment" }),
        );
        let violations = vec![SchemaViolation {
            pointer: "/by".into(),
            message: "too small".into(),
        }];
        let errors = json!({ "errors": [{ "pointer": "/data/by", "message": "too small" }] });
        assert_told(
            E::InvalidData { violations },
            422,
            "invalid-command-data",
            &errors,
        );
        let conflict = E::VersionConflict {
            stream: stream(),
            expected: version(2),
            current: version(5),
        };
        assert_told(
            conflict,
            409,
            "version-conflict",
            &json!({ "expected_version": 2, "current_version": 5 }),
        );
        let ended = E::StreamFinal {
            stream: stream(),
            version: version(5),
        };
        assert_told(ended, 409, "stream-final", &json!({ "current_version": 5 }));
        let id = Uuid::from_u128(7);
        let reused = E::KeyReused { command_id: id };
        assert_told(
            reused,
            422,
            "idempotency-key-reused",
            &json!({ "command_id": id }),
        );
        assert_told(
            E::DuplicateEventId { event_id: id },
            409,
            "duplicate-event-id",
            &json!({ "event_id": id }),
        );
        let unregistered = E::EventUnregistered {
            decider: decider(),
            event: "Reset".into(),
            schema_version: 2,
        };
        assert_told(
            unregistered,
            422,
            "event-unregistered",
            &json!({ "event": "Reset", "schema_version": 2 }),
        );
        let unborn = E::StreamNotFound {
            stream: stream(),
            current: version(5),
        };
        assert_told(
            unborn,
            404,
            "stream-not-found",
            &json!({ "current_version": 5 }),
        );
    }

    #[test]
    fn a_rejection_is_passed_on_as_the_decider_gave_it() {
        let data = Some(Json::parse(r#"{"balance":3}"#).unwrap());
        let rejection = Rejection {
            code: "insufficient-funds".into(),
            message: "The balance is 3.".into(),
            data,
        };
        let rejected = command::Error::Rejected {
            rejection,
            command_id: Uuid::from_u128(7),
            version: version(4),
            module: module(),
            replayed: true,
        };
        let facts = json!({
            "rejection": { "code": "insufficient-funds", "message": "The balance is 3.", "data": { "balance": 3 } },
            "version": 4, "replayed": true, "module": module().to_string(),
        });
        assert_told(rejected, 422, "command-rejected", &facts);
    }

    #[test]
    fn a_fault_names_the_module_and_the_limit() {
        let limit = |limit: &str| json!({ "module": module().to_string(), "limit": limit });
        let deadline = Fault::Deadline {
            limit: Duration::from_millis(250),
        };
        assert_told(faulted(deadline), 504, "module-deadline", &limit("250 ms"));
        assert_told(
            faulted(Fault::OutOfFuel { limit: 9 }),
            504,
            "module-out-of-fuel",
            &limit("9 units of fuel"),
        );
        let memory = Fault::OutOfMemory {
            what: "bytes of memory",
            limit: 64,
        };
        assert_told(
            faulted(memory),
            504,
            "module-out-of-memory",
            &limit("64 bytes of memory"),
        );
        let module = json!({ "module": module().to_string() });
        assert_told(
            faulted(Fault::Trapped {
                reason: "unreachable".into(),
            }),
            500,
            "module-trapped",
            &module,
        );
        let stack = Fault::StackOverflow { limit_bytes: 1 };
        assert_told(faulted(stack), 500, "module-trapped", &module);
        let undeclared = Fault::BrokeContract {
            reason: "undeclared event".into(),
        };
        assert_told(faulted(undeclared), 500, "module-broke-contract", &module);
        let refused = Fault::EvolveRefused {
            index: 0,
            message: "no".into(),
        };
        assert_told(faulted(refused), 500, "module-broke-contract", &module);
    }

    #[test]
    fn bugs_and_outages_are_one_opaque_line() {
        use command::Error as E;
        let none = json!({});
        assert_told(E::Store(secret()), 503, "store-unavailable", &none);
        assert_told(
            modules::Error::Store(secret()),
            503,
            "store-unavailable",
            &none,
        );
        assert_told(
            gate::Error::Store(secret()),
            503,
            "store-unavailable",
            &none,
        );
        let corrupt = store::Error::Corrupt {
            what: "module",
            reason: "hunter2".into(),
        };
        assert_told(corrupt, 500, "internal", &none);
        let raw = "hunter2".to_owned();
        let malformed = store::Error::Malformed {
            stream: "s".into(),
            position: Position::BEGINNING,
            reason: raw.clone(),
            raw,
        };
        assert_told(malformed, 500, "internal", &none);
        assert_told(RunError::Panicked, 500, "internal", &none);
        assert_told(RunError::Overloaded { queue: 1 }, 503, "overloaded", &none);
        let limit = store::QueueLimit::Appends(1);
        assert_told(E::StoreOverloaded { limit }, 503, "overloaded", &none);
        let unknown = E::OutcomeUnknown {
            command_id: Uuid::from_u128(7),
        };
        assert_told(
            unknown,
            503,
            "outcome-unknown",
            &json!({ "command_id": Uuid::from_u128(7) }),
        );
        // The sender of a command can do nothing about a stored module that has become invalid; the log has the reasons.
        let rotten = E::Module(modules::Error::Invalid {
            reasons: vec!["hunter2".into()],
        });
        assert_told(rotten, 500, "internal", &none);
    }

    #[test]
    fn modules_and_activations_are_told_with_reasons_and_reports() {
        let digest = module();
        assert_told(
            modules::Error::NotFound { digest },
            404,
            "module-not-found",
            &json!({}),
        );
        assert_told(
            modules::Error::InUse { digest },
            409,
            "module-in-use",
            &json!({}),
        );
        let invalid = modules::Error::Invalid {
            reasons: vec!["no memory".into()],
        };
        assert_told(
            invalid,
            422,
            "invalid-module",
            &json!({ "reasons": ["no memory"] }),
        );
        let refused = gate::Error::Refused {
            report: Json::parse(r#"{"passed":false}"#).unwrap(),
        };
        assert_told(
            refused,
            422,
            "gate-refused",
            &json!({ "report": { "passed": false } }),
        );
        let first = gate::Error::NothingToRollBackTo { decider: decider() };
        assert_told(first, 409, "nothing-to-roll-back-to", &json!({}));
        assert_told(
            gate::Error::Contended { decider: decider() },
            409,
            "activation-contended",
            &json!({}),
        );
    }

    #[test]
    fn what_the_gate_does_not_know_is_not_found_by_its_id() {
        let id = Uuid::from_u128(7);
        assert_told(
            gate::Error::RehearsalNotFound { id },
            404,
            "rehearsal-not-found",
            &json!({ "rehearsal": id }),
        );
        assert_told(
            gate::Error::EventNotFound { event_id: id },
            404,
            "event-not-found",
            &json!({ "event_id": id }),
        );
        assert_told(
            gate::Error::CommandNotFound { command_id: id },
            404,
            "command-not-found",
            &json!({ "command_id": id }),
        );
    }

    #[test]
    fn one_rehearsal_too_many_is_to_be_tried_again() {
        let busy = gate::Error::Busy { limit: 2 };
        assert_told(busy, 503, "overloaded", &json!({ "limit": 2 }));
    }

    #[test]
    fn a_batch_names_the_command_that_stopped_it() {
        let stopped = BatchError::new(3, command::Error::DeciderNotFound { decider: decider() });
        assert_told(
            stopped,
            404,
            "decider-not-found",
            &json!({ "command_index": 3 }),
        );
    }
}
