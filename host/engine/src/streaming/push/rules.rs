//! Rules on the receivers that may be pushed to: a client that can make a consumer must not reach,
//! through this host, what only this host can reach.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use gavel_config::{HostName, PushTarget};
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;

/// The rules on where events may be pushed to. Cheap to clone.
///
/// **Invariant:** the address that is checked is the one that is connected to: one in a URL, or one
/// that the name was resolved to for this very connection.
#[derive(Debug, Clone)]
pub struct PushRules {
    allow: Option<Arc<[PushTarget]>>,
    listen: SocketAddr,
}

/// A receiver that may not be pushed to.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the setting `push.allow` does not allow to push to {receiver}")]
pub struct NotAllowed {
    /// The host and the port as in the URL. The addresses of a name are left out: they are for
    /// those alone who may resolve it.
    receiver: String,
}

impl PushRules {
    /// Makes the rules of a host that listens on `listen`: those of the setting, or the default
    /// ones without it.
    #[must_use]
    pub fn new(allow: Option<Vec<PushTarget>>, listen: SocketAddr) -> Self {
        Self {
            allow: allow.map(Arc::from),
            listen,
        }
    }

    /// Refuses a URL whose host is an address that may not be pushed to. Names are looked at when
    /// they are resolved.
    pub(in crate::streaming) fn check(&self, url: &Url) -> Result<(), NotAllowed> {
        let Some(address) = url.host_str().and_then(address) else {
            return Ok(());
        };
        if self.allows(None, address, self.is_own_port(url)) {
            return Ok(());
        }
        Err(NotAllowed::to(url))
    }

    /// Tells whether a URL leads to the port that this host listens on, on whatever machine.
    pub(super) fn is_own_port(&self, url: &Url) -> bool {
        url.port_or_known_default() == Some(self.listen.port())
    }

    fn allows(&self, name: Option<&str>, address: IpAddr, is_own_port: bool) -> bool {
        let address = address.to_canonical();
        if is_own_port && self.is_ours(address) {
            return false;
        }
        match &self.allow {
            Some(allow) => allow.iter().any(|target| covers(target, name, address)),
            None => {
                let is_local = self.listen.ip().to_canonical().is_loopback();
                is_public(address) || is_local && address.is_loopback()
            }
        }
    }

    /// Tells whether an address leads to this machine. Any such address may lead to the listening
    /// socket.
    fn is_ours(&self, address: IpAddr) -> bool {
        address.is_loopback()
            || address.is_unspecified()
            || address == self.listen.ip().to_canonical()
            // Only addresses of this machine can be bound.
            || UdpSocket::bind((address, 0)).is_ok()
    }
}

impl NotAllowed {
    pub(super) fn to(url: &Url) -> Self {
        let host = url.host_str().unwrap_or_default();
        let receiver = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        Self { receiver }
    }
}

/// Reads the address that the host of a URL is, if it is no name.
fn address(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse().ok()
}

fn covers(target: &PushTarget, name: Option<&str>, address: IpAddr) -> bool {
    match target {
        PushTarget::Public => is_public(address),
        PushTarget::Network(network) => network.contains(&address),
        PushTarget::Host(host) => name.is_some_and(|name| bare(name) == bare(host.as_str())),
        PushTarget::Below(host) => name.is_some_and(|name| is_below(bare(name), host)),
    }
}

fn is_below(name: &str, host: &HostName) -> bool {
    let rest = name.strip_suffix(bare(host.as_str()));
    rest.is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

/// Removes the dot at the end of a fully qualified name.
fn bare(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// Resolves names to addresses that may be pushed to only, at every connection, so that a name
/// cannot be turned to another address after it was looked at.
#[derive(Debug)]
pub(super) struct Resolver {
    pub(super) rules: PushRules,
    /// Tells whether the connection goes to the port that this host listens on.
    pub(super) is_own_port: bool,
}

/// A name leads to addresses, none of which may be pushed to.
#[derive(Debug, Error)]
#[error("no address of the receiver is allowed")]
pub(super) struct NowhereAllowed;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (rules, is_own_port) = (self.rules.clone(), self.is_own_port);
        Box::pin(async move {
            let name = name.as_str();
            let found = tokio::net::lookup_host((name, 0)).await?;
            let allowed: Vec<_> = found
                .filter(|address| rules.allows(Some(name), address.ip(), is_own_port))
                .collect();
            if allowed.is_empty() {
                return Err(NowhereAllowed.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Tells whether an address belongs to the public Internet, by the registries of IANA for special
/// purposes (RFC 6890) as of 2025.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let is_shared = a == 100 && (64..128).contains(&b);
            let is_protocol = (a, b, c) == (192, 0, 0);
            let is_relay = (a, b, c) == (192, 88, 99);
            let is_benchmark = a == 198 && (b == 18 || b == 19);
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_documentation()
                || v4.is_multicast()
                || is_shared
                || is_protocol
                || is_relay
                || is_benchmark
                || a == 0
                || a >= 240)
        }
        IpAddr::V6(v6) => {
            let [first, second, ..] = v6.segments();
            // 6to4, NAT64, and Teredo among the protocols lead to IPv4 addresses, of any kind.
            let leads_elsewhere = first == 0x2002 || (first, second) == (0x64, 0xff9b);
            let is_protocol = first == 0x2001 && second < 0x200;
            let is_documentation =
                (first, second) == (0x2001, 0xdb8) || first == 0x3fff && second < 0x1000;
            let is_global = first & 0xe000 == 0x2000;
            is_global && !leads_elsewhere && !is_protocol && !is_documentation
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: &str = "127.0.0.1:4000";

    fn rules(allow: Option<&[PushTarget]>, listen: &str) -> PushRules {
        PushRules::new(allow.map(<[_]>::to_vec), listen.parse().unwrap())
    }

    fn allows(rules: &PushRules, url: &str) -> bool {
        rules.check(&Url::parse(url).unwrap()).is_ok()
    }

    #[test]
    fn addresses_of_special_purpose_are_not_public() {
        let is_public = |text: &str| is_public(text.parse::<IpAddr>().unwrap().to_canonical());
        for address in [
            "8.8.8.8",
            "100.128.0.1",
            "172.32.0.1",
            "198.20.0.1",
            "2606:4700::1111",
            "2001:4860:4860::8888",
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
            "192.88.99.1",
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
            "::127.0.0.1",
            "2001:0:7f00:1::",
            "2002:7f00:1::",
            "64:ff9b::7f00:1",
            "2001:db8::1",
            "3fff::1",
        ] {
            assert!(!is_public(address), "{address}");
        }
    }

    #[test]
    fn unless_told_public_addresses_are_allowed_and_this_machine_to_a_host_for_it_alone() {
        for listen in [LOCAL, "[::1]:4000", "[::ffff:127.0.0.1]:4000"] {
            let local = rules(None, listen);
            for url in ["http://127.0.0.1:5000", "http://[::1]", "http://8.8.8.8"] {
                assert!(allows(&local, url), "{listen}: {url}");
            }
        }
        let open = rules(None, "0.0.0.0:4000");
        assert!(allows(&open, "https://8.8.8.8"));
        for url in ["http://127.0.0.1:5000", "http://[::1]", "http://0.0.0.0"] {
            assert!(!allows(&open, url), "{url}");
        }
        for url in [
            "http://10.0.0.1",
            "http://169.254.169.254/latest/meta-data",
            "http://[fd00::1]",
            "http://[::ffff:10.0.0.1]",
        ] {
            assert!(!allows(&rules(None, LOCAL), url), "{url}");
        }
    }

    #[test]
    fn a_host_never_pushes_to_the_port_it_listens_on() {
        let anywhere: [PushTarget; 2] =
            ["0.0.0.0/0", "::/0"].map(|network| PushTarget::Network(network.parse().unwrap()));
        for (allow, listen) in [
            (None, LOCAL),
            (Some(&anywhere[..]), LOCAL),
            (Some(&anywhere[..]), "0.0.0.0:4000"),
        ] {
            let rules = rules(allow, listen);
            for host in [
                "127.0.0.1",
                "127.9.9.9",
                "2130706433",
                "0x7f.1",
                "0.0.0.0",
                "[::1]",
                "[::]",
                "[::ffff:127.0.0.1]",
            ] {
                assert!(!allows(&rules, &format!("http://{host}:4000")), "{host}");
            }
            assert!(allows(&rules, "http://8.8.8.8:4000"));
        }
        assert!(!allows(&rules(None, "127.0.0.1:80"), "http://127.0.0.1"));
    }

    #[test]
    fn a_list_names_all_that_is_allowed() {
        let networks = [PushTarget::Network("10.0.0.0/8".parse().unwrap())];
        let networks = rules(Some(&networks), LOCAL);
        assert!(allows(&networks, "http://10.1.2.3"));
        assert!(allows(&networks, "http://[::ffff:10.1.2.3]"));
        for url in ["http://8.8.8.8", "http://127.0.0.1", "http://11.0.0.1"] {
            assert!(!allows(&networks, url), "{url}");
        }
        assert!(!allows(&rules(Some(&[]), LOCAL), "http://8.8.8.8"));
        assert!(allows(
            &rules(Some(&[PushTarget::Public]), LOCAL),
            "http://8.8.8.8"
        ));
    }

    #[test]
    fn a_host_that_is_named_is_allowed_whatever_its_address() {
        let host = |name| HostName::of(name).unwrap();
        let named = [
            PushTarget::Host(host("hooks.example")),
            PushTarget::Below(host("inner.example")),
        ];
        let rules = rules(Some(&named), LOCAL);
        let private = "10.0.0.1".parse().unwrap();
        for name in [
            "hooks.example",
            "hooks.example.",
            "a.inner.example",
            "a.b.inner.example.",
        ] {
            assert!(rules.allows(Some(name), private, false), "{name}");
        }
        for name in [
            "a.hooks.example",
            "hooks.example.org",
            "inner.example",
            ".inner.example",
            "dinner.example",
        ] {
            assert!(!rules.allows(Some(name), private, false), "{name}");
        }
        let own = "127.0.0.1".parse().unwrap();
        assert!(!rules.allows(Some("hooks.example"), own, true));
    }
}
