//! Hosts and origins, which tell our own web pages from foreign ones.

use std::net::{IpAddr, Ipv4Addr};

use url::Url;

use super::setting::Setting;

/// A host as it stands in a URL: a name or an address, without a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd)]
pub struct HostName(String);

impl HostName {
    /// The host of `name` or `name:port`; none if the text is neither.
    #[must_use]
    pub fn of(authority: &str) -> Option<Self> {
        let (host, port) = authority.split_once(':').unwrap_or((authority, "0"));
        let is_usual = host == "localhost" || host.parse::<Ipv4Addr>().is_ok();
        // Each request names a host, and nearly all of them this machine: those need no URL.
        if is_usual
            && port.starts_with(|first: char| first.is_ascii_digit())
            && port.parse::<u16>().is_ok()
        {
            return Some(Self(host.to_owned()));
        }
        Origin::parse(&format!("http://{authority}")).map(|origin| origin.host())
    }

    /// The name or the address, as it stands in a URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Tells whether the host is this machine only.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.0 == "localhost" || self.address().is_some_and(|address| address.is_loopback())
    }

    /// The address; none for a name.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        let text = self.0.trim_start_matches('[').trim_end_matches(']');
        text.parse()
            .ok()
            .map(|address: IpAddr| address.to_canonical())
    }
}

impl Setting for HostName {
    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        value
            .as_str()
            // Where there is one already, a second port makes it no authority.
            .and_then(|text| Self::of(&format!("{text}:1")))
            .ok_or_else(|| "a host without a port, such as gavel.example".to_owned())
    }

    fn to_json(&self) -> serde_json::Value {
        self.0.as_str().into()
    }
}

/// The origin of a web page: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd)]
pub struct Origin {
    host: String,
    text: String,
}

impl Origin {
    /// Parses an origin such as `https://gavel.example`; none if the text says more or less than
    /// that.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        // `*` stands for itself in a URL, but a person who writes it means a pattern.
        let is_bare = !text.contains('*')
            && url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none();
        (is_bare && matches!(url.scheme(), "http" | "https")).then_some(())?;
        Some(Self {
            host: url.host_str()?.to_owned(),
            text: url.origin().ascii_serialization(),
        })
    }

    /// The origin as a browser sends it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host of the origin.
    #[must_use]
    pub fn host(&self) -> HostName {
        HostName(self.host.clone())
    }
}

impl Setting for Origin {
    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        value
            .as_str()
            .and_then(Self::parse)
            .ok_or_else(|| "an origin such as https://gavel.example".to_owned())
    }

    fn to_json(&self) -> serde_json::Value {
        self.text.as_str().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_has_a_host_whatever_its_port_and_case() {
        for (authority, host) in [
            ("gavel.example", "gavel.example"),
            ("Gavel.Example:80", "gavel.example"),
            ("10.0.0.1:4000", "10.0.0.1"),
            ("[::1]:4000", "[::1]"),
        ] {
            assert_eq!(HostName::of(authority), Some(HostName(host.to_owned())));
        }
        for authority in ["", ":80", "a b", "user@host", "host/path", "host?query"] {
            assert_eq!(HostName::of(authority), None, "{authority}");
        }
    }

    #[test]
    fn what_means_this_machine_alone_is_a_name_or_an_address() {
        let is_loopback = |host| HostName::of(host).unwrap().is_loopback();
        for host in [
            "localhost",
            "127.0.0.1",
            "127.9.9.9",
            "[::1]",
            "[::ffff:127.0.0.1]",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example", "10.0.0.1", "0.0.0.0", "[fd00::1]"] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn a_setting_of_a_host_has_no_port() {
        let read = |text: &str| HostName::from_toml(&text.into());
        for host in ["gavel.example", "10.0.0.1", "[fd00::1]"] {
            assert_eq!(read(host), Ok(HostName(host.to_owned())));
        }
        for text in [
            "gavel.example:4000",
            "gavel.example:80",
            "[::1]:80",
            "gavel.example:",
            "http://gavel.example",
            "gavel.example/",
            "*",
            "a,b c",
            "",
        ] {
            let expected = "a host without a port, such as gavel.example";
            assert_eq!(read(text), Err(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_setting_of_an_origin_is_a_scheme_a_host_and_perhaps_a_port() {
        let read = |text: &str| Origin::from_toml(&text.into()).map(|origin| origin.text);
        for (text, origin) in [
            ("https://gavel.example", "https://gavel.example"),
            ("https://Gavel.Example:443/", "https://gavel.example"),
            ("http://localhost:3000", "http://localhost:3000"),
        ] {
            assert_eq!(read(text), Ok(origin.to_owned()));
        }
        for text in [
            "gavel.example",
            "https://gavel.example/ui",
            "https://gavel.example?a",
            "https://gavel.example#a",
            "https://ann@gavel.example",
            "ftp://gavel.example",
            "null",
            "*",
            "https://*.example",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
