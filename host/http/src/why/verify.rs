//! `GET /v1/verify`: recorded decisions made again, reported line by line.
//!
//! As with the log, the connection pulls: a client that takes nothing holds the verification up,
//! and a client that disconnects ends it.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::response::Response;
use futures::stream;
use gavel_api::{VerificationLine, VerifyQuery};
use gavel_gate::{Verification, VerifyRequest};
use gavel_model::Namespace;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::answer::report;
use crate::error::{Location, Problem, malformed};
use crate::extract::{NamespaceHeader, Query, decider_name, stream_id};
use crate::guards::admit::draining;
use crate::log::follow::{self, Format, streamed, write_line};
use crate::request_id::RequestId;
use crate::state::AppState;

const ROUTE: &str = "/v1/verify";

/// The rest of a verification for one client.
struct VerificationFeed {
    verification: mpsc::Receiver<Verification>,
    _place: follow::SubscriptionPermit,
    id: RequestId,
    keep_alive: Duration,
    drain: CancellationToken,
    is_over: bool,
}

/// Verifies recorded decisions
///
/// Makes every decision again with the very module that made it, and compares byte for byte. This
/// reveals records that have been tampered with, and modules that are not deterministic.
///
/// Each line is an object: `{"progress": {"streams", "events", "commands", "keys_only", "outdated",
/// "differences"}}` holds the totals so far, `{"difference": {"decider", "id", "version",
/// "command_id", "reason", "recorded", "again"}}` a difference. The last line is `{"done": …}`,
/// with the same members as `progress`, or `{"failed": …}` with a problem. An empty line is a sign
/// of life.
#[utoipa::path(
    get, path = "/v1/verify", tag = "gate", params(VerifyQuery),
    responses((status = 200, description = "Lines, until it is done.", content((String = "application/x-ndjson"))))
)]
pub(crate) async fn verify_decisions(
    State(state): State<AppState>,
    NamespaceHeader(namespace): NamespaceHeader,
    Extension(id): Extension<RequestId>,
    Query(query): Query<VerifyQuery>,
) -> Result<Response, Problem> {
    let request = request(namespace, query)?;
    let place = follow::SubscriptionPermit::take(&state.subscriptions, Format::Lines)?;
    // While the store is away, the answer is an error status rather than a broken stream.
    state.services.store.ping().await?;
    let verification = state.services.gate.verify(request)?;
    Ok(answer(&state, place, id, verification))
}

/// Checks what is to be verified.
fn request(namespace: Namespace, query: VerifyQuery) -> Result<VerifyRequest, Problem> {
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let decider = given(query.decider)
        .map(|name| decider_name(&name, || Location::parameter("decider")))
        .transpose()?;
    let id = given(query.id);
    match (&decider, &id) {
        (Some(decider), Some(id)) => {
            let place = || Location::parameter("id");
            stream_id(namespace.clone(), decider.clone(), id, place)?;
        }
        (None, Some(_)) => {
            return Err(malformed(
                Location::parameter("id"),
                "it names a stream only together with `decider`",
            ));
        }
        (_, None) => {}
    }
    Ok(VerifyRequest {
        namespace,
        decider,
        id,
    })
}

fn answer(
    state: &AppState,
    place: follow::SubscriptionPermit,
    id: RequestId,
    verification: mpsc::Receiver<Verification>,
) -> Response {
    let feed = VerificationFeed {
        verification,
        _place: place,
        id,
        keep_alive: state.settings.keep_alive,
        drain: state.drain.clone(),
        is_over: false,
    };
    streamed(Format::Lines, stream::unfold(feed, VerificationFeed::next))
}

impl VerificationFeed {
    /// The next chunk, as soon as there is one; none after the last line.
    async fn next(mut self) -> Option<(Bytes, Self)> {
        if self.is_over {
            return None;
        }
        let said = tokio::select! {
            biased;
            () = self.drain.cancelled() => return Some(self.fail(draining())),
            said = timeout(self.keep_alive, self.verification.recv()) => said,
        };
        let mut chunk = Vec::new();
        match said {
            Ok(Some(Verification::Progress(verified))) => {
                write_line(&mut chunk, &VerificationLine::Progress(verified.into()));
            }
            Ok(Some(Verification::Difference(difference))) => {
                let line = VerificationLine::Difference((&*difference).into());
                write_line(&mut chunk, &line);
            }
            Ok(Some(Verification::Done(verified))) => {
                self.is_over = true;
                write_line(&mut chunk, &VerificationLine::Done(verified.into()));
            }
            Ok(Some(Verification::Failed(error))) => return Some(self.fail(error.into())),
            Ok(None) => {
                let problem = Problem::internal("a verification has ended without its last word");
                return Some(self.fail(problem));
            }
            Err(_) => chunk.push(b'\n'),
        }
        Some((chunk.into(), self))
    }

    /// The last line of an answer whose status was sent when all was well.
    fn fail(mut self, problem: Problem) -> (Bytes, Self) {
        self.is_over = true;
        report(&problem, &self.id, ROUTE);
        let mut chunk = Vec::new();
        let line = VerificationLine::Failed(problem.body(&self.id));
        write_line(&mut chunk, &line);
        (chunk.into(), self)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use axum::http::header::CONTENT_TYPE;
    use gavel_gate::{self as gate, Difference, Verified};
    use gavel_model::{DeciderName, Json, StreamId, Version};
    use gavel_store as store;
    use http_body_util::BodyExt as _;
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::*;
    use crate::settings::ApiSettings;
    use crate::testing::Api;

    const VERIFIED: Verified = Verified {
        streams: 1,
        events: 2,
        commands: 3,
        keys_only: 5,
        outdated: 6,
        differences: 4,
    };

    /// The answer when the gate says what the test sends, after what has been `said` already.
    fn answered(api: &Api, said: Vec<Verification>) -> (mpsc::Sender<Verification>, Response) {
        let (sender, receiver) = mpsc::channel(8);
        for said in said {
            sender.try_send(said).unwrap();
        }
        let place =
            follow::SubscriptionPermit::take(&api.state.subscriptions, Format::Lines).unwrap();
        let response = answer(&api.state, place, RequestId::new(), receiver);
        (sender, response)
    }

    /// All lines of an answer that ends.
    async fn lines(response: Response) -> Vec<Value> {
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[tokio::test]
    async fn a_verification_is_told_line_by_line_until_it_is_done() {
        let decider = DeciderName::new("counter").unwrap();
        let difference = Difference {
            stream: StreamId::new(Namespace::default(), decider, "c-1").unwrap(),
            version: Version::new(9).unwrap(),
            command_id: Some(Uuid::from_u128(7)),
            reason: "The events differ.".to_owned(),
            recorded: Json::from_stored("[\n1]".to_owned()).unwrap(),
            again: Json::parse("[2]").unwrap(),
        };
        let api = Api::default();
        let (_sender, response) = answered(
            &api,
            vec![
                Verification::Progress(VERIFIED),
                Verification::Difference(Box::new(difference)),
                Verification::Done(VERIFIED),
            ],
        );
        assert_eq!(response.headers()[CONTENT_TYPE], "application/x-ndjson");
        let verified = json!({ "streams": 1, "events": 2, "commands": 3, "keys_only": 5, "outdated": 6, "differences": 4 });
        assert_eq!(
            lines(response).await,
            [
                json!({ "progress": verified }),
                json!({ "difference": {
                    "decider": "counter", "id": "c-1", "version": 9, "command_id": Uuid::from_u128(7), "reason": "The events differ.",
                    "recorded": [1], "again": [2],
                } }),
                json!({ "done": verified }),
            ]
        );
    }

    #[tokio::test]
    async fn what_goes_wrong_on_the_way_is_the_last_line() {
        let api = Api::default();
        let outage = store::Error::Unavailable("password=hunter2".into());
        let failed = Verification::Failed(gate::Error::Store(outage));
        let (_sender, response) = answered(&api, vec![failed, Verification::Done(VERIFIED)]);
        let answer = lines(response).await;
        assert_eq!(answer.len(), 1);
        assert_eq!(answer[0]["failed"]["code"], "store-unavailable");
        assert!(!answer[0].to_string().contains("hunter2"));

        let (sender, response) = answered(&api, Vec::new());
        drop(sender);
        assert_eq!(lines(response).await[0]["failed"]["code"], "internal");

        let (_sender, response) = answered(&api, Vec::new());
        api.drain.cancel();
        assert_eq!(lines(response).await[0]["failed"]["code"], "draining");
    }

    #[tokio::test]
    async fn a_verification_that_takes_its_time_says_that_it_is_still_there() {
        let api = Api::new(ApiSettings {
            keep_alive: Duration::from_millis(1),
            ..ApiSettings::default()
        });
        let (_sender, response) = answered(&api, Vec::new());
        let frame = response.into_body().frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "\n");
    }

    #[tokio::test]
    async fn what_names_no_stream_is_refused_before_anything_is_verified() {
        let api = Api::default();
        for (query, parameter) in [
            ("id=c-1", "id"),
            ("decider=7", "decider"),
            ("decider=counter&id=streams", "id"),
            ("decider=counter&decider=account", "decider"),
            ("stream=c-1", "stream"),
        ] {
            let answer = api.get(&format!("/v1/verify?{query}")).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
            assert_eq!(answer.body["errors"][0]["parameter"], parameter, "{query}");
        }
    }

    #[tokio::test]
    async fn a_verification_takes_the_place_of_a_subscription() {
        let api = Api::new(ApiSettings {
            max_subscriptions: 1,
            ..ApiSettings::default()
        });
        let _running = answered(&api, Vec::new());
        let second = api.get("/v1/verify").await;
        assert_eq!(second.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(second.body["code"], "overloaded");
    }
}
