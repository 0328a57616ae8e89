//! `GET /v1/events`: the log of all streams of a namespace, a page at a time.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE, LINK};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse as _, Response};

use super::dto::{Event, LogPage, LogQuery};
use super::extract::{NamespaceHeader, Place, Query, malformed};
use super::problem::Problem;
use super::state::AppState;
use crate::core::{Position, RecordedEvent};
use crate::store::LogFilter;

const NDJSON: &str = "application/x-ndjson";

/// Reads the log
///
/// In the order of positions, from which no reader ever misses an event. As JSON, or with `Accept: application/x-ndjson` as one event a
/// line; `Link` then tells where to go on.
#[utoipa::path(
    get, path = "/v1/events", tag = "log",
    params(
        LogQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "Means the same as `after`, and wins over it."),
    ),
    responses(
        (status = 200, description = "A page of events.", headers(("Link" = String, description = "The next page, as `rel=\"next\"`.")), content(
            (LogPage = "application/json"),
            (String = "application/x-ndjson"),
        )),
    )
)]
pub(super) async fn read_log(
    State(state): State<AppState>,
    NamespaceHeader(namespace): NamespaceHeader,
    uri: Uri,
    headers: HeaderMap,
    Query(query): Query<LogQuery>,
) -> Result<Response, Problem> {
    let after = last_event_id(&headers)?
        .or(query.after)
        .unwrap_or(Position::BEGINNING);
    let limit = query.limit.get();
    let page = state
        .store
        .read_log(&namespace, after, &filter(query)?, limit)
        .await?;
    let link = [(LINK, next_link(&uri, page.next))];
    if wants_ndjson(&headers) {
        return Ok((link, [(CONTENT_TYPE, NDJSON)], lines(&page.events)?).into_response());
    }
    let body = LogPage {
        events: Event::all(&page.events),
        next: page.next.to_string(),
        caught_up: page.caught_up,
    };
    Ok((link, Json(body)).into_response())
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<Position>, Problem> {
    let Some(value) = headers
        .get("last-event-id")
        .filter(|value| !value.is_empty())
    else {
        return Ok(None);
    };
    let position = value.to_str().ok().and_then(|text| text.parse().ok());
    position
        .map(Some)
        .ok_or_else(|| malformed(Place::Header("Last-Event-ID"), "it is no position"))
}

fn filter(query: LogQuery) -> Result<LogFilter, Problem> {
    let given = |names: Vec<String>| names.into_iter().filter(|name| !name.is_empty()).collect();
    let id_pattern = query.id.filter(|pattern| !pattern.is_empty());
    let mut tokens = id_pattern
        .iter()
        .flat_map(|pattern| pattern.split('.'))
        .rev();
    tokens.next();
    if tokens.any(|token| token == ">") {
        return Err(malformed(
            Place::parameter("id"),
            "`>` stands for the rest and comes last",
        ));
    }
    Ok(LogFilter {
        deciders: given(query.decider),
        events: given(query.event),
        id_pattern,
    })
}

/// Whether NDJSON is named before JSON; whoever names neither gets JSON.
fn wants_ndjson(headers: &HeaderMap) -> bool {
    let accepted = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','));
    let essence = |range: &str| {
        range
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase()
    };
    accepted
        .map(essence)
        .find(|essence| essence == NDJSON || essence == "application/json")
        .is_some_and(|first| first == NDJSON)
}

fn lines(events: &[RecordedEvent]) -> Result<Bytes, Problem> {
    let mut lines = Vec::new();
    for event in events {
        serde_json::to_writer(&mut lines, &Event::from(event)).map_err(Problem::internal)?;
        lines.push(b'\n');
    }
    Ok(lines.into())
}

/// The same request, after `next`. Positions need no escaping.
fn next_link(uri: &Uri, next: Position) -> String {
    let rest = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("after="));
    let query: String = rest.map(|pair| format!("{pair}&")).collect();
    format!("<{}?{query}after={next}>; rel=\"next\"", uri.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ndjson(accept: &str) -> bool {
        wants_ndjson(&HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]))
    }

    #[test]
    fn ndjson_is_for_those_who_name_it_first() {
        assert!(ndjson("application/x-ndjson"));
        assert!(ndjson(
            "text/html, Application/X-NDJSON;q=0.9, application/json;q=0.1"
        ));
        for json in [
            "",
            "*/*",
            "application/json, application/x-ndjson",
            "text/html",
        ] {
            assert!(!ndjson(json), "{json}");
        }
    }

    #[test]
    fn the_rest_of_an_id_comes_last() {
        let pattern = |id: &str| {
            filter(LogQuery {
                id: Some(id.to_owned()),
                ..LogQuery::default()
            })
        };
        for accepted in ["order.*", "order.>", ">", "*.*.x", "a>b.c"] {
            assert_eq!(
                pattern(accepted).unwrap().id_pattern.as_deref(),
                Some(accepted)
            );
        }
        assert!(pattern("order.>.x").is_err());
        assert_eq!(pattern("").unwrap(), LogFilter::default());
    }

    #[test]
    fn the_link_keeps_the_filter_and_moves_on() {
        let uri = "/v1/events?decider=a&after=000&decider=b%20c"
            .parse()
            .unwrap();
        assert_eq!(
            next_link(&uri, Position::new(0, 0, 255)),
            "</v1/events?decider=a&decider=b%20c&after=002ff>; rel=\"next\""
        );
    }
}
