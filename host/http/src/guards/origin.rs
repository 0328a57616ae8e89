//! Keeps foreign web pages out: a browser lets any page send requests to this machine.

use axum::extract::Request;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD,
    ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use axum::response::{IntoResponse as _, Response};
use gavel_config::{HostName, Origin};
use gavel_engine::streaming::DELIVERY;

use crate::error::{Code, Location, Problem, malformed};
use crate::settings::ApiSettings;
use crate::state::AppState;

/// The page that a request comes from, as reported by the browser.
#[derive(Debug, PartialEq, Eq)]
enum PageOrigin {
    /// Our own page, or no page.
    Own,
    /// A page of an origin in `server.cors_origins`.
    Allowed,
}

/// Lets a request on to `next` unless it names another host or comes from a foreign page. Answers
/// browsers that ask for the permissions of pages of the allowed origins.
pub(crate) async fn guard(
    state: &AppState,
    request: Request,
    next: impl AsyncFnOnce(Request) -> Response,
) -> Response {
    let sender = match check(&state.settings, request.version(), request.headers()) {
        Ok(sender) => sender,
        Err(problem) => return problem.into_response(),
    };
    let origin = match sender {
        PageOrigin::Own => None,
        PageOrigin::Allowed => request.headers().get(ORIGIN).cloned(),
    };
    let mut response = if origin.is_some() && is_preflight(&request) {
        allow_all(request.headers())
    } else {
        next(request).await
    };
    let headers = response.headers_mut();
    if !state.settings.cors_origins.is_empty() {
        headers.append(VARY, HeaderValue::from_static("origin"));
    }
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let all = HeaderValue::from_static("*");
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, all);
    }
    response
}

/// Tells whether this is a preflight: a browser asks for permission before a page's request.
fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to such a question: what the page wants to do. Whether there is such a thing, and who
/// may do it, is said when it does.
fn allow_all(asked: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    for (wanted, allowed) in [
        (ACCESS_CONTROL_REQUEST_METHOD, ACCESS_CONTROL_ALLOW_METHODS),
        (ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_ALLOW_HEADERS),
    ] {
        if let Some(wanted) = asked.get(wanted) {
            response.headers_mut().insert(allowed, wanted.clone());
        }
    }
    response
}

fn check(
    settings: &ApiSettings,
    version: Version,
    headers: &HeaderMap,
) -> Result<PageOrigin, Problem> {
    let host = only(headers, "Host")?;
    if host.is_none() && version == Version::HTTP_11 {
        return Err(malformed(Location::Header("Host"), "it is missing"));
    }
    // A page whose name was made to lead here counts as ours to a browser, but still sends its own
    // name. With tokens it has none.
    if settings.tokens.is_empty()
        && let Some(host) = host
        && !is_ours(settings, host)
    {
        return Err(Problem::new(
            Code::Forbidden,
            "`Host` names neither this machine nor one of the setting `server.allowed_hosts`.",
        ));
    }
    // Pushed by a host, for somebody who may make a consumer there: no request of anybody who may
    // make one here.
    if headers.contains_key(DELIVERY) {
        return Err(Problem::new(
            Code::Forbidden,
            "Events are not pushed to a host.",
        ));
    }
    let origin = only(headers, "Origin")?;
    let site = only(headers, "Sec-Fetch-Site")?;
    let sender = match origin {
        None => (site != Some("cross-site")).then_some(PageOrigin::Own),
        Some(origin) => Origin::parse(origin).and_then(|origin| {
            let seen = || Origin::parse(&format!("http://{}", host?));
            if settings.public_url.clone().or_else(seen).as_ref() == Some(&origin) {
                return Some(PageOrigin::Own);
            }
            let is_allowed = settings.cors_origins.contains(&origin);
            is_allowed.then_some(PageOrigin::Allowed)
        }),
    };
    sender.ok_or_else(|| {
        Problem::new(
            Code::Forbidden,
            "The request comes from a web page whose origin is not in the setting `server.cors_origins`.",
        )
    })
}

fn is_ours(settings: &ApiSettings, host: &str) -> bool {
    let Some(host) = HostName::of(host) else {
        return false;
    };
    let listen = settings.listen.to_canonical();
    host.is_loopback()
        || settings.allowed_hosts.contains(&host)
        || settings.public_url.as_ref().map(Origin::host).as_ref() == Some(&host)
        // Where all addresses are listened on, each is the address listened on.
        || host.address().is_some_and(|address| address == listen || listen.is_unspecified())
}

/// The value of a header that may be there once.
fn only<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().map(HeaderValue::to_str).transpose();
    match (value, values.next()) {
        (Ok(value), None) => Ok(value),
        _ => Err(malformed(Location::Header(name), "it is no single text")),
    }
}

#[cfg(test)]
mod tests {
    use gavel_config::{Scope, Token};

    use super::*;
    use crate::Tokens;

    #[track_caller]
    fn outcome(settings: &ApiSettings, given: &[(&'static str, &str)]) -> Result<PageOrigin, Code> {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(*name, value.parse().unwrap());
        }
        check(settings, Version::HTTP_11, &headers).map_err(|problem| problem.code())
    }

    #[test]
    fn without_tokens_a_request_names_this_machine() {
        let to = |settings: &_, host| outcome(settings, &[("host", host)]);
        let mut settings = ApiSettings::default();
        for host in ["localhost", "LOCALHOST:4000", "127.9.9.9:1", "[::1]:4000"] {
            assert_eq!(to(&settings, host), Ok(PageOrigin::Own), "{host}");
        }
        let foreign = [
            "evil.example",
            "localhost.evil.example",
            "10.0.0.1",
            "",
            "a@b:c",
        ];
        for host in foreign {
            assert_eq!(to(&settings, host), Err(Code::Forbidden), "{host}");
        }
        let twice = [("host", "localhost"), ("host", "localhost")];
        assert_eq!(outcome(&settings, &twice), Err(Code::MalformedRequest));
        assert_eq!(outcome(&settings, &[]), Err(Code::MalformedRequest));
        settings.allowed_hosts = vec![HostName::of("gavel.example").unwrap()];
        settings.public_url = Origin::parse("https://public.example");
        settings.listen = "10.0.0.1".parse().unwrap();
        for host in ["gavel.example:80", "public.example", "10.0.0.1:4000"] {
            assert_eq!(to(&settings, host), Ok(PageOrigin::Own), "{host}");
        }
    }

    #[test]
    fn where_all_addresses_are_listened_on_each_may_be_named_but_no_other_name() {
        let mut settings = ApiSettings::default();
        for listen in ["0.0.0.0", "::"] {
            settings.listen = listen.parse().unwrap();
            for host in ["10.0.0.1:4000", "[fd00::1]:4000", "localhost:4000"] {
                let named = outcome(&settings, &[("host", host)]);
                assert_eq!(named, Ok(PageOrigin::Own), "{host}");
            }
            let named = outcome(&settings, &[("host", "evil.example")]);
            assert_eq!(named, Err(Code::Forbidden));
        }
    }

    #[test]
    fn with_tokens_any_host_may_be_named_but_foreign_pages_stay_out() {
        let token = Token::new("ann", [0; 32], [Scope::Read]);
        let settings = ApiSettings {
            tokens: Tokens::new(vec![token]),
            ..ApiSettings::default()
        };
        let host = ("host", "gavel.example");
        assert_eq!(outcome(&settings, &[host]), Ok(PageOrigin::Own));
        let page = [host, ("origin", "http://evil.example")];
        assert_eq!(outcome(&settings, &page), Err(Code::Forbidden));
    }

    #[test]
    fn what_a_host_pushes_is_no_request() {
        let pushed = [("host", "localhost"), ("gavel-delivery", "1")];
        let outcome = outcome(&ApiSettings::default(), &pushed);
        assert_eq!(outcome, Err(Code::Forbidden));
    }

    #[test]
    fn a_page_is_our_own_or_allowed() {
        let mut settings = ApiSettings {
            cors_origins: vec![Origin::parse("https://ui.example").unwrap()],
            ..ApiSettings::default()
        };
        let from = |settings: &_, origin| {
            outcome(settings, &[("host", "localhost:4000"), ("origin", origin)])
        };
        assert_eq!(
            from(&settings, "http://localhost:4000"),
            Ok(PageOrigin::Own)
        );
        assert_eq!(
            from(&settings, "https://ui.example"),
            Ok(PageOrigin::Allowed)
        );
        for origin in [
            "null",
            "http://localhost:3000",
            "https://localhost:4000",
            "http://ui.example",
            "http://evil.example",
        ] {
            assert_eq!(from(&settings, origin), Err(Code::Forbidden), "{origin}");
        }
        let cross = [("host", "localhost"), ("sec-fetch-site", "cross-site")];
        assert_eq!(outcome(&settings, &cross), Err(Code::Forbidden));
        settings.public_url = Origin::parse("https://gavel.example");
        assert_eq!(
            from(&settings, "https://gavel.example"),
            Ok(PageOrigin::Own)
        );
    }
}
