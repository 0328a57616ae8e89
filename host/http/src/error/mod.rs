//! The one place where our errors become problems.
//!
//! A sentence of ours is shown when it was written for senders; what a store, a compiler or a bug
//! says goes to the log only.

mod code;
mod malformed;
pub(crate) mod problem;
mod views;

use gavel_engine::catalog;
use gavel_engine::command::{self, BatchError, SchemaViolation};
use gavel_gate as gate;
use gavel_model::{ActivationKey, Json, ModuleDigest, ModuleKind, Rejection};
use gavel_sandbox::{CONTRACT, Fault, RunError};
use gavel_store as store;
use gavel_store::{ConsumerError, ResumeError};
use serde_json::{Value, json};

pub use code::Code;
pub(crate) use malformed::{Location, malformed};
pub use problem::Problem;

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
        E::NameTaken { .. } => Code::NameTaken,
        E::StreamNotFound { .. } => Code::StreamNotFound,
        E::Fault { fault, .. } => code_of_fault(fault),
        E::NotRun(error) => code_of_run(*error),
        E::SwapUnderWay { .. } | E::StoreOverloaded { .. } => Code::Overloaded,
        E::BatchTooLarge { .. } => Code::TooLarge,
        E::Module(error) => match error {
            catalog::Error::NotFound { .. } => Code::ModuleNotFound,
            catalog::Error::Outdated { .. } => Code::ModuleOutdated,
            catalog::Error::Compile(_) => Code::Overloaded,
            catalog::Error::NotRun(error) => code_of_run(*error),
            catalog::Error::Store(error) => code_of_store(error),
            // It was valid when it was stored.
            catalog::Error::Invalid { .. } | catalog::Error::InUse { .. } => Code::Internal,
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
        Fault::NoRoom => Code::Overloaded,
    }
}

fn code_of_run(error: RunError) -> Code {
    match error {
        RunError::Overloaded { .. } | RunError::NoRoom => Code::Overloaded,
        RunError::Panicked => Code::Internal,
    }
}

fn code_of_store(error: &store::Error) -> Code {
    match error {
        store::Error::Unavailable(_) => Code::StoreUnavailable,
        store::Error::Refused(_)
        | store::Error::Malformed { .. }
        | store::Error::Corrupt { .. } => Code::Internal,
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
            E::NameTaken { decider, kind } => problem
                .with("name", decider.as_str())
                .with("kind", kind.as_str()),
            E::StreamNotFound { stream: _, current } => {
                problem.with("current_version", current.get())
            }
            E::Fault { module, fault } => of_fault(module, fault),
            E::Module(error) => match error {
                catalog::Error::Invalid { .. } | catalog::Error::InUse { .. } => {
                    Self::internal(error)
                }
                error => error.into(),
            },
            E::BatchTooLarge { limit_bytes } => problem.with("limit_bytes", limit_bytes),
            E::Store(error) => error.into(),
            E::NotRun(error) => error.into(),
            E::WrongPreviousId { .. } | E::StoreOverloaded { .. } => problem,
        }
    }
}

/// The detail of a problem. A variant that is translated elsewhere needs no sentence here.
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
        E::NameTaken { decider, kind } => name_taken(decider.as_str(), *kind),
        E::StreamNotFound { current, .. } if current.get() == 0 => "The stream has no event.".to_owned(),
        E::StreamNotFound { current, .. } => format!("The stream has no event at that point; it is at version {current}."),
        E::SwapUnderWay { decider } => format!("The decider `{decider}` is being swapped. Try again."),
        E::StoreOverloaded { .. } => "More is waiting to be written than the host holds. Nothing was written. Try again.".to_owned(),
        E::BatchTooLarge { limit_bytes } => format!(
            "What the batch decides, with the states that it asks for, takes up more than {limit_bytes} bytes. Nothing was written. Send it in parts."
        ),
        E::WrongPreviousId { .. } => "The newest event of the stream is another one. Nothing was written.".to_owned(),
        E::OutcomeUnknown { .. } => {
            "The write was interrupted, and its outcome is unknown. Send the command again with this `command_id` as its `Idempotency-Key`."
                .to_owned()
        }
        E::Fault { .. } | E::Module(_) | E::Store(_) | E::NotRun(_) => String::new(),
    }
}

fn name_taken(name: &str, kind: ModuleKind) -> String {
    format!(
        "In this namespace the name `{name}` belongs to a {kind}, for good. Nothing has changed."
    )
}

fn violation(violation: &SchemaViolation) -> Value {
    json!({ "pointer": format!("/data{}", violation.pointer), "message": violation.message })
}

fn rejection_fact(rejection: &Rejection) -> Value {
    let data = rejection.data.as_ref().map(|data| data.to_value());
    json!({ "code": rejection.code, "message": rejection.message, "data": data })
}

/// Faults of a module are its author's to see; the texts of [`Fault`] are bounded and name nothing
/// of the host.
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
        | Fault::Spent
        | Fault::NoRoom => problem,
    };
    problem.caused_by(fault)
}

impl From<BatchError> for Problem {
    fn from(BatchError { index, error }: BatchError) -> Self {
        Self::from(*error).with("command_index", index)
    }
}

impl From<catalog::Error> for Problem {
    fn from(error: catalog::Error) -> Self {
        use catalog::Error as E;
        match error {
            E::NotFound { digest } => Self::new(
                Code::ModuleNotFound,
                format!("No module {digest} is stored."),
            ),
            E::InUse { digest } => Self::new(
                Code::ModuleInUse,
                format!("The module {digest} is or was active: events name it."),
            ),
            E::Outdated {
                digest,
                contract,
                name,
            } => {
                let of = name.as_ref().map(|name| format!(" of `{name}`"));
                let detail = format!(
                    "The module {digest}{} was built for {contract}, and this host runs what is built for {}. \
                     Build it with the present SDK, and deploy it again.",
                    of.unwrap_or_default(),
                    CONTRACT
                );
                let problem = Self::new(Code::ModuleOutdated, detail)
                    .with("module", digest.to_string())
                    .with("contract", contract);
                match name {
                    Some(name) => problem.with("decider", name.as_str()),
                    None => problem,
                }
            }
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
            E::NotActive { key } => Self::new(
                Code::not_active(key.kind()),
                format!(
                    "The {} `{}` has no active module in this namespace.",
                    key.kind(),
                    key.name()
                ),
            ),
            E::NameTaken { name, kind } => Self::new(
                Code::NameTaken,
                name_taken(name.as_str(), kind),
            )
            .with("name", name.as_str())
            .with("kind", kind.as_str()),
            E::NothingToRollBackTo { key } => Self::new(
                Code::NothingToRollBackTo,
                format!(
                    "No module was active for `{}` before the present one.",
                    key.name()
                ),
            ),
            E::Refused { reports } => {
                let refused = reports.iter().map(Json::to_value);
                let report = refused.into_iter().find(|report| report["passed"] != true);
                gate_refused().with("report", report.unwrap_or_default())
            }
            E::Unfit(error) => malformed(Location::pointer("/activations"), error.to_string()),
            error @ E::TooMany { .. } => {
                malformed(Location::pointer("/activations"), error.to_string())
            }
            E::Contended { keys } => Self::new(
                Code::ActivationContended,
                format!(
                    "Other activations of {} came first, again and again, or more was written each time than the modules could be taken \
                     through. Nothing has changed.",
                    names(&keys)
                ),
            ),
            E::Paused { key } => Self::new(
                Code::ViewPaused,
                format!(
                    "The view `{}` is paused, and its rows are behind: they cannot be compared with those of another module. Resume it first.",
                    key.name()
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
                    "All {limit} slots for work of this kind are in use, in the namespace or on this host. Try again."
                ),
            )
            .with("limit", limit),
            E::Module(error) => error.into(),
            E::NotRun(error) => error.into(),
            E::Store(error) => error.into(),
        }
    }
}

/// The problem of modules that are not activated together. It shows the reports of all, in the
/// order of the request.
pub(crate) fn not_activated_together(error: gate::Error) -> Problem {
    match error {
        gate::Error::Refused { reports } => {
            let reports: Vec<_> = reports.iter().map(Json::to_value).collect();
            gate_refused().with("reports", reports)
        }
        error => error.into(),
    }
}

fn gate_refused() -> Problem {
    let detail = "The gate has found what nobody has accepted. Nothing has changed.";
    Problem::new(Code::GateRefused, detail)
}

fn names(keys: &[ActivationKey]) -> String {
    let names: Vec<_> = keys.iter().map(|key| format!("`{}`", key.name())).collect();
    names.join(", ")
}

/// The problem of a missing rehearsal; `id` is a UUID or any other text.
pub(super) fn rehearsal_not_found(id: &str) -> Problem {
    let detail = format!("There is no rehearsal `{id}` in this namespace.");
    Problem::new(Code::RehearsalNotFound, detail).with("rehearsal", id)
}

/// The problem of a missing event; `id` is a UUID or any other text.
pub(super) fn event_not_found(id: &str) -> Problem {
    let detail = format!("There is no event `{id}` in this namespace.");
    Problem::new(Code::EventNotFound, detail).with("event_id", id)
}

/// The problem of a missing command; `id` is a UUID or any other text.
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

impl From<ResumeError> for Problem {
    fn from(error: ResumeError) -> Self {
        match error {
            ResumeError::Lost { position, end } => Self::new(
                Code::PositionLost,
                "The log has no event there: it was restored to an earlier state, or is another log. \
                 Events that were read up to there may be lost; all events after `end` are new to this reader.",
            )
            .with("position", position.to_string())
            .with("end", end.to_string()),
            ResumeError::Store(error) => error.into(),
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
                Location::pointer("/through"),
                format!("no event of the lease that is left is at {through}; the lease holds"),
            ),
            E::NotParked => Self::new(Code::StreamNotFound, "The stream is not parked."),
            E::Store(error) => error.into(),
        }
    }
}

impl From<RunError> for Problem {
    fn from(error: RunError) -> Self {
        let detail = match error {
            RunError::Overloaded { .. } => {
                "More calls of modules are waiting than the host holds. Try again."
            }
            RunError::NoRoom => "The host has no room in memory for a module now. Try again.",
            RunError::Panicked => return Self::internal(error),
        };
        Self::new(code_of_run(error), detail).caused_by(error)
    }
}

#[cfg(test)]
mod tests;
