//! Errors about views and their rows.

use gavel_engine::views::{
    AfterError, FeedError, FindError, HistoryError, Misquery, ReadError, RetryError,
};

use super::{Code, Location, Problem, malformed, of_fault};

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        use ReadError as E;
        match error {
            E::NotFound { view } => Self::new(
                Code::ViewNotFound,
                format!(
                    "The view `{}` has no active module in this namespace.",
                    view.name()
                ),
            )
            .with("view", view.name().as_str()),
            E::Building { view } => Self::new(
                Code::ViewBehind,
                format!(
                    "The rows of view `{}` are being built anew. Try again.",
                    view.name()
                ),
            )
            .with("view", view.name().as_str()),
            E::Store(error) => error.into(),
        }
    }
}

impl From<AfterError> for Problem {
    fn from(error: AfterError) -> Self {
        match error {
            AfterError::Read(error) => error.into(),
            AfterError::Behind {
                view,
                position,
                wanted,
                is_paused,
            } => {
                let name = view.name();
                let detail = match is_paused {
                    false => {
                        format!("The view `{name}` has not come to that position yet. Try again.")
                    }
                    true => {
                        format!("The view `{name}` has not come to that position, and is paused.")
                    }
                };
                Self::new(Code::ViewBehind, detail)
                    .with("view", name.as_str())
                    .with("position", position.to_string())
                    .with("wanted", wanted.to_string())
                    .with("paused", is_paused)
            }
        }
    }
}

impl From<FeedError> for Problem {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::Find(error) => error.into(),
            FeedError::Module(error) => error.into(),
        }
    }
}

impl From<FindError> for Problem {
    fn from(error: FindError) -> Self {
        let problem = |error: &Misquery| Self::new(Code::IndexMissing, format!("{error}."));
        match error {
            FindError::Read(error) => error.into(),
            FindError::Place => malformed(
                Location::parameter("_after"),
                "it is not the `next` of a page of this query",
            ),
            FindError::Query(error) => match &error {
                Misquery::NoIndex { indexes } => problem(&error).with("indexes", indexes),
                Misquery::NoColumn { field } => problem(&error).with("field", field),
                Misquery::Unfit { field, .. } | Misquery::Repeated { field } => {
                    malformed(Location::parameter(field.clone()), error.to_string())
                }
            },
        }
    }
}

impl From<RetryError> for Problem {
    fn from(error: RetryError) -> Self {
        match error {
            RetryError::NotParked { key, .. } => {
                Self::new(Code::RowNotFound, format!("The row `{key}` is not parked."))
            }
            RetryError::Read(error) => error.into(),
            RetryError::Module(error) => error.into(),
            RetryError::NotRun(error) => error.into(),
            error @ RetryError::Contended => {
                Self::new(Code::Overloaded, format!("{error}. Try again."))
            }
        }
    }
}

impl From<HistoryError> for Problem {
    fn from(error: HistoryError) -> Self {
        match error {
            HistoryError::Read(error) => error.into(),
            HistoryError::Module(error) => error.into(),
            HistoryError::NotRun(error) => error.into(),
            HistoryError::SourcesMissing { module } => Self::new(
                Code::SourcesMissing,
                "The module has no `sources`: it does not say which events a row follows from.",
            )
            .with("module", module.to_string()),
            HistoryError::Sources { module, fault, .. } => of_fault(module, fault),
            HistoryError::TooLong { key, limit } => Self::new(
                Code::HistoryTooLong,
                format!(
                    "The row `{key}` follows from more events than one answer reads: {limit} (the setting `views.history_events`)."
                ),
            )
            .with("limit", limit),
        }
    }
}
