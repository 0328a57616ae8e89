//! The HTTP client of receivers: one POST, and the meaning of its answer.

use std::error::Error;
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use gavel_model::{Clock, ConsumerId, Lease, Push};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Response, Url, redirect};

use time::OffsetDateTime;

use super::rules::{NotAllowed, NowhereAllowed, PushRules, Resolver};
use super::signature::sign;

/// The header of a delivery that holds the id of its lease. No other request has it.
pub const DELIVERY: &str = "gavel-delivery";

/// Longest time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The most bytes of an answer that are read.
const ANSWER_BYTES: usize = 4 * 1024;
/// The longest rest that a receiver can ask for.
const LONGEST_REST: Duration = Duration::from_secs(3_600);

/// The settings of deliveries to receivers.
#[derive(Debug, Clone)]
pub struct PushSettings {
    /// Longest time for an answer.
    pub timeout: Duration,
    /// The rules on where events may be pushed to.
    pub rules: PushRules,
}

/// Delivers to any receiver that is allowed. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Poster {
    http: reqwest::Client,
    /// The client for URLs with the port that this host listens on: addresses are resolved without
    /// ports, and some that are allowed elsewhere are not allowed at that port.
    http_at_own_port: reqwest::Client,
    settings: PushSettings,
    clock: Arc<dyn Clock>,
}

/// A refusal: the delivery was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DeliveryError {
    pub(super) fault: DeliveryFault,
    /// The reason, for those who look after the consumer. Of an answer it holds the status only: a
    /// reader of the reason need not be one to whom the receiver would answer.
    pub(super) reason: String,
    /// The time for which the receiver wants to be left alone.
    pub(super) retry_after: Option<Duration>,
}

/// The cause of a delivery that was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeliveryFault {
    /// Events of this stream.
    Events,
    /// More events than the receiver takes at a time.
    TooLarge,
    /// The receiver, whatever it is sent.
    Receiver,
    /// The receiver, or what these events do to it.
    Unknown,
    /// The consumer itself: its receiver is not allowed.
    NotAllowed,
}

impl DeliveryFault {
    /// Classifies the status of an answer: too large, too many, not in time, a fault of the server.
    fn of(status: u16) -> Self {
        match status {
            413 => Self::TooLarge,
            429 => Self::Receiver,
            408 | 500..=599 => Self::Unknown,
            _ => Self::Events,
        }
    }
}

impl DeliveryError {
    fn because(fault: DeliveryFault, reason: impl Into<String>) -> Self {
        Self {
            fault,
            reason: reason.into(),
            retry_after: None,
        }
    }

    /// Reports a receiver that could not be asked, or has not answered.
    fn unanswered(error: reqwest::Error, url: &Url) -> Self {
        let is_refusal = |error: &(dyn Error + 'static)| error.is::<NowhereAllowed>();
        if causes(&error).any(is_refusal) {
            return NotAllowed::to(url).into();
        }
        let fault = if error.is_connect() {
            DeliveryFault::Receiver
        } else {
            DeliveryFault::Unknown
        };
        let error = error.without_url();
        let causes: Vec<_> = causes(&error).map(ToString::to_string).collect();
        Self::because(fault, causes.join(": "))
    }
}

impl From<NotAllowed> for DeliveryError {
    fn from(refusal: NotAllowed) -> Self {
        Self::because(DeliveryFault::NotAllowed, refusal.to_string())
    }
}

impl Poster {
    pub(super) fn new(
        settings: PushSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, reqwest::Error> {
        // An error means that the process already has a provider, which is all that is needed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = |is_own_port| {
            let builder = || {
                reqwest::Client::builder()
                    .user_agent(concat!("gavel/", env!("CARGO_PKG_VERSION")))
                    .connect_timeout(CONNECT_TIMEOUT)
                    .timeout(settings.timeout)
                    .redirect(redirect::Policy::none())
                    // A proxy would resolve names for us, and reach what we must not.
                    .no_proxy()
                    .dns_resolver(Arc::new(Resolver {
                        rules: settings.rules.clone(),
                        is_own_port,
                    }))
            };
            // A machine without CA certificates can still push to `http`.
            let built = builder().build();
            built.or_else(|_| builder().tls_certs_only([]).build())
        };
        Ok(Self {
            http: client(false)?,
            http_at_own_port: client(true)?,
            settings,
            clock,
        })
    }

    /// Gives the URL of a receiver, if it is valid and, as far as the URL shows, allowed.
    pub(super) fn url(&self, push: &Push) -> Result<Url, DeliveryError> {
        let url = Url::parse(&push.url)
            .map_err(|error| DeliveryError::because(DeliveryFault::Receiver, error.to_string()))?;
        self.settings.rules.check(&url)?;
        Ok(url)
    }

    /// POSTs `body`. Nothing but an answer of 2xx is a success.
    pub(super) async fn deliver(
        &self,
        id: &ConsumerId,
        push: &Push,
        lease: &Lease,
        body: Vec<u8>,
        timeout: Duration,
    ) -> Result<(), DeliveryError> {
        let url = self.url(push)?;
        let http = if self.settings.rules.is_own_port(&url) {
            &self.http_at_own_port
        } else {
            &self.http
        };
        let mut request = http
            .post(url.clone())
            .timeout(timeout.min(self.settings.timeout))
            .header(CONTENT_TYPE, "application/json")
            .header("Gavel-Namespace", id.namespace().as_str())
            .header("Gavel-Consumer", id.name())
            .header(DELIVERY, lease.id.to_string());
        if let Some(secret) = &push.secret {
            let seconds = self.clock.now().unix_timestamp();
            request = request.header("Gavel-Signature", sign(secret, seconds, &body));
        }
        let answer = request.body(body).send().await;
        let mut answer = answer.map_err(|error| DeliveryError::unanswered(error, &url))?;
        let status = answer.status();
        let retry_after = retry_after(&answer, self.clock.now());
        finish(&mut answer).await;
        if status.is_success() {
            return Ok(());
        }
        let mut reason = format!("the receiver answered {status}");
        if status.is_redirection() {
            reason.push_str(", and redirects are not followed");
        }
        Err(DeliveryError {
            fault: DeliveryFault::of(status.as_u16()),
            reason,
            retry_after,
        })
    }
}

/// Reads `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3).
fn retry_after(answer: &Response, now: OffsetDateTime) -> Option<Duration> {
    let text = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    let rest = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let then = OffsetDateTime::from(httpdate::parse_http_date(text).ok()?);
            Duration::try_from(then - now).unwrap_or_default()
        }
    };
    Some(rest.min(LONGEST_REST))
}

/// Reads what a short answer has, so that the connection can be used again. No error: what counts
/// is the status.
async fn finish(answer: &mut Response) {
    let mut read = 0;
    while read < ANSWER_BYTES {
        match answer.chunk().await {
            Ok(Some(chunk)) => read += chunk.len(),
            Ok(None) | Err(_) => break,
        }
    }
}

/// Writes an error, and all that caused it.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    iter::successors(Some(error), |&error| error.source())
}
