//! The codes that clients match, each with its status.

use axum::http::StatusCode;
use gavel_model::ModuleKind;

/// A kind of problem, for programs; stable, unlike the sentence for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the title of each says it, one line below")]
pub enum Code {
    MalformedRequest,
    InvalidNamespace,
    Unauthenticated,
    Forbidden,
    NotFound,
    DeciderNotFound,
    ModuleNotFound,
    StreamNotFound,
    CommandUnknown,
    ConsumerNotFound,
    RehearsalNotFound,
    EventNotFound,
    ViewNotFound,
    RowNotFound,
    CommandNotFound,
    MethodNotAllowed,
    RequestTimeout,
    VersionConflict,
    StreamFinal,
    DuplicateEventId,
    PreconditionFailed,
    ModuleInUse,
    LeaseLost,
    PositionLost,
    ModuleOutdated,
    NameTaken,
    NothingToRollBackTo,
    ActivationContended,
    ViewPaused,
    TooLarge,
    UnsupportedMediaType,
    CommandRejected,
    InvalidCommandData,
    InvalidModule,
    GateRefused,
    IdempotencyKeyReused,
    EventUnregistered,
    ReceiverNotAllowed,
    TooManyConsumers,
    IndexMissing,
    SourcesMissing,
    HistoryTooLong,
    ModuleTrapped,
    ModuleBrokeContract,
    Internal,
    StoreUnavailable,
    OutcomeUnknown,
    ViewBehind,
    RowParked,
    Overloaded,
    Starting,
    Draining,
    ModuleDeadline,
    ModuleOutOfFuel,
    ModuleOutOfMemory,
}

impl Code {
    /// The code of a name under which no module of this kind is active.
    pub(crate) fn not_active(kind: ModuleKind) -> Self {
        match kind {
            ModuleKind::Decider => Self::DeciderNotFound,
            ModuleKind::View => Self::ViewNotFound,
            ModuleKind::Process => Self::NotFound,
        }
    }

    /// The code as clients see it, its status, and its title.
    fn row(self) -> (&'static str, StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::MalformedRequest => (
                "malformed-request",
                S::BAD_REQUEST,
                "The request is malformed",
            ),
            Self::InvalidNamespace => (
                "invalid-namespace",
                S::BAD_REQUEST,
                "The namespace is malformed",
            ),
            Self::Unauthenticated => (
                "unauthenticated",
                S::UNAUTHORIZED,
                "No valid credential was given",
            ),
            Self::Forbidden => ("forbidden", S::FORBIDDEN, "The request is not allowed"),
            Self::NotFound => ("not-found", S::NOT_FOUND, "There is no such resource"),
            Self::DeciderNotFound => (
                "decider-not-found",
                S::NOT_FOUND,
                "The decider has no active module",
            ),
            Self::ModuleNotFound => ("module-not-found", S::NOT_FOUND, "There is no such module"),
            Self::StreamNotFound => (
                "stream-not-found",
                S::NOT_FOUND,
                "The stream has no event at that point",
            ),
            Self::CommandUnknown => (
                "command-unknown",
                S::NOT_FOUND,
                "The decider has no such command",
            ),
            Self::ConsumerNotFound => (
                "consumer-not-found",
                S::NOT_FOUND,
                "There is no such consumer",
            ),
            Self::RehearsalNotFound => (
                "rehearsal-not-found",
                S::NOT_FOUND,
                "There is no such rehearsal",
            ),
            Self::ViewNotFound => (
                "view-not-found",
                S::NOT_FOUND,
                "The view has no active module",
            ),
            Self::RowNotFound => ("row-not-found", S::NOT_FOUND, "There is no such row"),
            Self::EventNotFound => ("event-not-found", S::NOT_FOUND, "There is no such event"),
            Self::CommandNotFound => (
                "command-not-found",
                S::NOT_FOUND,
                "There is no such command on record",
            ),
            Self::MethodNotAllowed => (
                "method-not-allowed",
                S::METHOD_NOT_ALLOWED,
                "The resource has no such method",
            ),
            Self::RequestTimeout => (
                "request-timeout",
                S::REQUEST_TIMEOUT,
                "The request took too long to arrive",
            ),
            Self::VersionConflict => (
                "version-conflict",
                S::CONFLICT,
                "The stream is not at the expected version",
            ),
            Self::StreamFinal => ("stream-final", S::CONFLICT, "The stream has ended"),
            Self::DuplicateEventId => (
                "duplicate-event-id",
                S::CONFLICT,
                "The event id is already in use",
            ),
            Self::PreconditionFailed => (
                "precondition-failed",
                S::PRECONDITION_FAILED,
                "A precondition of the request does not hold",
            ),
            Self::LeaseLost => ("lease-lost", S::CONFLICT, "The lease is lost"),
            Self::PositionLost => (
                "position-lost",
                S::GONE,
                "The log does not hold the position",
            ),
            Self::ModuleInUse => ("module-in-use", S::CONFLICT, "The module is or was active"),
            Self::ModuleOutdated => (
                "module-outdated",
                S::CONFLICT,
                "The module was built for another contract",
            ),
            Self::NameTaken => (
                "name-taken",
                S::CONFLICT,
                "The name belongs to another kind of module",
            ),
            Self::NothingToRollBackTo => (
                "nothing-to-roll-back-to",
                S::CONFLICT,
                "The decider has no former module",
            ),
            Self::ActivationContended => ("activation-contended", S::CONFLICT, "Others came first"),
            Self::ViewPaused => ("view-paused", S::CONFLICT, "The view is paused"),
            Self::TooLarge => (
                "too-large",
                S::PAYLOAD_TOO_LARGE,
                "The request is too large",
            ),
            Self::UnsupportedMediaType => (
                "unsupported-media-type",
                S::UNSUPPORTED_MEDIA_TYPE,
                "The content type is not the expected one",
            ),
            Self::CommandRejected => (
                "command-rejected",
                S::UNPROCESSABLE_ENTITY,
                "The decider rejected the command",
            ),
            Self::InvalidCommandData => (
                "invalid-command-data",
                S::UNPROCESSABLE_ENTITY,
                "The data of the command breaks its schema",
            ),
            Self::InvalidModule => (
                "invalid-module",
                S::UNPROCESSABLE_ENTITY,
                "The module is invalid",
            ),
            Self::GateRefused => (
                "gate-refused",
                S::UNPROCESSABLE_ENTITY,
                "The gate refuses the module",
            ),
            Self::IdempotencyKeyReused => (
                "idempotency-key-reused",
                S::UNPROCESSABLE_ENTITY,
                "The key was used for another command",
            ),
            Self::EventUnregistered => (
                "event-unregistered",
                S::UNPROCESSABLE_ENTITY,
                "The decider has not registered the event",
            ),
            Self::ReceiverNotAllowed => (
                "receiver-not-allowed",
                S::UNPROCESSABLE_ENTITY,
                "The host may not push to the receiver",
            ),
            Self::TooManyConsumers => (
                "too-many-consumers",
                S::UNPROCESSABLE_ENTITY,
                "The namespace has as many consumers as it may",
            ),
            Self::IndexMissing => (
                "index-missing",
                S::UNPROCESSABLE_ENTITY,
                "No index of the view answers the question",
            ),
            Self::SourcesMissing => (
                "sources-missing",
                S::UNPROCESSABLE_ENTITY,
                "The module does not say which events a row follows from",
            ),
            Self::HistoryTooLong => (
                "history-too-long",
                S::UNPROCESSABLE_ENTITY,
                "The row follows from more events than one answer reads",
            ),
            Self::ModuleTrapped => (
                "module-trapped",
                S::INTERNAL_SERVER_ERROR,
                "The module trapped",
            ),
            Self::ModuleBrokeContract => (
                "module-broke-contract",
                S::INTERNAL_SERVER_ERROR,
                "The module broke its contract",
            ),
            Self::Internal => (
                "internal",
                S::INTERNAL_SERVER_ERROR,
                "Something went wrong in the host",
            ),
            Self::StoreUnavailable => (
                "store-unavailable",
                S::SERVICE_UNAVAILABLE,
                "The store did not answer; nothing was written",
            ),
            Self::OutcomeUnknown => (
                "outcome-unknown",
                S::SERVICE_UNAVAILABLE,
                "It is not known whether the command was carried out",
            ),
            Self::ViewBehind => (
                "view-behind",
                S::SERVICE_UNAVAILABLE,
                "The view has not come that far yet",
            ),
            Self::RowParked => (
                "row-parked",
                S::SERVICE_UNAVAILABLE,
                "The row waits at an event that it cannot fold",
            ),
            Self::Overloaded => (
                "overloaded",
                S::SERVICE_UNAVAILABLE,
                "The host has more work than it can take",
            ),
            Self::Starting => (
                "starting",
                S::SERVICE_UNAVAILABLE,
                "The host is not ready yet",
            ),
            Self::Draining => (
                "draining",
                S::SERVICE_UNAVAILABLE,
                "The host is shutting down",
            ),
            Self::ModuleDeadline => (
                "module-deadline",
                S::GATEWAY_TIMEOUT,
                "The module took too long",
            ),
            Self::ModuleOutOfFuel => (
                "module-out-of-fuel",
                S::GATEWAY_TIMEOUT,
                "The module used up its fuel",
            ),
            Self::ModuleOutOfMemory => (
                "module-out-of-memory",
                S::GATEWAY_TIMEOUT,
                "The module used up its memory",
            ),
        }
    }

    /// The code as clients see it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The status that goes with it, always the same.
    #[must_use]
    pub fn status(self) -> StatusCode {
        self.row().1
    }

    /// One sentence about all problems with this code.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.row().2
    }
}
