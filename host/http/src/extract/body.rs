//! Bodies: of one media type, of bounded size, within a bounded time; and all that arrive together
//! of bounded size, too.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, header};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, timeout, timeout_at};

use super::pointer;
use crate::auth::Actor;
use crate::error::{Code, Location, Problem, malformed};
use crate::guards::admit::{Admission, draining};
use crate::modules::uploads::Turn;
use crate::settings::BodyLimit;
use crate::state::AppState;

/// The interval between two checks for a slow upload that keeps others waiting.
const LOOK: Duration = Duration::from_secs(1);

/// A JSON document. Members that are unknown are refused.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<AppState> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        expect_type(request.headers(), "application/json")?;
        let (bytes, _held) = read(request, state).await?;
        parse(&bytes).map(Self)
    }
}

/// A JSON document, or nothing at all or `null`, which stand for the default.
#[derive(Debug)]
pub(crate) struct OptionalJsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned + Default> FromRequest<AppState> for OptionalJsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        let typed = expect_type(request.headers(), "application/json");
        let (bytes, _held) = read(request, state).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        typed?;
        parse::<Option<T>>(&bytes).map(|given| Self(given.unwrap_or_default()))
    }
}

/// The bytes of a component, and the turn to hold them.
#[derive(Debug)]
pub(crate) struct WasmBody {
    pub(crate) wasm: Vec<u8>,
    /// The turn, to be kept as long as the bytes are.
    pub(crate) turn: Turn,
}

impl FromRequest<AppState> for WasmBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        let limit = state.settings.module_body;
        expect_type(request.headers(), "application/wasm")?;
        check(request.headers(), limit)?;
        let aside = Admission::step_aside(&request);
        let actor = request.extensions().get::<Actor>().map_or("", Actor::name);
        let turn = tokio::select! {
            turn = state.uploads.turn(actor) => turn?,
            () = state.drain.cancelled() => return Err(draining()),
        };
        let mut arriving = Arriving::begin(request.into_body(), limit);
        loop {
            let (percent, time) = (arriving.percent(), arriving.begun.elapsed());
            if state.uploads.is_too_slow(percent, limit.timeout, time) {
                let detail = "The module arrives too slowly while others wait.";
                return Err(Problem::new(Code::RequestTimeout, detail));
            }
            let arrived = timeout(LOOK, arriving.more()).await;
            if let Ok(arrived) = arrived
                && arrived?.is_none()
            {
                break;
            }
        }
        if let Some(admission) = aside {
            admission.come_back()?;
        }
        Ok(Self {
            wasm: arriving.bytes,
            turn,
        })
    }
}

fn expect_type(headers: &HeaderMap, expected: &str) -> Result<(), Problem> {
    let given = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(Problem::new(
        Code::UnsupportedMediaType,
        format!("Send it with `Content-Type: {expected}`."),
    ))
}

fn expect_no_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    // Of `gzip, chunked` only the last is undone, and `chunked, chunked` is none.
    for (name, known, rule) in [
        (
            header::CONTENT_ENCODING,
            "identity",
            "Send the body without `Content-Encoding`.",
        ),
        (
            header::TRANSFER_ENCODING,
            "chunked",
            "Send the body with no `Transfer-Encoding` but `chunked`.",
        ),
    ] {
        let is_known =
            |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(known.as_bytes());
        let mut values = headers.get_all(name).iter();
        if values.next().is_some_and(|first| !is_known(first)) || values.next().is_some() {
            return Err(Problem::new(Code::UnsupportedMediaType, rule));
        }
    }
    Ok(())
}

/// Refuses what cannot be taken before any of it is read.
fn check(headers: &HeaderMap, limit: BodyLimit) -> Result<(), Problem> {
    expect_no_encoding(headers)?;
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced
        .is_some_and(|bytes| usize::try_from(bytes).map_or(true, |bytes| bytes > limit.bytes))
    {
        return Err(too_large(limit));
    }
    Ok(())
}

fn too_large(limit: BodyLimit) -> Problem {
    Problem::new(
        Code::TooLarge,
        format!("The body may have {} bytes.", limit.bytes),
    )
    .with("limit_bytes", limit.bytes)
}

/// The whole body of a request that is no upload, and its share of the bytes that all of these may
/// have.
async fn read(request: Request, state: &AppState) -> Result<(Vec<u8>, BodyShare<'_>), Problem> {
    let limit = state.settings.command_body;
    check(request.headers(), limit)?;
    let aside = Admission::step_aside(&request);
    let mut arriving = Arriving::begin(request.into_body(), limit);
    let mut share = BodyShare(None);
    while let Some(bytes) = arriving.more().await? {
        share.grow(state, bytes)?;
    }
    if let Some(admission) = aside {
        admission.come_back()?;
    }
    Ok((arriving.bytes, share))
}

/// The share of an unprocessed body in the memory for all bodies: the bytes that have arrived, not
/// those that were announced.
#[derive(Debug)]
struct BodyShare<'s>(Option<SemaphorePermit<'s>>);

impl<'s> BodyShare<'s> {
    fn grow(&mut self, state: &'s AppState, bytes: usize) -> Result<(), Problem> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let more = state.bodies.try_acquire_many(bytes).map_err(|_| {
            let detail = "As many bytes of bodies are arriving as the host takes. Try again.";
            Problem::new(Code::Overloaded, detail)
        })?;
        match &mut self.0 {
            Some(share) => share.merge(more),
            share => *share = Some(more),
        }
        Ok(())
    }
}

/// A body on its way.
#[derive(Debug)]
struct Arriving {
    body: Body,
    limit: BodyLimit,
    begun: Instant,
    /// The bytes that have arrived. They are copied out of the connection's buffer, the whole of
    /// which a frame of one byte would keep alive.
    bytes: Vec<u8>,
}

impl Arriving {
    fn begin(body: Body, limit: BodyLimit) -> Self {
        Self {
            body,
            limit,
            begun: Instant::now(),
            bytes: Vec::new(),
        }
    }

    /// Waits for more bytes, and returns their number; none at the end. Dropped midway, nothing is
    /// lost.
    async fn more(&mut self) -> Result<Option<usize>, Problem> {
        let deadline = self.begun + self.limit.timeout;
        let frame = timeout_at(deadline, self.body.frame()).await.map_err(|_| {
            let seconds = self.limit.timeout.as_secs_f64();
            let detail = format!("The body did not arrive within {seconds} s.");
            Problem::new(Code::RequestTimeout, detail)
        })?;
        let Some(frame) = frame else {
            return Ok(None);
        };
        let broken = |_| malformed(Location::pointer(""), "it broke off, or is not well framed");
        // Trailers say nothing to us.
        let data = frame.map_err(broken)?.into_data().unwrap_or_default();
        if data.len() > self.limit.bytes - self.bytes.len() {
            return Err(too_large(self.limit));
        }
        self.bytes.extend_from_slice(&data);
        Ok(Some(data.len()))
    }

    /// The number of bytes that have arrived, as a percentage of the largest body.
    fn percent(&self) -> u32 {
        let percent = self.bytes.len().saturating_mul(100) / self.limit.bytes.max(1);
        u32::try_from(percent).unwrap_or(100)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // Keeping track of the place costs as much as all the rest.
    serde_json::from_slice(bytes).or_else(|_| parse_tracked(bytes))
}

/// Parses a body that [`parse`] has refused, and finds the place of the mistake.
fn parse_tracked<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let refused = |pointer, message| malformed(Location::pointer(pointer), message);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| refused(pointer(error.path()), error.inner().to_string()))?;
    deserializer
        .end()
        .map_err(|error| refused(String::new(), error.to_string()))?;
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Poll;

    use axum::http::StatusCode;
    use futures::{StreamExt as _, poll, stream};
    use gavel_api::{BatchBody, CommandBody};

    use super::*;
    use crate::ApiSettings;
    use crate::testing::Api;

    /// A body that begins like this and never comes to its end.
    fn trickle(begin: &'static str) -> Body {
        let begin = stream::iter([Ok::<_, io::Error>(begin)]);
        Body::from_stream(begin.chain(stream::pending()))
    }

    #[tokio::test]
    async fn a_request_that_waits_for_its_body_takes_no_place() {
        let api = Api::new(ApiSettings {
            max_requests_in_flight: 1,
            ..ApiSettings::default()
        });
        let json = [("content-type", "application/json")];
        let mut waiting = Box::pin(api.send("POST /v1/commands", &json, trickle("{")));
        assert!(poll!(&mut waiting).is_pending());
        assert_eq!(api.get("/v1/deciders").await.status, StatusCode::OK);
    }

    #[tokio::test]
    async fn bodies_that_arrive_share_the_bytes_there_are() {
        let api = Api::new(ApiSettings {
            bodies_bytes: 8,
            ..ApiSettings::default()
        });
        let json = [("content-type", "application/json")];
        let mut waiting = Box::pin(api.send("POST /v1/commands", &json, trickle("[1234")));
        assert!(poll!(&mut waiting).is_pending());
        let answer = api.post("/v1/commands", "[123").await;
        assert_eq!(answer.body["code"], "overloaded");
        assert_eq!(answer.header("retry-after"), "1");
        for _ in 0..2 {
            let answer = api.post("/v1/commands", "[]").await;
            assert_eq!(answer.body["code"], "malformed-request");
        }
        drop(waiting);
        let answer = api.post("/v1/commands", "[123456]").await;
        assert_eq!(answer.body["code"], "malformed-request");
    }

    #[tokio::test]
    async fn an_upload_that_waits_for_its_turn_is_not_read() {
        let api = Api::default();
        let upload = |body| Box::pin(api.send("POST /v1/modules", &[WASM], body));
        let mut first = upload(trickle("\0asm"));
        let mut second = upload(trickle("\0asm"));
        assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());

        let is_read = Arc::new(AtomicBool::new(false));
        let noted = Arc::clone(&is_read);
        let mut third = upload(Body::from_stream(stream::poll_fn(move |_| {
            noted.store(true, Ordering::Relaxed);
            Poll::Ready(None::<Result<&str, io::Error>>)
        })));
        assert!(poll!(&mut third).is_pending());
        assert!(!is_read.load(Ordering::Relaxed));
        drop(first);
        assert_eq!(third.await.body["code"], "invalid-module");
    }

    #[tokio::test(start_paused = true)]
    async fn a_module_that_trickles_is_given_up_when_others_wait() {
        let api = Api::default();
        let upload = |body| Box::pin(api.send("POST /v1/modules", &[WASM], body));
        let begun = Instant::now();
        let (first, mut second) = (upload(trickle("\0asm")), upload(trickle("\0asm")));
        assert!(poll!(&mut second).is_pending());
        let (first, third) = tokio::join!(first, upload(Body::empty()));
        assert_eq!(first.status, StatusCode::REQUEST_TIMEOUT);
        assert_eq!(third.body["code"], "invalid-module");
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    const WASM: (&str, &str) = ("content-type", "application/wasm");

    #[track_caller]
    fn refused_at<T: DeserializeOwned + std::fmt::Debug>(body: &str) -> String {
        let problem = parse::<T>(body.as_bytes()).unwrap_err();
        assert_eq!(problem.code(), Code::MalformedRequest);
        problem.fact("errors")[0]["pointer"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    #[test]
    fn mistakes_are_pointed_at() {
        assert_eq!(refused_at::<CommandBody>(r#"{"command":7}"#), "/command");
        assert_eq!(
            refused_at::<CommandBody>(r#"{"command":"A","metadata":{"a/b":1}}"#),
            "/metadata/a~1b"
        );
        assert_eq!(
            refused_at::<CommandBody>(r#"{"command":"A","expected_version":-1}"#),
            "/expected_version"
        );
        let batch = r#"{"commands":[{"decider":"a","id":"1","command":"A"},{"decider":"a","id":2,"command":"A"}]}"#;
        assert_eq!(refused_at::<BatchBody>(batch), "/commands/1/id");
    }

    #[test]
    fn a_body_is_encoded_in_no_way_but_chunked() {
        let outcome = |name, values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(name, value.parse().unwrap());
            }
            expect_no_encoding(&headers).map_err(|problem| problem.code())
        };
        let (transfer, content) = (header::TRANSFER_ENCODING, header::CONTENT_ENCODING);
        for (name, value) in [
            (&transfer, "chunked"),
            (&transfer, "Chunked"),
            (&content, "identity"),
        ] {
            assert_eq!(outcome(name, &[value]), Ok(()), "{name}: {value}");
        }
        let refused = Err(Code::UnsupportedMediaType);
        for value in ["gzip, chunked", "chunked, chunked", "gzip"] {
            assert_eq!(outcome(&transfer, &[value]), refused, "{value}");
        }
        assert_eq!(outcome(&transfer, &["chunked", "chunked"]), refused);
        assert_eq!(outcome(&transfer, &["gzip", "chunked"]), refused);
        assert_eq!(outcome(&content, &["gzip"]), refused);
    }

    #[test]
    fn what_is_no_json_or_not_ours_is_refused() {
        let deep = format!(r#"{{"command":"A","data":{}"#, "[".repeat(100_000));
        for body in [
            "",
            "{",
            "[]",
            "null",
            r#"{"command":"A"} x"#,
            r#"{"command":"A","dry_run":true}"#,
            &deep,
        ] {
            refused_at::<CommandBody>(body);
        }
        for body in [
            r#"{"command":"A","command":"B"}"#,
            r#"{"command":"A","data":1e400}"#,
            "{}",
        ] {
            refused_at::<CommandBody>(body);
        }
        assert!(parse::<CommandBody>(b"{\"command\":\"\xff\"}").is_err());
    }

    #[test]
    fn parameters_of_a_media_type_do_not_matter() {
        let typed = |given: &str| {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, given.parse().unwrap())]);
            expect_type(&headers, "application/json").is_ok()
        };
        assert!(typed("application/json"));
        assert!(typed("Application/JSON; charset=utf-8"));
        assert!(!typed("text/plain"));
        assert!(!typed("application/jsonp"));
        assert!(expect_type(&HeaderMap::new(), "application/json").is_err());
    }

    #[test]
    fn a_body_comes_as_it_is() {
        let taken = |given: &[&str]| {
            let mut headers = HeaderMap::new();
            for encoding in given {
                headers.append(header::CONTENT_ENCODING, encoding.parse().unwrap());
            }
            expect_no_encoding(&headers).map_err(|problem| problem.code())
        };
        for given in [&[][..], &["identity"], &["Identity"]] {
            assert_eq!(taken(given), Ok(()), "{given:?}");
        }
        for given in [
            &["gzip"][..],
            &["GZIP"],
            &["identity", "br"],
            &["identity, gzip"],
        ] {
            assert_eq!(taken(given), Err(Code::UnsupportedMediaType), "{given:?}");
        }
    }
}
