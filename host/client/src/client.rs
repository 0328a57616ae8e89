//! Talks to a host over its public HTTP API.

use std::error::Error as _;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, Response, Url, redirect};

use super::{Answer, Error, Problem, Result};

/// The longest time to connect. There is no limit on the answer: a gate may take minutes.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// A connection to one host, in one namespace.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    server: Url,
}

impl Client {
    /// Prepares a connection; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// When the namespace or the token cannot be sent, or the HTTP client cannot be set up.
    pub fn new(server: Url, namespace: &str, token: Option<&str>) -> Result<Self> {
        // An error means that the process already has a provider, which is all that is needed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .default_headers(headers(namespace, token)?)
            .user_agent(concat!("gavel/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_DEADLINE)
            .redirect(redirect::Policy::none());
        if server.scheme() == "http" {
            // Without TLS, a machine without CA certificates is good enough.
            builder = builder.tls_certs_only([]);
        }
        if is_loopback(&server) {
            builder = builder.no_proxy();
        }
        Ok(Self {
            http: builder.build().map_err(Error::Setup)?,
            server,
        })
    }

    /// Makes a request to the path of `segments`, each of which is escaped.
    ///
    /// # Errors
    ///
    /// When a segment would be lost on the way.
    pub fn request(&self, method: Method, segments: &[&str]) -> Result<RequestBuilder> {
        self.request_with_query(method, segments, &[])
    }

    /// Makes a request with those parameters that have a value.
    ///
    /// # Errors
    ///
    /// When a segment would be lost on the way.
    pub fn request_with_query(
        &self,
        method: Method,
        segments: &[&str],
        parameters: &[(&str, Option<&str>)],
    ) -> Result<RequestBuilder> {
        // A URL library drops these, escaped or not, so that the request would mean something else.
        if let Some(segment) = segments
            .iter()
            .find(|segment| ["", ".", ".."].contains(*segment))
        {
            return Err(Error::Unusable(format!(
                "`{segment}` cannot be part of a URL"
            )));
        }
        let mut url = self.server.clone();
        url.path_segments_mut()
            .map_err(|()| Error::Unusable(format!("{} cannot be the base of a URL", self.server)))?
            .pop_if_empty()
            .extend(segments);
        for (name, value) in parameters {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        Ok(self.http.request(method, url))
    }

    /// Sends a request and waits for the answer. If dropped midway, the host may or may not have
    /// acted on it.
    ///
    /// # Errors
    ///
    /// When the host is not reached, or has not done what it was asked for.
    pub async fn send(&self, request: RequestBuilder) -> Result<Answer> {
        let response = self.open(request).await?;
        let status = response.status().as_u16();
        let body = response
            .text()
            .await
            .map_err(|error| self.unreachable(&error))?;
        Ok(Answer::new(status, body))
    }

    /// Sends a request and waits for the head of a successful answer, whose body is left to be
    /// read.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send).
    pub async fn open(&self, request: RequestBuilder) -> Result<Response> {
        let response = request
            .send()
            .await
            .map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let retry_after = header(&response, &RETRY_AFTER);
        let body = response
            .text()
            .await
            .map_err(|error| self.unreachable(&error))?;
        match Problem::parse(body, retry_after) {
            Some(problem) => Err(Error::Problem(Box::new(problem))),
            None => Err(Error::Foreign {
                server: self.shown_server(),
                status: status.to_string(),
            }),
        }
    }

    /// Gives the server as it is usually written.
    fn shown_server(&self) -> String {
        self.server.as_str().trim_end_matches('/').to_owned()
    }

    fn unreachable(&self, error: &reqwest::Error) -> Error {
        let mut reason = error.source();
        while let Some(deeper) = reason.and_then(std::error::Error::source) {
            reason = Some(deeper);
        }
        let reason = reason.map_or_else(|| error.to_string(), ToString::to_string);
        let server = self.shown_server();
        if error.is_connect() {
            Error::Unreachable { server, reason }
        } else {
            Error::Broken { server, reason }
        }
    }
}

fn headers(namespace: &str, token: Option<&str>) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let namespace = HeaderValue::from_str(namespace)
        .map_err(|_| Error::Unusable("the namespace holds a control character".to_owned()))?;
    headers.insert("gavel-namespace", namespace);
    if let Some(token) = token {
        let mut bearer = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| Error::Unusable("the token holds a control character".to_owned()))?;
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
    }
    Ok(headers)
}

fn header(response: &Response, name: &reqwest::header::HeaderName) -> Option<String> {
    let value = response.headers().get(name)?;
    value.to_str().ok().map(str::to_owned)
}

fn is_loopback(server: &Url) -> bool {
    let host = server.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}
