//! `GET /v1/events`: the log of all streams of a namespace, a page at a time or as it grows.

pub(crate) mod follow;

use axum::Json;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE, LINK};
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse as _, Response};
use gavel_api::{Event, Limit, LogPage, LogQuery, MalformedEvent};
use gavel_engine::streaming::Malformed;
use gavel_model::{self as model, EventFilter, Position};
use gavel_store::{self as store, LogFilter};

use self::follow::{Format, write_line};
use crate::error::{Code, Location, Problem, malformed};
use crate::extract::{NamespaceHeader, Query};
use crate::state::AppState;

/// Reads the log, or follows it
///
/// Events come in the order of positions, in which no reader ever misses an event. A page ends
/// early when its events take up about 512 KiB; one event may be larger. It ends before an event
/// that cannot be read; a page that would begin with such an event is answered with `internal`, and
/// `malformed` holds the position of the event.
///
/// As JSON, or with `Accept: application/x-ndjson` as one event a line, the answer is a page, and
/// `Link` is the address of the next one. With `follow=true` the lines do not end with the page:
/// they are all events stored after `after`, then events as they are appended. An empty line is a
/// sign of life; `{"malformed": …}` is a stored event that cannot be read.
///
/// With `Accept: text/event-stream`, the answer is the same events as server-sent events: `id` is
/// the position, `event` the event's name, `data` the event. An event that is called `caught-up`,
/// `malformed`, `open` or `error` comes without a name, as a `message`, for these names have a
/// meaning of their own. `caught-up` means that the end of the log was reached, `malformed` that a
/// stored event cannot be read. There is a comment at least every 15 seconds. A client that
/// connects again sends the last `id` as `Last-Event-ID`, and misses nothing; a client that takes
/// nothing for longer than the host's write deadline is cut off.
#[utoipa::path(
    get, path = "/v1/events", tag = "log",
    params(
        LogQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "Means the same as `after`, and wins over it."),
    ),
    responses(
        (status = 200, description = "A page of events, or all of them without an end.", headers(("Link" = String, description = "The next page, as `rel=\"next\"`.")), content(
            (LogPage = "application/json"),
            (String = "application/x-ndjson"),
            (String = "text/event-stream"),
        )),
        (status = 410, description = "`position-lost`: the store was restored to an earlier state. All events after `end` are new to this reader."),
    )
)]
pub(crate) async fn read_log(
    State(state): State<AppState>,
    NamespaceHeader(namespace): NamespaceHeader,
    uri: Uri,
    headers: HeaderMap,
    Query(query): Query<LogQuery>,
) -> Result<Response, Problem> {
    let after = last_event_id(&headers)?
        .or(query.after)
        .unwrap_or(Position::BEGINNING);
    let (format, is_followed, limit) = (format(&headers), query.follow, query.limit);
    let filter = filter(query)?;
    state
        .services
        .store
        .check_position(&namespace, after)
        .await?;
    match format {
        Some(format) if is_followed || format == Format::ServerSentEvents => {
            let place = follow::SubscriptionPermit::take(&state.subscriptions, format)?;
            // While the store is away, a new reader gets an error rather than silence.
            state.services.store.ping().await?;
            let subscription = state.services.log.subscribe(namespace, filter, after);
            let limit = limit.map(Limit::to_usize);
            return Ok(follow::answer(&state, place, subscription, limit));
        }
        None if is_followed => {
            return Err(malformed(
                Location::parameter("follow"),
                "a JSON document has an end: accept `application/x-ndjson` or `text/event-stream`",
            ));
        }
        Some(_) | None => {}
    }
    let limit = limit.unwrap_or_default().get();
    let read = async {
        let page = state
            .services
            .store
            .read_log(&namespace, after, &filter, limit);
        let page = page.await.map_err(unreadable)?;
        Ok(page_response(&uri, format, &page))
    };
    let throttle = state.services.modules.runtime().throttle();
    throttle.read_in_turn(limit, read).await
}

/// A page as JSON, or as lines.
fn page_response(uri: &Uri, format: Option<Format>, page: &store::LogPage) -> Response {
    let link = [(LINK, next_link(uri, page.next))];
    if format.is_some() {
        let mut lines = Vec::new();
        for event in &page.events {
            write_line(&mut lines, &Event::from(event));
        }
        let media_type = [(CONTENT_TYPE, Format::Lines.media_type())];
        return (link, media_type, lines).into_response();
    }
    let body = LogPage {
        events: Event::all(&page.events),
        next: page.next.to_string(),
        caught_up: page.caught_up && !page.is_withheld,
    };
    (link, Json(body)).into_response()
}

/// Names the unreadable event that a page begins with, so that a reader can resume after it.
fn unreadable(error: store::Error) -> Problem {
    let store::Error::Malformed {
        stream,
        position,
        reason,
        raw,
    } = error
    else {
        return error.into();
    };
    let detail = format!(
        "The event at {position} cannot be read: {reason}. Those behind it are read with `after={position}`."
    );
    let malformed = Malformed {
        stream,
        position,
        reason,
        raw,
    };
    Problem::new(Code::Internal, detail.clone())
        .with("malformed", MalformedEvent::from(&malformed))
        .caused_by(detail)
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
        .ok_or_else(|| malformed(Location::Header("Last-Event-ID"), "it is no position"))
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
            Location::parameter("id"),
            "`>` stands for the rest and comes last",
        ));
    }
    let tags: Vec<String> = given(query.tag);
    if tags.len() > model::Event::MOST_TAGS {
        let most = model::Event::MOST_TAGS;
        let rule = format!("no event has more than {most} tags");
        return Err(malformed(Location::parameter("tag"), rule));
    }
    Ok(LogFilter {
        events: EventFilter {
            deciders: given(query.decider),
            events: given(query.event),
            tags,
        },
        id_pattern,
    })
}

/// The first format other than JSON in `Accept`; none if JSON comes first, or no known format is
/// named.
pub(crate) fn format(headers: &HeaderMap) -> Option<Format> {
    let accepted = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','));
    let known = |range: &str| {
        let essence = range.split(';').next().unwrap_or_default().trim();
        let is = |media_type: &str| essence.eq_ignore_ascii_case(media_type);
        let other = [Format::ServerSentEvents, Format::Lines];
        let other = other.into_iter().find(|format| is(format.media_type()));
        (other.is_some() || is("application/json")).then_some(other)
    };
    accepted.filter_map(known).next().flatten()
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

    fn named(accept: &str) -> Option<Format> {
        format(&HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]))
    }

    #[test]
    fn the_format_is_the_first_that_is_named() {
        for (accept, expected) in [
            ("application/x-ndjson", Some(Format::Lines)),
            (
                "text/html, Application/X-NDJSON;q=0.9, application/json;q=0.1",
                Some(Format::Lines),
            ),
            ("text/event-stream", Some(Format::ServerSentEvents)),
            (
                "text/event-stream, application/x-ndjson",
                Some(Format::ServerSentEvents),
            ),
            (
                "application/x-ndjson,text/event-stream",
                Some(Format::Lines),
            ),
            ("application/json, application/x-ndjson", None),
            ("application/json, text/event-stream", None),
            ("", None),
            ("*/*", None),
            ("text/html", None),
        ] {
            assert_eq!(named(accept), expected, "{accept}");
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
