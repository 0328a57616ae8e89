//! `/v1/deciders/{decider}/{id}` and below: states and events of streams.

pub(crate) mod import;
#[cfg(test)]
mod tests;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::ETAG;
use axum::response::{IntoResponse as _, Response};
use gavel_api::{
    Event, StateQuery, StreamEvents, StreamEventsQuery, StreamList, StreamListQuery, StreamState,
    StreamSummary, Text,
};
use gavel_engine::command::{StateAnswer, StateAt};
use gavel_model::{ActivationKey, ModuleKind, Version};
use gavel_store::{Direction, PAGE_BYTES, StreamRange};

use crate::deciders::decider_not_found;
use crate::error::{Code, Location, Problem, malformed};
use crate::extract::{
    DeciderPath, KnownModules, Preconditions, Query, StoredStreamPath, StreamPath,
};
use crate::state::AppState;

/// Shows the state of a stream
///
/// The state now or at an earlier version or time, folded by the active module or by another. A
/// client that has the state already (`If-None-Match`) gets 304, unless another module became
/// active since the stream's last event.
#[utoipa::path(
    get, path = "/v1/deciders/{decider}/{id}", tag = "streams", 
    params(
        StateQuery,
        ("If-None-Match" = Option<String>, Header, description = "ETags of states that need not be sent again."),
        ("If-Match" = Option<String>, Header, description = "ETags, one of which the state must have."),
    ),
    responses(
        (status = 200, description = "The state. `ETag` is its version, and the digest of the module if one was asked for.", body = StreamState, headers(("ETag" = String, description = "The version that the state belongs to."))),
        (status = 304, description = "The state has an `ETag` of `If-None-Match`.", headers(("ETag" = String, description = "The version that the state belongs to."))),
        (status = 404, description = "`decider-not-found`, `module-not-found`, `stream-not-found`"),
        (status = 409, description = "`module-outdated`: the module must be built with the present SDK and deployed again"),
        (status = 412, description = "`precondition-failed`: the state has no `ETag` of `If-Match`"),
        (status = 500, description = "`module-trapped`, `module-broke-contract`, with the `module`; `internal`"),
        (status = 504, description = "`module-deadline`, `module-out-of-fuel`, `module-out-of-memory`, with the `limit`"),
    )
)]
pub(crate) async fn get_stream(
    State(state): State<AppState>,
    StreamPath(stream): StreamPath,
    Query(query): Query<StateQuery>,
    known: KnownModules,
    preconditions: Preconditions,
) -> Result<Response, Problem> {
    let moment = match (query.version, query.at) {
        (None, None) => StateAt::Newest,
        (Some(version), None) => StateAt::Version(version),
        (None, Some(time)) => StateAt::Time(time),
        (Some(_), Some(_)) => {
            return Err(malformed(
                Location::parameter("at"),
                "give it or `version`, not both",
            ));
        }
    };
    let module = match query.module {
        Some(text) => Some(
            known
                .digest(&state, &text, Location::parameter("module"))
                .await?,
        ),
        None => None,
    };
    let answer = state
        .services
        .commands
        .state(&stream, moment, module)
        .await?;
    let tag = match module {
        Some(digest) => format!("{}-{digest}", answer.version),
        None => answer.version.to_string(),
    };
    let is_known = preconditions.is_known(&tag)?
        && (module.is_some() || is_all_of_its_version(&state, &answer).await?);
    let etag = [(ETAG, format!("\"{tag}\""))];
    if is_known {
        return Ok((StatusCode::NOT_MODIFIED, etag).into_response());
    }
    Ok((etag, Json(StreamState::from(&answer))).into_response())
}

/// Tells whether there was only one state of this version: no other module has become active since
/// the stream's last event.
async fn is_all_of_its_version(state: &AppState, answer: &StateAnswer) -> Result<bool, Problem> {
    let stream = &answer.stream;
    let newest = StreamRange {
        after: Version::EMPTY,
        through: Some(answer.version),
        limit: 1,
        bytes: usize::MAX,
        direction: Direction::Backward,
    };
    let events = state.services.store.read_stream(stream, newest).await?;
    let key = ActivationKey::of_stream(stream, ModuleKind::Decider);
    let active = state.services.store.active(&key).await?;
    Ok(events.first().zip(active).is_some_and(|(last, active)| {
        active.digest == Some(answer.module) && active.activated_at < last.created_at
    }))
}

/// Lists the events of a stream
///
/// The list starts with the oldest event. A page ends early when its events take up about 512 KiB;
/// one event may be larger.
#[utoipa::path(
    get, path = "/v1/deciders/{decider}/{id}/events", tag = "streams", params(StreamEventsQuery),
    responses(
        (status = 200, description = "A page of events.", body = StreamEvents),
        (status = 404, description = "`stream-not-found`"),
    )
)]
pub(crate) async fn list_stream_events(
    State(state): State<AppState>,
    StoredStreamPath(stream): StoredStreamPath,
    Query(query): Query<StreamEventsQuery>,
) -> Result<Response, Problem> {
    let range = StreamRange {
        after: query.after_version.unwrap_or(Version::EMPTY),
        through: None,
        limit: query.limit.get(),
        bytes: PAGE_BYTES,
        direction: Direction::Forward,
    };
    let read = async {
        let events = state.services.store.read_stream(&stream, range).await?;
        let newest = state.services.store.head(&stream).await?.version;
        if newest == Version::EMPTY {
            return Err(
                Problem::new(Code::StreamNotFound, "The stream has no event.")
                    .with("current_version", 0),
            );
        }
        let last = events.last().map(|event| event.version);
        let next_after_version = last.filter(|last| *last < newest).map(Version::get);
        Ok(Json(StreamEvents {
            events: Event::all(&events),
            next_after_version,
        })
        .into_response())
    };
    let throttle = state.services.modules.runtime().throttle();
    throttle.read_in_turn(range.limit, read).await
}

/// Lists the streams of a decider
///
/// The list is ordered by the bytes of the ids.
#[utoipa::path(
    get, path = "/v1/deciders/{decider}/streams", tag = "streams", params(StreamListQuery),
    responses(
        (status = 200, description = "A page of streams.", body = StreamList),
        (status = 404, description = "`decider-not-found`"),
    )
)]
pub(crate) async fn list_streams(
    State(state): State<AppState>,
    DeciderPath { namespace, decider }: DeciderPath,
    Query(query): Query<StreamListQuery>,
) -> Result<Response, Problem> {
    let after = query.after.map(Text::into_string);
    let after = after.as_deref().filter(|after| !after.is_empty());
    let limit = query.limit.get();
    let listed = state
        .services
        .store
        .list_streams(&namespace, &decider, after, limit + 1);
    let throttle = state.services.modules.runtime().throttle();
    let mut streams = throttle.read_in_turn(limit, listed).await?;
    let key = ActivationKey::of_decider(&namespace, &decider);
    if streams.is_empty() && state.services.store.active(&key).await?.is_none() {
        return Err(decider_not_found(&decider));
    }
    let has_more = streams.len() > query.limit.to_usize();
    streams.truncate(query.limit.to_usize());
    let next = streams
        .last()
        .filter(|_| has_more)
        .map(|stream| stream.id.as_str());
    Ok(Json(StreamList {
        streams: streams.iter().map(StreamSummary::from).collect(),
        next,
    })
    .into_response())
}
