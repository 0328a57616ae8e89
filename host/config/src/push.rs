//! The limits of the host as a client that pushes events.

use std::net::IpAddr;

use ipnet::IpNet;

use super::HostName;
use super::area::area;
use super::setting::Setting;

area! {
    /// The limits of pushing events to the URLs of consumers.
    pub struct Push in "push" {
        /// The longest time for a receiver to answer, in milliseconds.
        deadline_ms: u64 = 30_000, within 100..=600_000;
        /// The receivers that may be pushed to: hosts (`hooks.example`, `*.hooks.example`),
        /// networks (`10.0.0.0/8`), and `public` for all public addresses. By default `public`, and
        /// this machine while `server.listen` is a loopback address. The port that the host listens
        /// on is never allowed.
        allow: Option<Vec<PushTarget>> = None;
    }
}

/// A set of receivers that may be pushed to.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub enum PushTarget {
    /// All public addresses.
    Public,
    /// The addresses of a network.
    Network(IpNet),
    /// A host at any address.
    Host(HostName),
    /// All hosts whose names end in a dot and this name, at any address.
    Below(HostName),
}

impl PushTarget {
    fn parse(text: &str) -> Option<Self> {
        if text == "public" {
            return Some(Self::Public);
        }
        if let Ok(network) = text.parse() {
            return Some(Self::Network(network));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self::Network(address.into()));
        }
        let (name, target): (_, fn(HostName) -> Self) = match text.strip_prefix("*.") {
            Some(name) => (name, Self::Below),
            None => (text, Self::Host),
        };
        let host = HostName::from_toml(&name.into()).ok()?;
        host.address().is_none().then(|| target(host))
    }
}

impl Setting for PushTarget {
    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        value.as_str().and_then(Self::parse).ok_or_else(|| {
            "`public`, a host such as hooks.example or *.hooks.example, or a network such as 10.0.0.0/8"
                .to_owned()
        })
    }

    fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Public => "public".into(),
            Self::Network(network) => network.to_string().into(),
            Self::Host(host) => host.to_json(),
            Self::Below(host) => format!("*.{}", host.as_str()).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_target_is_a_host_a_network_or_all_that_is_public() {
        for (text, shown) in [
            ("public", "public"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.0.0.1", "10.0.0.1/32"),
            ("fd00::/8", "fd00::/8"),
            ("Hooks.Example", "hooks.example"),
            ("*.hooks.example", "*.hooks.example"),
            ("localhost", "localhost"),
        ] {
            let read = PushTarget::from_toml(&text.into()).unwrap();
            assert_eq!(read.to_json(), json!(shown));
        }
        for text in [
            "",
            "*",
            "*.",
            "*.10.0.0.1",
            "10.0.0.0/33",
            "127.1",
            "http://hooks.example",
            "hooks.example:80",
            "a.*.example",
        ] {
            assert!(PushTarget::from_toml(&text.into()).is_err(), "{text}");
        }
    }
}
