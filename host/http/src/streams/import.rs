//! `POST …/events`: appending without a decider, for importers.

use axum::Json;
use axum::extract::State;
use axum::http::header::ETAG;
use axum::response::{IntoResponse as _, Response};
use gavel_api::{Event, ImportAnswer, ImportBody, ImportItem};
use gavel_engine::command::ImportedEvent;
use gavel_model::{ExpectedVersion, check_tags};

use crate::error::{Location, Problem, malformed};
use crate::extract::{
    IdempotencyKey, JsonBody, Preconditions, Sender, StreamPath, chosen, metadata,
};
use crate::state::AppState;

/// Appends events without a decider
///
/// All events are appended, or none. The events have to be registered, which the activation of a
/// module that declares them does, and the name must not belong to a module of another kind.
#[utoipa::path(
    post, path = "/v1/deciders/{decider}/{id}/events", tag = "streams", request_body = ImportBody,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "Becomes the `command_id` of the events.", pattern = "^[!-~]{1,255}$", min_length = 1, max_length = 255),
        ("If-Match" = Option<String>, Header, description = "The version that the stream must be at, as a strong ETag; `*`: it must have events.", pattern = "^(\\*|\"(0|[1-9][0-9]{0,17})\")$"),
        ("If-None-Match" = Option<String>, Header, description = "`*`: the stream must be new.", pattern = "^\\*$"),
        ("traceparent" = Option<String>, Header, description = "W3C trace context, stored with the events."),
    ),
    responses(
        (status = 200, description = "Stored. `ETag` is the version of the stream.", body = ImportAnswer, headers(("ETag" = String, description = "The version of the stream."))),
        (status = 409, description = "`version-conflict`, `stream-final`, `duplicate-event-id`; `name-taken` when the name belongs to a module of another kind"),
        (status = 412, description = "`precondition-failed`: `If-Match` names no version, or is `*` and the stream has no event"),
        (status = 422, description = "`event-unregistered`"),
    )
)]
pub(crate) async fn append_events(
    State(state): State<AppState>,
    StreamPath(stream): StreamPath,
    preconditions: Preconditions,
    key: IdempotencyKey,
    Sender(origin): Sender,
    JsonBody(body): JsonBody<ImportBody>,
) -> Result<Response, Problem> {
    let expected = preconditions
        .expected(&state, &stream, body.expected_version)
        .await?;
    if expected == ExpectedVersion::Any {
        return Err(malformed(
            Location::pointer("/expected_version"),
            "an import has to say after which version it continues",
        ));
    }
    if body.events.is_empty() {
        return Err(malformed(
            Location::pointer("/events"),
            "there has to be one at least",
        ));
    }
    let events = body
        .events
        .into_iter()
        .enumerate()
        .map(to_imported)
        .collect::<Result<_, _>>()?;
    let (command_id, appended) = state
        .services
        .commands
        .import(&stream, expected, events, key.with(None)?, &origin)
        .await?;
    let answer = ImportAnswer {
        command_id,
        decider: stream.decider().as_str(),
        id: stream.id(),
        version: appended.version.get(),
        events: Event::all(&appended.events),
    };
    Ok(([(ETAG, format!("\"{}\"", appended.version))], Json(answer)).into_response())
}

fn to_imported((index, item): (usize, ImportItem)) -> Result<ImportedEvent, Problem> {
    let place = |member: &str| Location::pointer(format!("/events/{index}/{member}"));
    if item.schema_version == 0 {
        return Err(malformed(place("schema_version"), "the first is 1"));
    }
    if item.event.is_empty() || item.event.contains('\0') {
        return Err(malformed(
            place("event"),
            "it is empty or holds the character U+0000",
        ));
    }
    check_tags(&item.tags)
        .map_err(|error| malformed(place(&format!("tags/{}", error.index())), error.to_string()))?;
    Ok(ImportedEvent {
        event: item.event,
        event_id: chosen(item.event_id, || place("event_id"))?,
        schema_version: item.schema_version,
        data: item.data,
        is_final: item.is_final,
        tags: item.tags,
        metadata: metadata(item.metadata, || place("metadata"))?,
    })
}
