//! `/v1/consumers`: named readers that share their work.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse as _, Response};
use gavel_api::{
    AckBody, Consumer, ConsumerBody, ConsumerList, ConsumerListQuery, ExtendBody, Lease, LeaseBody,
    LeaseEnd, LeaseList, NackAnswer, NackBody, Parked, ParkedList, ParkedQuery, ResetBody,
    RetriedParked,
};
use gavel_model::{ConsumerId, LeaseId, Start, StreamId};
use gavel_store::{ConsumerError, Unpark};
use uuid::Uuid;

use crate::error::{Code, Location, Problem, malformed};
use crate::extract::{
    ConsumerPath, JsonBody, NamespaceHeader, OptionalJsonBody, ParkedPath, Query,
    consumer_settings, decider_name, failure, lease_limits, position, start, stream_id,
};
use crate::guards::admit::refuse_while_draining;
use crate::state::AppState;

/// The number of events of the log after a consumer's cursor that are examined to compute its lag.
const LOOK: u32 = 100_000;
/// The same for each of many.
const LIST_LOOK: u32 = 10_000;

/// Lists consumers
///
/// A page of consumers by name, each with its progress. The lag counts events that were never
/// leased only within the next 10,000 events of the log.
#[utoipa::path(
    get, path = "/v1/consumers", tag = "consumers", params(ConsumerListQuery),
    responses((status = 200, description = "A page of consumers.", body = ConsumerList))
)]
pub(crate) async fn list_consumers(
    State(state): State<AppState>,
    NamespaceHeader(namespace): NamespaceHeader,
    Query(query): Query<ConsumerListQuery>,
) -> Result<Response, Problem> {
    let after = query.after.filter(|after| !after.is_empty());
    let after = after.map(|after| {
        let id = ConsumerId::new(namespace.clone(), after);
        id.map_err(|error| malformed(Location::parameter("after"), error.to_string()))
    });
    let after = after.transpose()?;
    let limit = query.limit.get();
    let page = state
        .services
        .consumers
        .list(&namespace, after.as_ref(), limit, LIST_LOOK)
        .await?;
    let last = page.items.last().filter(|_| page.has_more);
    Ok(Json(ConsumerList {
        next: last.map(|last| last.id.name()),
        consumers: page
            .items
            .iter()
            .map(|consumer| Consumer::new(consumer, state.services.consumers.outage(&consumer.id)))
            .collect(),
    })
    .into_response())
}

/// Shows a consumer
///
/// The consumer with its progress. The lag counts events that were never leased only within the
/// next 100,000 events of the log.
#[utoipa::path(
    get, path = "/v1/consumers/{name}", tag = "consumers",
    responses(
        (status = 200, description = "The consumer.", body = Consumer),
        (status = 404, description = "`consumer-not-found`"),
    )
)]
pub(crate) async fn get_consumer(
    State(state): State<AppState>,
    ConsumerPath(id): ConsumerPath,
) -> Result<Response, Problem> {
    show(&state, &id).await
}

/// Creates or changes a consumer
///
/// A new consumer begins at `start`. An existing one keeps its progress, whatever is changed.
#[utoipa::path(
    put, path = "/v1/consumers/{name}", tag = "consumers", request_body = ConsumerBody,
    responses(
        (status = 200, description = "Changed.", body = Consumer),
        (status = 201, description = "Created.", body = Consumer, headers(("Location" = String))),
        (status = 410, description = "`position-lost`: as for `GET /v1/events`."),
        (status = 422, description = "`receiver-not-allowed`: the URL names an address that the setting `push.allow` does not allow; `too-many-consumers`: as many are there as the setting `consumers.per_namespace` allows"),
    )
)]
pub(crate) async fn put_consumer(
    State(state): State<AppState>,
    ConsumerPath(id): ConsumerPath,
    JsonBody(mut body): JsonBody<ConsumerBody>,
) -> Result<Response, Problem> {
    let start = start(std::mem::take(&mut body.start), "/start")?;
    check_start(&state, &id, start).await?;
    let settings = consumer_settings(body)?;
    state
        .services
        .consumers
        .admit(&settings)
        .map_err(|refusal| Problem::new(Code::ReceiverNotAllowed, refusal.to_string()))?;
    let most = state.settings.consumers_per_namespace;
    if !state.services.consumers.has_room(&id, most).await? {
        let detail = format!("The namespace has {most} consumers, as many as it may.");
        return Err(Problem::new(Code::TooManyConsumers, detail).with("limit", most));
    }
    let is_new = state.services.consumers.put(&id, &settings, start).await?;
    let shown = show(&state, &id).await?;
    if is_new {
        let location = format!("/v1/consumers/{}", id.name());
        return Ok((StatusCode::CREATED, [(LOCATION, location)], shown).into_response());
    }
    Ok(shown)
}

/// Deletes a consumer
///
/// The consumer's checkpoints are deleted too, and its leases are lost.
#[utoipa::path(
    delete, path = "/v1/consumers/{name}", tag = "consumers",
    responses(
        (status = 204, description = "Deleted."),
        (status = 404, description = "`consumer-not-found`"),
    )
)]
pub(crate) async fn delete_consumer(
    State(state): State<AppState>,
    ConsumerPath(id): ConsumerPath,
) -> Result<StatusCode, Problem> {
    let deleted = state.services.consumers.delete(&id).await;
    deleted.map_err(|error| refused(&id, error))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Leases streams
///
/// Leases the next events of each stream, in their order, to one worker until it acknowledges them
/// or the lease expires. All events together take up about 512 KiB at most; a single event may be
/// larger.
#[utoipa::path(
    post, path = "/v1/consumers/{name}/leases", tag = "consumers",
    request_body(content = Option<LeaseBody>, description = "May be left out."),
    responses(
        (status = 200, description = "Leases of different streams; none when there is nothing to do.", body = LeaseList),
        (status = 404, description = "`consumer-not-found`"),
    )
)]
pub(crate) async fn lease_streams(
    State(state): State<AppState>,
    ConsumerPath(id): ConsumerPath,
    OptionalJsonBody(body): OptionalJsonBody<LeaseBody>,
) -> Result<Response, Problem> {
    lease_limits(&body)?;
    refuse_while_draining(&state)?;
    let Ok(_place) = state.subscriptions.try_acquire() else {
        let detail = "As many workers and subscriptions wait as the host takes. Try again.";
        return Err(Problem::new(Code::Overloaded, detail));
    };
    let wait = Duration::from_millis(body.wait_ms);
    let stop = state.drain.cancelled();
    let leasing =
        state
            .services
            .consumers
            .lease(&id, body.max_streams, body.max_events, wait, stop);
    let leases = leasing.await.map_err(|error| refused(&id, error))?;
    Ok(Json(LeaseList {
        leases: leases.iter().map(Lease::from).collect(),
    })
    .into_response())
}

/// Acknowledges events
///
/// Acknowledges the events up to and including the one at `through`. The lease ends, unless it is
/// to be kept and holds further events.
#[utoipa::path(
    post, path = "/v1/consumers/{name}/ack", tag = "consumers", request_body = AckBody,
    responses(
        (status = 200, description = "Done.", body = LeaseEnd),
        (status = 404, description = "`consumer-not-found`"),
        (status = 409, description = "`lease-lost`"),
    )
)]
pub(crate) async fn acknowledge(
    State(state): State<AppState>,
    ConsumerPath(id): ConsumerPath,
    JsonBody(body): JsonBody<AckBody>,
) -> Result<Response, Problem> {
    let lease = lease_id(&body.lease)?;
    let through = position(&body.through, "/through")?;
    let acknowledged = state
        .services
        .consumers
        .ack(&id, lease, through, body.keep)
        .await;
    let expires_at = acknowledged.map_err(|error| refused(&id, error))?;
    Ok(Json(LeaseEnd { expires_at }).into_response())
}

/// Reports a failure
///
/// The events of the lease are delivered again after the delay. After the last attempt, their
/// stream is parked.
#[utoipa::path(
    post, path = "/v1/consumers/{name}/nack", tag = "consumers", request_body = NackBody,
    responses(
        (status = 200, description = "What becomes of the stream.", body = NackAnswer),
        (status = 404, description = "`consumer-not-found`"),
        (status = 409, description = "`lease-lost`"),
    )
)]
pub(crate) async fn report_failure(
    State(state): State<AppState>,
    ConsumerPath(id): ConsumerPath,
    JsonBody(body): JsonBody<NackBody>,
) -> Result<Response, Problem> {
    let lease = lease_id(&body.lease)?;
    let delay = failure(body.delay_ms, &body.reason)?;
    let nacked = state
        .services
        .consumers
        .nack(&id, lease, delay, &body.reason)
        .await;
    let nacked = nacked.map_err(|error| refused(&id, error))?;
    Ok(Json(NackAnswer::from(nacked)).into_response())
}

/// Extends a lease
///
/// The lease then holds for the lock timeout from now on.
#[utoipa::path(
    post, path = "/v1/consumers/{name}/extend", tag = "consumers", request_body = ExtendBody,
    responses(
        (status = 200, description = "Extended.", body = LeaseEnd),
        (status = 404, description = "`consumer-not-found`"),
        (status = 409, description = "`lease-lost`"),
    )
)]
pub(crate) async fn extend_lease(
    State(state): State<AppState>,
    ConsumerPath(id): ConsumerPath,
    JsonBody(body): JsonBody<ExtendBody>,
) -> Result<Response, Problem> {
    let extended = state
        .services
        .consumers
        .extend(&id, lease_id(&body.lease)?)
        .await;
    let expires_at = extended.map_err(|error| refused(&id, error))?;
    Ok(Json(LeaseEnd {
        expires_at: Some(expires_at),
    })
    .into_response())
}

/// Lists parked streams
///
/// A page of the streams whose next event has failed as often as the consumer allows.
#[utoipa::path(
    get, path = "/v1/consumers/{name}/parked", tag = "consumers", params(ParkedQuery),
    responses(
        (status = 200, description = "A page of streams.", body = ParkedList),
        (status = 404, description = "`consumer-not-found`"),
    )
)]
pub(crate) async fn list_parked(
    State(state): State<AppState>,
    ConsumerPath(id): ConsumerPath,
    Query(query): Query<ParkedQuery>,
) -> Result<Response, Problem> {
    let after = query.after.map(|after| after_of(&id, &after)).transpose()?;
    let limit = query.limit;
    let found = state
        .services
        .consumers
        .list_parked(&id, after.as_ref(), limit.get() + 1);
    let mut found = found.await.map_err(|error| refused(&id, error))?;
    let is_more = found.len() > limit.to_usize();
    found.truncate(limit.to_usize());
    let last = found.last().filter(|_| is_more).map(|last| &last.stream);
    Ok(Json(ParkedList {
        next: last.map(|last| format!("{}/{}", last.decider(), last.id())),
        parked: found.iter().map(Parked::from).collect(),
    })
    .into_response())
}

/// Retries a parked stream
///
/// The stream's next event is delivered again, as if for the first time.
#[utoipa::path(
    post, path = "/v1/consumers/{name}/parked/{decider}/{id}/retry", tag = "consumers",
    responses(
        (status = 204, description = "It is delivered again."),
        (status = 404, description = "`consumer-not-found`; `stream-not-found` when it is not parked"),
    )
)]
pub(crate) async fn retry_parked(
    State(state): State<AppState>,
    ParkedPath(id, stream): ParkedPath,
) -> Result<StatusCode, Problem> {
    unpark(&state, &id, &stream, Unpark::Retry).await
}

/// Retries all parked streams
///
/// The next event of each stream is delivered again, as if for the first time. Useful after an
/// outage of a worker.
#[utoipa::path(
    post, path = "/v1/consumers/{name}/parked/retry", tag = "consumers",
    responses(
        (status = 200, description = "They are delivered again.", body = RetriedParked),
        (status = 404, description = "`consumer-not-found`"),
    )
)]
pub(crate) async fn retry_all_parked(
    State(state): State<AppState>,
    ConsumerPath(id): ConsumerPath,
) -> Result<Response, Problem> {
    let retried = state.services.consumers.retry_parked(&id).await;
    let retried = retried.map_err(|error| refused(&id, error))?;
    Ok(Json(RetriedParked { retried }).into_response())
}

/// Skips a parked event
///
/// The stream continues with the event after the one that has failed.
#[utoipa::path(
    post, path = "/v1/consumers/{name}/parked/{decider}/{id}/skip", tag = "consumers",
    responses(
        (status = 204, description = "It continues."),
        (status = 404, description = "`consumer-not-found`; `stream-not-found` when it is not parked"),
    )
)]
pub(crate) async fn skip_parked(
    State(state): State<AppState>,
    ParkedPath(id, stream): ParkedPath,
) -> Result<StatusCode, Problem> {
    unpark(&state, &id, &stream, Unpark::Skip).await
}

/// Resets a consumer
///
/// The consumer begins again at `start`. All leases are lost, and no stream is parked any more.
#[utoipa::path(
    post, path = "/v1/consumers/{name}/reset", tag = "consumers", request_body = ResetBody,
    responses(
        (status = 200, description = "The consumer.", body = Consumer),
        (status = 404, description = "`consumer-not-found`"),
        (status = 410, description = "`position-lost`: as for `GET /v1/events`."),
    )
)]
pub(crate) async fn reset_consumer(
    State(state): State<AppState>,
    ConsumerPath(id): ConsumerPath,
    JsonBody(body): JsonBody<ResetBody>,
) -> Result<Response, Problem> {
    let start = start(body.start, "/start")?;
    check_start(&state, &id, start).await?;
    let reset = state.services.consumers.reset(&id, start);
    reset.await.map_err(|error| refused(&id, error))?;
    show(&state, &id).await
}

/// Pauses a consumer
///
/// Nothing is leased until the consumer is resumed. Open leases stay valid.
#[utoipa::path(
    post, path = "/v1/consumers/{name}/pause", tag = "consumers",
    responses(
        (status = 200, description = "The consumer.", body = Consumer),
        (status = 404, description = "`consumer-not-found`"),
    )
)]
pub(crate) async fn pause_consumer(
    State(state): State<AppState>,
    ConsumerPath(id): ConsumerPath,
) -> Result<Response, Problem> {
    set_paused(&state, &id, true).await
}

/// Resumes a consumer
///
/// Streams are leased again.
#[utoipa::path(
    post, path = "/v1/consumers/{name}/resume", tag = "consumers",
    responses(
        (status = 200, description = "The consumer.", body = Consumer),
        (status = 404, description = "`consumer-not-found`"),
    )
)]
pub(crate) async fn resume_consumer(
    State(state): State<AppState>,
    ConsumerPath(id): ConsumerPath,
) -> Result<Response, Problem> {
    set_paused(&state, &id, false).await
}

/// Refuses to begin at a position that the log does not hold.
async fn check_start(state: &AppState, id: &ConsumerId, start: Start) -> Result<(), Problem> {
    if let Start::After(position) = start {
        let checked = state
            .services
            .store
            .check_position(id.namespace(), position);
        checked.await?;
    }
    Ok(())
}

async fn show(state: &AppState, id: &ConsumerId) -> Result<Response, Problem> {
    let consumer = state.services.consumers.show(id, LOOK).await;
    let consumer = consumer.map_err(|error| refused(id, error))?;
    let outage = state.services.consumers.outage(id);
    Ok(Json(Consumer::new(&consumer, outage)).into_response())
}

async fn set_paused(state: &AppState, id: &ConsumerId, paused: bool) -> Result<Response, Problem> {
    let set = state.services.consumers.pause(id, paused).await;
    set.map_err(|error| refused(id, error))?;
    show(state, id).await
}

async fn unpark(
    state: &AppState,
    id: &ConsumerId,
    stream: &StreamId,
    how: Unpark,
) -> Result<StatusCode, Problem> {
    let unparked = state.services.consumers.unpark(id, stream, how).await;
    unparked.map_err(|error| refused(id, error))?;
    Ok(StatusCode::NO_CONTENT)
}

/// A text that no lease has is one that was lost.
fn lease_id(text: &str) -> Result<LeaseId, Problem> {
    Uuid::try_parse(text).map_err(|_| Problem::from(ConsumerError::LeaseLost))
}

fn after_of(id: &ConsumerId, text: &str) -> Result<StreamId, Problem> {
    let place = || Location::parameter("after");
    let (decider, stream) = text
        .split_once('/')
        .ok_or_else(|| malformed(place(), "pass the `next` of the page before"))?;
    let decider = decider_name(decider, place)?;
    stream_id(id.namespace().clone(), decider, stream, place)
}

fn refused(id: &ConsumerId, error: ConsumerError) -> Problem {
    Problem::from(error).with("consumer", id.name())
}
