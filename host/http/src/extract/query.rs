//! Query strings.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde_html_form::Deserializer;

use super::pointer;
use crate::error::{Location, Problem, malformed};
use crate::state::AppState;

/// The parameters of a query. One that is unknown, repeated where it must not be, or out of range
/// is refused: a mistyped `dry_run` must not become a command.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<AppState> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Problem> {
        parse(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

fn parse<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    serde_path_to_error::deserialize(Deserializer::from_bytes(query.as_bytes())).map_err(|error| {
        let pointer = pointer(error.path());
        let name = pointer
            .trim_start_matches('/')
            .split('/')
            .next()
            .unwrap_or_default();
        let name = if name.is_empty() { "query" } else { name };
        malformed(
            Location::parameter(name.to_owned()),
            error.inner().to_string(),
        )
    })
}

#[cfg(test)]
mod tests {
    use gavel_api::{CommandQuery, LogQuery};

    use super::*;

    #[track_caller]
    fn refused<T: DeserializeOwned + std::fmt::Debug>(query: &str) -> String {
        let problem = parse::<T>(query).unwrap_err();
        problem.fact("errors")[0]["parameter"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    #[test]
    fn parameters_may_repeat_only_where_a_list_is_meant() {
        let query: LogQuery = parse("decider=a&decider=b&event=X&limit=7").unwrap();
        assert_eq!(query.decider, ["a", "b"]);
        assert_eq!(query.event, ["X"]);
        assert_eq!(refused::<LogQuery>("limit=1&limit=2"), "limit");
    }

    #[test]
    fn an_empty_position_is_none() {
        let query: LogQuery = parse("after=").unwrap();
        assert_eq!(query.after, None);
    }

    #[test]
    fn limits_out_of_range_are_refused() {
        for query in ["limit=0", "limit=1001", "limit=-1", "limit=x", "limit=1.5"] {
            assert_eq!(refused::<LogQuery>(query), "limit", "{query}");
        }
    }

    #[test]
    fn a_mistyped_parameter_is_refused() {
        assert!(parse::<CommandQuery>("dry_run=true").unwrap().dry_run);
        refused::<CommandQuery>("dryrun=true");
        assert_eq!(refused::<CommandQuery>("dry_run=yes"), "dry_run");
        assert_eq!(
            refused::<CommandQuery>("on_conflict=explode"),
            "on_conflict"
        );
    }
}
