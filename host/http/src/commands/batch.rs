//! `POST /v1/commands`: several commands, together or each on its own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::{Extension, State};
use axum::response::Response;
use futures::stream::{self, StreamExt as _};
use gavel_api::{BatchAnswer, BatchBody, BatchItem, CommandQuery, CommandResult};
use gavel_engine::command::{
    self, BatchError, CommandAnswer, CommandOptions, CommandRequest, Origin,
};
use gavel_model::{Namespace, StreamId};

use super::awaited::AwaitedViews;
use crate::answer::report;
use crate::commands::{execute, json};
use crate::error::{Location, Problem, malformed};
use crate::extract::{
    IdempotencyKey, JsonBody, NamespaceHeader, Preconditions, Query, Sender, chosen, decider_name,
    expected, metadata, stream_id,
};
use crate::guards::admit::Admission;
use crate::request_id::RequestId;
use crate::state::AppState;

/// The most commands in a batch (inclusive).
pub(crate) const BATCH_LIMIT: usize = 1000;
/// The number of streams of a batch that are processed at one time: enough to share commits, and so
/// few that their answers, each within the limits of the sandbox, add little to
/// `commands.batch_bytes`.
const STREAMS_AT_ONCE: usize = 64;
const ROUTE: &str = "/v1/commands";

/// Sends several commands
///
/// With `atomic`, all commands are carried out or none. Otherwise each command has its own outcome:
/// an answer or a problem. Once the answers take up `commands.batch_bytes`, commands that have not
/// begun are not carried out, and are answered with `too-large`. With `await`, the answer waits
/// once for the events of all commands.
#[utoipa::path(
    post, path = "/v1/commands", tag = "commands", request_body = BatchBody,
    params(
        CommandQuery,
        ("Idempotency-Key" = Option<String>, Header, description = "Gives each command without a `command_id` one of its own, by its place.", pattern = "^[!-~]{1,255}$", min_length = 1, max_length = 255),
        ("traceparent" = Option<String>, Header, description = "W3C trace context, stored with the events."),
    ),
    responses(
        (status = 200, description = "The outcome of each command, in order.", body = BatchAnswer),
        (status = 404, description = "Atomic: `decider-not-found`, `command-unknown`, with the `command_index`; with `await` also `view-not-found`"),
        (status = 409, description = "Atomic: `version-conflict`, `stream-final`, `module-outdated`, with the `command_index`"),
        (status = 422, description = "Atomic: `command-rejected`, `invalid-command-data`, `idempotency-key-reused`, with the `command_index`"),
        (status = 500, description = "Atomic: `module-trapped`, `module-broke-contract`, with the `command_index`; `internal`"),
        (status = 504, description = "Atomic: `module-deadline`, `module-out-of-fuel`, `module-out-of-memory`, with the `command_index`"),
    )
)]
#[expect(
    clippy::too_many_arguments,
    reason = "extractors, each a part of the request"
)]
pub(crate) async fn send_commands(
    State(state): State<AppState>,
    NamespaceHeader(namespace): NamespaceHeader,
    Query(query): Query<CommandQuery>,
    preconditions: Preconditions,
    key: IdempotencyKey,
    Sender(origin): Sender,
    Extension(id): Extension<RequestId>,
    Extension(admission): Extension<Admission>,
    JsonBody(body): JsonBody<BatchBody>,
) -> Result<Response, Problem> {
    preconditions.refuse("each command of a batch has its own `expected_version`")?;
    let names = query.awaited.as_deref();
    let awaited = AwaitedViews::take(&state, &namespace, names, query.dry_run).await?;
    let (atomic, requests) = (body.atomic, to_requests(&namespace, body.commands, &key)?);
    let outcomes = if atomic {
        execute_atomic(&state, requests, &origin, query.into())
            .await?
            .into_iter()
            .map(Ok)
            .collect()
    } else {
        execute_each(&state, requests, &origin, query.into()).await
    };
    let answers = outcomes.iter().flatten();
    let events: Vec<_> = answers.flat_map(|answer| &answer.events).collect();
    let behind = awaited.wait(&state, &admission, &events).await;
    let results = outcomes.iter().map(|outcome| match outcome {
        Ok(answer) => CommandResult::Answer(answer.into()),
        Err(problem) => {
            report(problem, &id, ROUTE);
            CommandResult::Problem(problem.body(&id))
        }
    });
    let answer = BatchAnswer {
        results: results.collect(),
        behind,
    };
    let bytes = outcomes.iter().map(|outcome| match outcome {
        Ok(answer) => answer.size_bytes(),
        Err(_) => 0,
    });
    json(&answer, bytes.sum())
}

fn to_requests(
    namespace: &Namespace,
    items: Vec<BatchItem>,
    key: &IdempotencyKey,
) -> Result<Vec<CommandRequest>, Problem> {
    if items.len() > BATCH_LIMIT {
        return Err(malformed(
            Location::pointer("/commands"),
            format!("a batch may have {BATCH_LIMIT} commands"),
        ));
    }
    let to_request = |(index, item): (usize, BatchItem)| {
        let place = |member: &str| Location::pointer(format!("/commands/{index}/{member}"));
        let decider = decider_name(&item.decider, || place("decider"))?;
        let command_id = chosen(item.command_id, || place("command_id"))?;
        Ok(CommandRequest {
            stream: stream_id(namespace.clone(), decider, &item.id, || place("id"))?,
            command: item.command,
            data: item.data,
            metadata: metadata(item.metadata, || place("metadata"))?,
            command_id: command_id.or_else(|| key.of_batch(index)),
            expected: expected(item.expected_version),
        })
    };
    items.into_iter().enumerate().map(to_request).collect()
}

async fn execute_atomic(
    state: &AppState,
    requests: Vec<CommandRequest>,
    origin: &Origin,
    options: CommandOptions,
) -> Result<Vec<CommandAnswer>, BatchError> {
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    let deciders: Vec<_> = requests
        .iter()
        .map(|request| request.stream.decider().clone())
        .collect();
    let outcome = state
        .services
        .commands
        .execute_atomic(requests, origin, options)
        .await;
    let metrics = &state.command_metrics;
    match &outcome {
        Ok(answers) => {
            answers
                .iter()
                .for_each(|answer| metrics.count(answer.stream.decider(), options, Ok(answer)));
        }
        Err(refused) => {
            if let Some(decider) = deciders.get(refused.index) {
                metrics.count(decider, options, Err(&refused.error));
            }
        }
    }
    outcome
}

/// Carries out the commands of each stream in order, and streams at the same time, so that they
/// share commits; as many as there is room to answer.
async fn execute_each(
    state: &AppState,
    requests: Vec<CommandRequest>,
    origin: &Origin,
    options: CommandOptions,
) -> Vec<Result<CommandAnswer, Problem>> {
    let mut streams: HashMap<StreamId, Vec<(usize, CommandRequest)>> = HashMap::new();
    for (index, request) in requests.into_iter().enumerate() {
        streams
            .entry(request.stream.clone())
            .or_default()
            .push((index, request));
    }
    let limit_bytes = state.services.commands.batch_bytes();
    let held = AtomicUsize::new(0);
    let in_order = streams.into_values().map(async |requests| {
        let mut outcomes = Vec::with_capacity(requests.len());
        for (index, request) in requests {
            let outcome = if held.load(Ordering::Relaxed) > limit_bytes {
                Err(command::Error::BatchTooLarge { limit_bytes })
            } else {
                execute(state, request, origin, options).await
            };
            held.fetch_add(size_bytes(&outcome), Ordering::Relaxed);
            outcomes.push((index, outcome.map_err(Problem::from)));
        }
        outcomes
    });
    let outcomes = stream::iter(in_order).buffer_unordered(STREAMS_AT_ONCE);
    let mut outcomes: Vec<_> = outcomes.flat_map(stream::iter).collect().await;
    outcomes.sort_unstable_by_key(|(index, _)| *index);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// The approximate memory of an outcome until it is answered, in bytes.
fn size_bytes(outcome: &Result<CommandAnswer, command::Error>) -> usize {
    match outcome {
        Ok(answer) => answer.size_bytes(),
        Err(command::Error::Rejected { rejection, .. }) => rejection.size_bytes(),
        Err(_) => 0,
    }
}
