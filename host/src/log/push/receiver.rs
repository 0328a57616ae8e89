//! Speaking to receivers: one POST, and what its answer means.

use std::error::Error as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Response, Url, redirect};

use time::OffsetDateTime;

use super::signature::sign;
use crate::core::{Clock, ConsumerId, Lease, Push};

/// Longest time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of an answer is read, in bytes.
const ANSWER_BYTES: usize = 4 * 1024;
/// The longest rest that a receiver can ask for.
const LONGEST_REST: Duration = Duration::from_secs(3_600);

/// What is allowed to receivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PushSettings {
    /// Longest time for an answer.
    pub timeout: Duration,
    /// Whether addresses that are not public may be delivered to.
    pub allow_private_addresses: bool,
}

/// Delivers to any receiver. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Receiver {
    http: reqwest::Client,
    settings: PushSettings,
    clock: Arc<dyn Clock>,
}

/// A delivery was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) fault: Fault,
    /// For those who look after the consumer. Nothing of an answer but its status: whoever may read this need not be one to whom the
    /// receiver would answer.
    pub(super) reason: String,
    /// How long the receiver wants to be left alone.
    pub(super) retry_after: Option<Duration>,
}

/// What a delivery that was not taken is put down to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Events of this stream.
    Events,
    /// More events than the receiver takes at a time.
    TooLarge,
    /// The receiver, whatever it is sent.
    Receiver,
    /// The receiver, or what these events do to it.
    Unknown,
}

impl Fault {
    /// By the status of an answer: too large, too many, not in time, a fault of the server.
    fn of(status: u16) -> Self {
        match status {
            413 => Self::TooLarge,
            429 => Self::Receiver,
            408 | 500..=599 => Self::Unknown,
            _ => Self::Events,
        }
    }
}

impl Refused {
    fn because(fault: Fault, reason: impl Into<String>) -> Self {
        Self {
            fault,
            reason: reason.into(),
            retry_after: None,
        }
    }
}

impl Receiver {
    pub(super) fn new(
        settings: PushSettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, reqwest::Error> {
        // An error means that the process already has a provider, which is all that is needed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let builder = || {
            let builder = reqwest::Client::builder()
                .user_agent(concat!("gavel/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_TIMEOUT)
                .timeout(settings.timeout)
                .redirect(redirect::Policy::none());
            if settings.allow_private_addresses {
                return builder;
            }
            // A proxy would resolve names for us, and reach what we must not.
            builder.no_proxy().dns_resolver(Arc::new(PublicAddresses))
        };
        // A machine without CA certificates can still push to `http`.
        let built = builder().build();
        let http = built.or_else(|_| builder().tls_certs_only([]).build())?;
        Ok(Self {
            http,
            settings,
            clock,
        })
    }

    /// POSTs `body`. Nothing but an answer of 2xx is a success.
    pub(super) async fn deliver(
        &self,
        id: &ConsumerId,
        push: &Push,
        lease: &Lease,
        body: Vec<u8>,
        timeout: Duration,
    ) -> Result<(), Refused> {
        let url = self.allowed(&push.url)?;
        let mut request = self
            .http
            .post(url)
            .timeout(timeout.min(self.settings.timeout))
            .header(CONTENT_TYPE, "application/json")
            .header("Gavel-Namespace", id.namespace().as_str())
            .header("Gavel-Consumer", id.name())
            .header("Gavel-Delivery", lease.id.to_string());
        if let Some(secret) = &push.secret {
            let seconds = self.clock.now().unix_timestamp();
            request = request.header("Gavel-Signature", sign(secret, seconds, &body));
        }
        let answer = request.body(body).send().await;
        let mut answer = answer.map_err(|error| {
            let fault = if error.is_connect() {
                Fault::Receiver
            } else {
                Fault::Unknown
            };
            Refused::because(fault, said(&error.without_url()))
        })?;
        let status = answer.status();
        let retry_after = retry_after(&answer, self.clock.now());
        finish(&mut answer).await;
        if status.is_success() {
            return Ok(());
        }
        Err(Refused {
            fault: Fault::of(status.as_u16()),
            reason: format!("the receiver answered {status}"),
            retry_after,
        })
    }

    /// The URL, if its host is a name or an address that may be delivered to. Names are looked at when they are resolved.
    fn allowed(&self, url: &str) -> Result<Url, Refused> {
        let url = Url::parse(url)
            .map_err(|error| Refused::because(Fault::Receiver, error.to_string()))?;
        let literal = url.host_str().map(|host| host.trim_matches(['[', ']']));
        let address = literal.and_then(|host| host.parse::<IpAddr>().ok());
        if self.settings.allow_private_addresses || address.is_none_or(is_public) {
            return Ok(url);
        }
        Err(Refused::because(Fault::Receiver, NOT_PUBLIC))
    }
}

const NOT_PUBLIC: &str = "the address is not public, and `push.allow_private_addresses` is off";

/// Resolves names to public addresses only, at every connection, so that a name cannot be turned to another address after it was looked at.
#[derive(Debug)]
struct PublicAddresses;

impl Resolve for PublicAddresses {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<_> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(NOT_PUBLIC.into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is one of the public Internet, by the registries of IANA for special purposes (RFC 6890) as of 2025.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let is_shared = a == 100 && (64..128).contains(&b);
            let is_protocol = (a, b, c) == (192, 0, 0);
            let is_benchmark = a == 198 && (b == 18 || b == 19);
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_documentation()
                || v4.is_multicast()
                || is_shared
                || is_protocol
                || is_benchmark
                || a == 0
                || a >= 240)
        }
        IpAddr::V6(v6) => {
            let segments = v6.segments();
            // 6to4 and NAT64 lead to IPv4 addresses, of any kind.
            let leads_elsewhere = segments[0] == 0x2002 || segments[..2] == [0x64, 0xff9b];
            let is_documentation = segments[..2] == [0x2001, 0xdb8];
            (segments[0] & 0xe000) == 0x2000 && !leads_elsewhere && !is_documentation
        }
    }
}

/// `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3).
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

/// Reads what a short answer has, so that the connection can be used again. No error: what counts is the status.
async fn finish(answer: &mut Response) {
    let mut read = 0;
    while read < ANSWER_BYTES {
        match answer.chunk().await {
            Ok(Some(chunk)) => read += chunk.len(),
            Ok(None) | Err(_) => break,
        }
    }
}

/// An error with all that caused it.
fn said(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_special_purpose_are_not_public() {
        let is_public = |text: &str| is_public(text.parse().unwrap());
        for address in [
            "8.8.8.8",
            "100.128.0.1",
            "172.32.0.1",
            "198.20.0.1",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
        ] {
            assert!(is_public(address), "{address}");
        }
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "192.0.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "2002:7f00:1::",
            "64:ff9b::7f00:1",
            "2001:db8::1",
        ] {
            assert!(!is_public(address), "{address}");
        }
    }
}
