//! The meaning of the server's error codes. Errors are distinguished by SQLSTATE and constraint,
//! never by text; the list is in `migrations/postgres/README.md`.

use gavel_model::{ActivationNumber, ModuleKind, Position};
use gavel_store::toolkit::group::Failed;
use gavel_store::{ActivateError, ConsumerError, DeleteModuleError, Error, Floor, NewActivation};
use serde::Deserialize;
use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;

use super::query::StatementError;

const FOREIGN_KEY_VIOLATION: &str = "23503";
const UNIQUE_VIOLATION: &str = "23505";
/// Classes of what passes by itself: connections, states of transactions and objects, resources,
/// operators, and the system.
const PASSING_CLASSES: [&str; 7] = ["08", "25", "40", "53", "55", "57", "58"];
/// The codes of a stream that has moved on, or ended, between the look at it and the write.
const STREAM_MOVED: [&str; 2] = ["GV001", "GV002"];
const SERIALIZATION_FAILURE: &str = "40001";
const DEADLOCK_DETECTED: &str = "40P01";
const LOCK_NOT_AVAILABLE: &str = "55P03";
pub(super) const INSUFFICIENT_PRIVILEGE: &str = "42501";
const UNDEFINED_TABLE: &str = "42P01";
const UNDEFINED_FUNCTION: &str = "42883";
const ACTIVATION_MOVED: &str = "GV005";
const CONSUMER_UNKNOWN: &str = "GV006";
const LEASE_LOST: &str = "GV007";
const NOT_LEASED: &str = "GV008";
const NOT_PARKED: &str = "GV009";
const NAME_TAKEN: &str = "GV011";
const NAMESPACE_MOVED: &str = "GV013";
const MODULE_UNKNOWN: &str = "GV014";
/// The code of a schema that is for newer hosts than this one.
const OUTDATED: &str = "GV012";

/// Offsets come from a sequence: one that is taken is nothing that another writer was faster with.
const OFFSET: &str = "events_pkey";
const ACTIVATED_MODULE: &str = "activations_digest_fkey";

/// Tells whether the statement lost a race, so that a second run finds out against what.
///
/// A broken unique constraint is one: the append has looked for what it would collide with, and
/// that was not there yet.
pub(super) fn is_lost_race(failure: &StatementError) -> bool {
    match failure {
        StatementError::Refused(error) => is_race(error),
        StatementError::NotSent(_) | StatementError::Unfit(_) | StatementError::Lost(_) => false,
    }
}

fn is_race(error: &PgDatabaseError) -> bool {
    match error.code() {
        UNIQUE_VIOLATION => error.constraint() != Some(OFFSET),
        code => [SERIALIZATION_FAILURE, DEADLOCK_DETECTED].contains(&code),
    }
}

/// Tells whether a lock was not available in time.
pub(super) fn is_lock_timeout(error: &PgDatabaseError) -> bool {
    error.code() == LOCK_NOT_AVAILABLE
}

/// The store's error for a refusal by the server. The call may be tried again only if the cause is
/// known to pass.
fn refused(error: Box<PgDatabaseError>) -> Error {
    let code = error.code();
    // Hosts that are newer carry it out.
    let passes = is_race(&error)
        || code == OUTDATED
        || STREAM_MOVED.contains(&code)
        || PASSING_CLASSES.iter().any(|class| code.starts_with(class));
    if passes {
        Error::Unavailable(error)
    } else {
        let constraint = error.constraint().unwrap_or("no constraint");
        Error::Refused(format!("{error} (SQLSTATE {code}, {constraint})"))
    }
}

/// Takes note of the schema's floor when that is why an append was refused.
pub(super) fn meet(floor: &Floor, failure: &StatementError) {
    #[derive(Deserialize)]
    struct Met {
        floor: i64,
    }
    if let StatementError::Refused(error) = failure
        && error.code() == OUTDATED
        && let Ok(met) = serde_json::from_str(error.detail().unwrap_or_default())
    {
        let Met { floor: met } = met;
        // The caller learns of it by the refusal.
        let _ = floor.check(met);
    }
}

/// Tells whether a statement has named a table that is not there.
pub(super) fn is_undefined(failure: &StatementError) -> bool {
    matches!(failure, StatementError::Refused(error) if error.code() == UNDEFINED_TABLE)
}

pub(super) fn is_undefined_table(error: &dyn DatabaseError) -> bool {
    error.code().is_some_and(|code| code == UNDEFINED_TABLE)
}

pub(super) fn is_undefined_function(error: &dyn DatabaseError) -> bool {
    error.code().is_some_and(|code| code == UNDEFINED_FUNCTION)
}

impl From<StatementError> for Error {
    fn from(failure: StatementError) -> Self {
        match failure {
            StatementError::NotSent(source)
            | StatementError::Unfit(source)
            | StatementError::Lost(source) => Self::Unavailable(source),
            StatementError::Refused(error) => refused(error),
        }
    }
}

impl From<StatementError> for Failed {
    fn from(failure: StatementError) -> Self {
        match failure {
            StatementError::NotSent(source) | StatementError::Unfit(source) => {
                Self::NotSent(source)
            }
            StatementError::Refused(error) => Self::Refused(refused(error).into()),
            StatementError::Lost(source) => Self::Lost(source),
        }
    }
}

impl From<StatementError> for DeleteModuleError {
    fn from(failure: StatementError) -> Self {
        match failure {
            StatementError::Refused(error) if breaks(&error, ACTIVATED_MODULE) => Self::InUse,
            failure => Self::Store(failure.into()),
        }
    }
}

/// The error of activations that have failed.
pub(super) fn not_activated(
    failure: StatementError,
    activations: &[NewActivation],
) -> ActivateError {
    #[derive(Deserialize)]
    struct Refusal {
        kind: String,
        name: String,
        current: Option<i64>,
        owner: Option<String>,
    }
    let StatementError::Refused(error) = failure else {
        return ActivateError::Store(failure.into());
    };
    let known = || {
        let facts: Refusal = serde_json::from_str(error.detail()?).ok()?;
        let entry = activations.iter().find(|activation| {
            let key = &activation.key;
            key.kind().as_str() == facts.kind && key.name().as_str() == facts.name
        })?;
        let key = entry.key.clone();
        match error.code() {
            ACTIVATION_MOVED => {
                let current = ActivationNumber::new(facts.current?);
                Some(ActivateError::Moved { key, current })
            }
            NAME_TAKEN => {
                let kind = ModuleKind::from_name(&facts.owner?)?;
                Some(ActivateError::NameTaken { key, kind })
            }
            MODULE_UNKNOWN => {
                let digest = entry.digest?;
                Some(ActivateError::ModuleNotFound { digest })
            }
            _ => None,
        }
    };
    match error.code() {
        NAMESPACE_MOVED => ActivateError::NamespaceMoved,
        // It was deleted at the same time.
        FOREIGN_KEY_VIOLATION if breaks(&error, ACTIVATED_MODULE) => {
            ActivateError::Store(Error::Unavailable(error))
        }
        _ => known().unwrap_or_else(|| ActivateError::Store(refused(error))),
    }
}

impl From<StatementError> for ConsumerError {
    fn from(failure: StatementError) -> Self {
        match failure {
            StatementError::Refused(error) if error.code() == CONSUMER_UNKNOWN => Self::NotFound,
            StatementError::Refused(error) if error.code() == LEASE_LOST => Self::LeaseLost,
            StatementError::Refused(error) if error.code() == NOT_PARKED => Self::NotParked,
            failure => Self::Store(failure.into()),
        }
    }
}

/// The error of a failed acknowledgement.
pub(super) fn not_acknowledged(failure: StatementError, through: Position) -> ConsumerError {
    match failure {
        StatementError::Refused(error) if error.code() == NOT_LEASED => {
            ConsumerError::NotLeased { through }
        }
        failure => failure.into(),
    }
}

fn breaks(error: &PgDatabaseError, foreign_key: &str) -> bool {
    error.code() == FOREIGN_KEY_VIOLATION && error.constraint() == Some(foreign_key)
}
