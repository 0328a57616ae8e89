//! `POST …/commands`: one command for one stream.

mod awaited;
pub(crate) mod batch;
#[cfg(test)]
mod tests;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_TYPE, ETAG};
use axum::response::Response;
use gavel_api::{CommandAnswer, CommandBody, CommandQuery};
use gavel_engine::command::{self, CommandOptions, CommandRequest, Origin};
use serde::Serialize;

use self::awaited::AwaitedViews;
use crate::error::{Location, Problem};
use crate::extract::{
    IdempotencyKey, JsonBody, Preconditions, Query, Sender, StreamPath, metadata,
};
use crate::guards::admit::Admission;
use crate::state::AppState;

/// Sends one command
///
/// The decider decides on the newest state of the stream. The outcome is stored before it is
/// answered.
///
/// With `await`, the answer waits until the rows of these views show the events, for at most
/// `views.wait_ms`. A view that does not exist is refused before anything is decided.
#[utoipa::path(
    post, path = "/v1/deciders/{decider}/{id}/commands", tag = "commands", request_body = CommandBody,
    params(
        CommandQuery,
        ("Idempotency-Key" = Option<String>, Header, description = "Repeats get the first outcome. A UUID is the command id as it is.", pattern = "^[!-~]{1,255}$", min_length = 1, max_length = 255),
        ("If-Match" = Option<String>, Header, description = "The version that the stream must be at, as a strong ETag; `*`: it must have events.", pattern = "^(\\*|\"(0|[1-9][0-9]{0,17})\")$"),
        ("If-None-Match" = Option<String>, Header, description = "`*`: the stream must be new.", pattern = "^\\*$"),
        ("traceparent" = Option<String>, Header, description = "W3C trace context, stored with the events."),
    ),
    responses(
        (status = 200, description = "Decided and stored. `ETag` is the version of the stream.", body = CommandAnswer, headers(("ETag" = String, description = "The version of the stream; absent in a dry run."))),
        (status = 404, description = "`decider-not-found`, `command-unknown`; with `await` also `view-not-found`"),
        (status = 409, description = "`version-conflict`, `stream-final`, `module-outdated`"),
        (status = 412, description = "`precondition-failed`: `If-Match` names no version, or is `*` and the stream has no event"),
        (status = 422, description = "`command-rejected`, `invalid-command-data`, `idempotency-key-reused`"),
        (status = 500, description = "`module-trapped`, `module-broke-contract`, with the `module`; `internal`"),
        (status = 504, description = "`module-deadline`, `module-out-of-fuel`, `module-out-of-memory`, with the `limit`"),
    )
)]
#[expect(
    clippy::too_many_arguments,
    reason = "extractors, each a part of the request"
)]
pub(crate) async fn send_command(
    State(state): State<AppState>,
    StreamPath(stream): StreamPath,
    Query(query): Query<CommandQuery>,
    preconditions: Preconditions,
    key: IdempotencyKey,
    Sender(origin): Sender,
    Extension(admission): Extension<Admission>,
    JsonBody(body): JsonBody<CommandBody>,
) -> Result<Response, Problem> {
    let (namespace, names) = (stream.namespace(), query.awaited.as_deref());
    let awaited = AwaitedViews::take(&state, namespace, names, query.dry_run).await?;
    let expected = preconditions
        .expected(&state, &stream, body.expected_version)
        .await?;
    let request = CommandRequest {
        stream,
        command: body.command,
        data: body.data,
        metadata: metadata(body.metadata, || Location::pointer("/metadata"))?,
        command_id: key.with(body.command_id)?,
        expected,
    };
    let options = CommandOptions::from(query);
    let answer = execute(&state, request, &origin, options).await?;
    let events: Vec<_> = answer.events.iter().collect();
    let mut shown = CommandAnswer::from(&answer);
    shown.behind = awaited.wait(&state, &admission, &events).await;
    let mut response = json(&shown, answer.size_bytes())?;
    // The version of a dry run is one that the stream does not have.
    if !options.dry_run {
        let etag = HeaderValue::try_from(format!("\"{}\"", answer.version));
        let etag = etag.map_err(Problem::internal)?;
        response.headers_mut().insert(ETAG, etag);
    }
    Ok(response)
}

/// An answer as JSON, written once. `bytes` is the size of what it shows.
pub(crate) fn json(answer: &impl Serialize, bytes: usize) -> Result<Response, Problem> {
    let mut text = Vec::with_capacity(bytes);
    serde_json::to_writer(&mut text, answer).map_err(Problem::internal)?;
    let mut response = Response::new(Body::from(text));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
}

/// Carries out one command, and counts it.
pub(crate) async fn execute(
    state: &AppState,
    request: CommandRequest,
    origin: &Origin,
    options: CommandOptions,
) -> Result<command::CommandAnswer, command::Error> {
    let decider = request.stream.decider().clone();
    let outcome = state
        .services
        .commands
        .execute(request, origin, options)
        .await;
    let metrics = &state.command_metrics;
    metrics.count(&decider, options, outcome.as_ref());
    outcome
}
