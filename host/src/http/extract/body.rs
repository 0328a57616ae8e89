//! Bodies: of one media type, of bounded size, within a bounded time.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::{Place, malformed, pointer};
use crate::http::code::Code;
use crate::http::problem::Problem;
use crate::http::settings::BodyLimit;
use crate::http::state::AppState;

/// A JSON document. Members that are unknown are refused.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<AppState> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        expect_type(request.headers(), "application/json")?;
        parse(&read(request, state.settings.command_body).await?).map(Self)
    }
}

/// A JSON document, or nothing at all or `null`, which stand for the default.
#[derive(Debug)]
pub(crate) struct OptionalJsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned + Default> FromRequest<AppState> for OptionalJsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        let typed = expect_type(request.headers(), "application/json");
        let bytes = read(request, state.settings.command_body).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        typed?;
        parse::<Option<T>>(&bytes).map(|given| Self(given.unwrap_or_default()))
    }
}

/// The bytes of a component.
#[derive(Debug)]
pub(crate) struct WasmBody(pub(crate) Bytes);

impl FromRequest<AppState> for WasmBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, Problem> {
        expect_type(request.headers(), "application/wasm")?;
        read(request, state.settings.module_body).await.map(Self)
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
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    if encodings.all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Ok(());
    }
    Err(Problem::new(
        Code::UnsupportedMediaType,
        "Send the body without `Content-Encoding`.",
    ))
}

async fn read(request: Request, limit: BodyLimit) -> Result<Bytes, Problem> {
    expect_no_encoding(request.headers())?;
    let too_large = || {
        Problem::new(
            Code::TooLarge,
            format!("The body may have {} bytes.", limit.bytes),
        )
        .with("limit_bytes", limit.bytes)
    };
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    // What is known to be too large is not even begun to be read.
    if announced
        .is_some_and(|bytes| usize::try_from(bytes).map_or(true, |bytes| bytes > limit.bytes))
    {
        return Err(too_large());
    }
    let body = Limited::new(request.into_body(), limit.bytes);
    match tokio::time::timeout(limit.timeout, collect(body)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(malformed(
            Place::pointer(""),
            "it broke off, or is not well framed",
        )),
        Err(_) => {
            let detail = format!(
                "The body did not arrive within {} s.",
                limit.timeout.as_secs_f64()
            );
            Err(Problem::new(Code::RequestTimeout, detail))
        }
    }
}

async fn collect(body: Limited<Body>) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    Ok(body.collect().await?.to_bytes())
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let refused = |pointer, message| malformed(Place::pointer(pointer), message);
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
    use super::*;
    use crate::http::dto::{BatchBody, CommandBody};

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
