//! `gavel token`: make a token that a host accepts.

use std::collections::BTreeSet;

use anyhow::Context as _;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use gavel_config::{Scope, Token};
use serde::de::IntoDeserializer as _;
use serde::{Deserialize as _, Serialize};

use super::exit::Result;
use super::output::Output;

/// Bytes of a token: 256 bits, too many to guess.
const TOKEN_BYTES: usize = 32;

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  gavel token ci --scope read --scope deploy > ci.token\n  GAVEL_TOKEN=$(cat ci.token) gavel deploy account.wasm\n\nThe token goes to standard output, and nowhere else: nobody can show it again. Add the lines for gavel.toml\nto the host's, and tell the host with SIGHUP."
)]
pub(super) struct Arguments {
    /// Names the holder: the `actor` of its commands.
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// A scope of the holder: read, command, deploy, append, consume or admin; repeat the flag for
    /// more than one.
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_parser = scope)]
    scopes: Vec<Scope>,
}

/// A new token, for programs.
#[derive(Debug, Serialize)]
struct NewToken<'a> {
    token: &'a str,
    #[serde(flatten)]
    entry: &'a TokenEntry<'a>,
}

/// The table of a token in `gavel.toml`.
#[derive(Debug, Serialize)]
struct TokenEntry<'a> {
    name: &'a str,
    sha256: String,
    scopes: BTreeSet<&'static str>,
}

pub(super) fn run(arguments: &Arguments, output: &mut Output<'_>) -> Result {
    let token = hex::encode(rand::random::<[u8; TOKEN_BYTES]>());
    let entry = TokenEntry {
        name: &arguments.name,
        sha256: hex::encode(Token::hash(&token)),
        scopes: arguments
            .scopes
            .iter()
            .map(|scope| scope.as_str())
            .collect(),
    };
    if output.is_json() {
        let (token, entry) = (token.as_str(), &entry);
        return output.json(&NewToken { token, entry });
    }
    let lines = toml::to_string(&entry).context("cannot write lines for gavel.toml")?;
    output.note(&format!("[[auth.tokens]]\n{lines}"));
    output.text(&token)
}

fn scope(text: &str) -> std::result::Result<Scope, serde::de::value::Error> {
    Scope::deserialize(text.into_deserializer())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::{Exit, test_server};

    #[test]
    fn the_token_alone_is_the_answer_and_its_lines_are_said_beside() {
        let arguments = ["token", "c\"i", "--scope", "read", "--scope", "deploy"];
        let (one, other) = (test_server::run(&arguments), test_server::run(&arguments));
        assert_eq!(one.exit, Exit::Done);
        assert_ne!(one.data, other.data);
        assert!(!one.notes.contains(one.data.trim()));
        let lines: toml::Table = toml::from_str(&one.notes).unwrap();
        let entry = &lines["auth"]["tokens"][0];
        assert_eq!(entry["name"].as_str(), Some("c\"i"));
        assert_eq!(entry["scopes"].as_array().map(Vec::len), Some(2));

        let json = test_server::run(&[&arguments[..], &["-o", "json"]].concat());
        let json: Value = serde_json::from_str(&json.data).unwrap();
        for member in ["token", "sha256"] {
            assert_eq!(json[member].as_str().map(str::len), Some(64), "{member}");
        }
    }

    #[test]
    fn a_token_has_a_name_and_scopes_that_there_are() {
        for arguments in [
            &["token", "ci"][..],
            &["token", "", "--scope", "read"],
            &["token", "ci", "--scope", "write"],
        ] {
            let error = test_server::parse(arguments).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{arguments:?}");
        }
    }
}
