//! Bearer tokens and their scopes.

use std::collections::BTreeSet;

use gavel_model::{Namespace, in_utc};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::area::area;
use super::setting::Setting;

area! {
    /// The authentication of requests.
    pub struct Auth in "auth" {
        /// Serves an address that others can reach although no token is configured.
        insecure_no_auth: bool = false;
        /// The bearer tokens that requests may carry. Without any token, everything is allowed, and
        /// only the loopback address is served.
        tokens: Vec<Token> = Vec::new();
    }
}

/// A bearer token that the host knows, by its hash only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// The name of the holder: the `actor` of its commands, and `activated_by` of its activations.
    pub name: String,
    /// The SHA-256 of the token; 64 hexadecimal digits in `gavel.toml`.
    #[serde(deserialize_with = "sha256")]
    pub sha256: [u8; 32],
    /// The scopes of the holder.
    pub scopes: BTreeSet<Scope>,
    /// The time from which the token is refused (inclusive), as RFC 3339 in `gavel.toml`; none for
    /// a token that never expires.
    #[serde(default, deserialize_with = "time")]
    pub expires_at: Option<OffsetDateTime>,
    /// The namespaces in which the token is valid; none for all of them.
    #[serde(default, deserialize_with = "namespaces")]
    pub namespaces: Option<BTreeSet<Namespace>>,
}

impl Token {
    /// A token without an expiry, valid in all namespaces.
    pub fn new(
        name: impl Into<String>,
        sha256: [u8; 32],
        scopes: impl IntoIterator<Item = Scope>,
    ) -> Self {
        Self {
            name: name.into(),
            sha256,
            scopes: scopes.into_iter().collect(),
            expires_at: None,
            namespaces: None,
        }
    }

    /// The SHA-256 of a token, by which the host knows it.
    #[must_use]
    pub fn hash(secret: &str) -> [u8; 32] {
        Sha256::digest(secret).into()
    }

    /// Tells whether the holder has `scope`, or the scope of an administrator.
    #[must_use]
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }

    /// Tells whether the token has expired at `now`.
    #[must_use]
    pub fn has_expired(&self, now: OffsetDateTime) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// Tells whether the token is valid in `namespace`.
    #[must_use]
    pub fn holds_in(&self, namespace: &Namespace) -> bool {
        let own = self.namespaces.as_ref();
        own.is_none_or(|own| own.contains(namespace))
    }
}

/// A permission of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The right to read state, events and modules.
    Read,
    /// The right to send commands. Answers show the events, and on request the state, even in a dry
    /// run.
    Command,
    /// The right to upload, activate and roll back modules.
    Deploy,
    /// The right to append events without a decider.
    Append,
    /// The right to create consumers and to lease their events.
    Consume,
    /// All rights.
    Admin,
}

impl Scope {
    /// The scope as settings and clients name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Command => "command",
            Self::Deploy => "deploy",
            Self::Append => "append",
            Self::Consume => "consume",
            Self::Admin => "admin",
        }
    }
}

fn sha256<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(String::deserialize(deserializer)?, &mut bytes)
        .map_err(|_| D::Error::custom("`sha256` is not 64 hexadecimal digits"))?;
    Ok(bytes)
}

/// Reads a time, either as TOML's own type or as text.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<OffsetDateTime>, D::Error> {
    let text = match toml::Value::deserialize(deserializer)? {
        toml::Value::String(text) => text,
        value => value.to_string(),
    };
    let time = OffsetDateTime::parse(&text, &Rfc3339).ok().and_then(in_utc);
    let expected = "`expires_at` is no time such as 2027-01-01T00:00:00Z";
    time.map(Some).ok_or_else(|| D::Error::custom(expected))
}

fn namespaces<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<BTreeSet<Namespace>>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    if names.is_empty() {
        return Err(D::Error::custom("`namespaces` names none"));
    }
    let namespaces: Result<_, _> = names.into_iter().map(Namespace::new).collect();
    namespaces.map(Some).map_err(D::Error::custom)
}

impl Setting for Vec<Token> {
    const SECRET: bool = true;

    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        let tables = value
            .as_array()
            .ok_or("`[[auth.tokens]]` tables in gavel.toml")?;
        let mut tokens: Self = Vec::new();
        for (index, table) in tables.iter().enumerate() {
            let place = index.saturating_add(1);
            let token: Token = table.clone().try_into().map_err(|error: toml::de::Error| {
                format!(
                    "`name`, `sha256`, `scopes`, and if need be `expires_at` and `namespaces`, but of token {place}: {}",
                    error.message()
                )
            })?;
            if token.name.is_empty() || tokens.iter().any(|other| other.name == token.name) {
                return Err(format!("a name of its own for token {place}"));
            }
            if token.scopes.is_empty() {
                return Err(format!("at least one scope for token {place}"));
            }
            tokens.push(token);
        }
        Ok(tokens)
    }

    fn to_json(&self) -> serde_json::Value {
        self.iter().map(|token| token.name.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(toml: &str) -> Result<Vec<Token>, String> {
        let table: toml::Table = toml::from_str(toml).unwrap();
        Vec::from_toml(&table["tokens"])
    }

    #[test]
    fn a_token_is_a_name_a_hash_and_scopes() {
        let hash = "0a".repeat(32);
        let tokens = parse(&format!(
            "[[tokens]]\nname = 'ci'\nsha256 = '{hash}'\nscopes = ['deploy', 'read']"
        ))
        .unwrap();
        assert_eq!(tokens[0].name, "ci");
        assert_eq!(tokens[0].sha256, [10; 32]);
        assert_eq!(
            tokens[0].scopes,
            BTreeSet::from([Scope::Read, Scope::Deploy])
        );
    }

    #[test]
    fn a_token_may_end_and_may_hold_in_some_namespaces_only() {
        let hash = "0a".repeat(32);
        let good = format!("[[tokens]]\nname = 'ci'\nsha256 = '{hash}'\nscopes = ['read']\n");
        let (east, west) = (Namespace::new("east"), Namespace::new("west"));
        let (east, west) = (east.unwrap(), west.unwrap());
        let end = time::macros::datetime!(2027-01-01 0:00 UTC);
        let before = end - time::Duration::NANOSECOND;

        let token = parse(&good).unwrap().remove(0);
        assert!(!token.has_expired(end) && token.holds_in(&east));
        for time in ["2027-01-01T00:00:00Z", "'2027-01-01T01:00:00+01:00'"] {
            let token = parse(&format!("{good}expires_at = {time}")).unwrap();
            assert!(!token[0].has_expired(before) && token[0].has_expired(end));
        }
        let token = parse(&format!("{good}namespaces = ['east']")).unwrap();
        assert!(token[0].holds_in(&east) && !token[0].holds_in(&west));
    }

    #[test]
    fn a_bad_token_is_named_with_what_is_wrong() {
        let hash = "0a".repeat(32);
        let good = format!("[[tokens]]\nname = 'ci'\nsha256 = '{hash}'\nscopes = ['read']\n");
        for (toml, wrong) in [
            ("tokens = 'abc'".to_owned(), "tables"),
            (good.replace("0a", "0x"), "64 hexadecimal digits"),
            (good.replace("read", "write"), "unknown variant `write`"),
            (good.replace("scopes", "scope"), "unknown field `scope`"),
            (good.replace("'read'", ""), "at least one scope"),
            (format!("{good}{good}"), "token 2"),
            (format!("{good}expires_at = '2027-01-01'"), "no time"),
            (format!("{good}expires_at = 2027-01-01T00:00:00"), "no time"),
            (format!("{good}namespaces = []"), "names none"),
            (format!("{good}namespaces = ['A']"), "a namespace is"),
        ] {
            let message = parse(&toml).unwrap_err();
            assert!(message.contains(wrong), "{message:?} should say {wrong:?}");
        }
    }

    #[test]
    fn of_a_token_only_the_name_is_shown() {
        let hash = "0a".repeat(32);
        let tokens = parse(&format!(
            "[[tokens]]\nname = 'ci'\nsha256 = '{hash}'\nscopes = ['read']"
        ));
        assert_eq!(tokens.unwrap().to_json(), serde_json::json!(["ci"]));
    }
}
