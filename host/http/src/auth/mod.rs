//! The authentication and authorization of requests.
//!
//! The credentials are static bearer tokens, of which only the SHA-256 is kept: a token is 256
//! random bits, so that even a fast hash reveals nothing. Without any token configured, everybody
//! may do everything, and no actor is recorded.

pub(crate) mod tokens;
pub(crate) mod wrong_credentials;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use futures::StreamExt as _;
use gavel_config::{Scope, Token};
use gavel_model::{Clock as _, Namespace, SystemClock};
use gavel_store::ModuleViewer;
use time::OffsetDateTime;

use self::tokens::Tokens;
use crate::error::{Code, Problem};
use crate::state::AppState;

/// The authenticated sender of a request; in its extensions.
#[derive(Debug, Clone)]
pub(crate) struct Actor(Arc<Token>);

impl Actor {
    /// The name of the token.
    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    /// The viewer whose view of modules is restricted; none for a token that is valid in all
    /// namespaces.
    pub(crate) fn viewer(&self) -> Option<ModuleViewer> {
        let namespaces = self.0.namespaces.as_ref()?;
        Some(ModuleViewer {
            name: self.0.name.clone(),
            namespaces: namespaces.iter().cloned().collect(),
        })
    }

    /// Refuses what is done in a namespace that the token does not hold in.
    pub(crate) fn admit_to(&self, namespace: &Namespace) -> Result<(), Problem> {
        if self.0.holds_in(namespace) {
            return Ok(());
        }
        let detail = format!("The token does not hold in the namespace `{namespace}`.");
        Err(Problem::new(Code::Forbidden, detail).with("namespace", namespace.as_str()))
    }

    /// Refuses what is about all namespaces, when the token holds in some only.
    pub(crate) fn admit_to_all(&self) -> Result<(), Problem> {
        if self.0.namespaces.is_none() {
            return Ok(());
        }
        let detail = "This is about all namespaces, and the token holds in some only.";
        Err(Problem::new(Code::Forbidden, detail))
    }
}

/// Refuses a request whose sender may not do what needs `scope`, and notes down who the sender is.
pub(crate) fn authenticate(
    state: &AppState,
    scope: Scope,
    request: &mut Request,
) -> Result<(), Problem> {
    let tokens = &state.settings.tokens;
    if tokens.is_empty() {
        return Ok(());
    }
    match check(tokens, scope, request.headers(), SystemClock.now()) {
        Ok(actor) => {
            request.extensions_mut().insert(actor);
            Ok(())
        }
        Err(problem) => {
            let has_credential = request.headers().contains_key(header::AUTHORIZATION);
            if has_credential && problem.code() == Code::Unauthenticated {
                state.wrong_credentials.record(request.extensions());
            }
            Err(problem)
        }
    }
}

/// A mark in the extensions of an answer without an end, such as a subscription: the answer ends
/// when the token of its reader is refused.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Endless;

/// Ends an answer without an end to `actor` as soon as the actor's token is refused.
pub(crate) fn end_with_token(state: &AppState, actor: Option<Actor>, answer: Response) -> Response {
    match actor {
        Some(actor) if answer.extensions().get::<Endless>().is_some() => {
            let refused = state.settings.tokens.clone().until_refused(actor.0);
            answer.map(|body| Body::from_stream(body.into_data_stream().take_until(refused)))
        }
        _ => answer,
    }
}

fn check(
    tokens: &Tokens,
    scope: Scope,
    headers: &HeaderMap,
    now: OffsetDateTime,
) -> Result<Actor, Problem> {
    let known = bearer(headers).and_then(|secret| tokens.find(Token::hash(secret)));
    let Some(token) = known else {
        let detail = "Send a valid token: `Authorization: Bearer …`.";
        return Err(
            Problem::new(Code::Unauthenticated, detail).with("needed_scope", scope.as_str())
        );
    };
    if token.has_expired(now) {
        return Err(Problem::new(
            Code::Unauthenticated,
            "The token has expired.",
        ));
    }
    if !token.allows(scope) {
        let detail = format!("The token does not have the scope `{}`.", scope.as_str());
        return Err(Problem::new(Code::Forbidden, detail).with("needed_scope", scope.as_str()));
    }
    Ok(Actor(token))
}

/// The token of the one `Authorization` header.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use serde_json::json;
    use time::macros::datetime;

    use super::*;
    use crate::ApiSettings;
    use crate::testing::Api;

    const NOW: OffsetDateTime = datetime!(2026-01-01 0:00 UTC);

    fn tokens() -> Tokens {
        let token = |name: &str, scopes: &[Scope]| {
            let sha256 = Token::hash(&format!("secret-of-{name}"));
            Token::new(name, sha256, scopes.iter().copied())
        };
        let mut past = token("past", &[Scope::Admin]);
        past.expires_at = Some(NOW);
        Tokens::new(vec![
            past,
            token("ann", &[Scope::Read, Scope::Command]),
            token("root", &[Scope::Admin]),
        ])
    }

    #[track_caller]
    fn outcome(authorization: &[&str], scope: Scope) -> Result<String, Code> {
        let mut headers = HeaderMap::new();
        for value in authorization {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        check(&tokens(), scope, &headers, NOW)
            .map(|actor| actor.name().to_owned())
            .map_err(|problem| problem.code())
    }

    #[tokio::test]
    async fn without_tokens_everybody_may_do_everything_and_nobody_is_named() {
        let mut request = Request::default();
        authenticate(&Api::default().state, Scope::Admin, &mut request).unwrap();
        assert!(request.extensions().get::<Actor>().is_none());
    }

    #[test]
    fn a_token_names_its_owner_within_its_scopes() {
        assert_eq!(
            outcome(&["Bearer secret-of-ann"], Scope::Command),
            Ok("ann".to_owned())
        );
        assert_eq!(
            outcome(&["bearer secret-of-ann"], Scope::Read),
            Ok("ann".to_owned())
        );
        assert_eq!(
            outcome(&["Bearer secret-of-ann"], Scope::Deploy),
            Err(Code::Forbidden)
        );
        assert_eq!(
            outcome(&["Bearer secret-of-root"], Scope::Append),
            Ok("root".to_owned())
        );
    }

    #[test]
    fn anything_but_one_known_token_is_no_credential() {
        for given in [
            &[][..],
            &["Bearer wrong"],
            &["Bearer"],
            &["Basic secret-of-ann"],
            &["secret-of-ann"],
            &["Bearer secret-of-past"],
            &["Bearer secret-of-ann", "Bearer secret-of-root"],
        ] {
            assert_eq!(
                outcome(given, Scope::Read),
                Err(Code::Unauthenticated),
                "{given:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_token_is_good_in_its_namespaces_only() {
        let mut token = Token::new("east", Token::hash("east"), [Scope::Admin]);
        token.namespaces = Some([Namespace::new("east").unwrap()].into());
        let api = Api::new(ApiSettings {
            tokens: Tokens::new(vec![token]),
            ..ApiSettings::default()
        });
        let bearer = ("authorization", "Bearer east");
        let answer = api.send("GET /metrics", &[bearer], ()).await;
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (StatusCode::FORBIDDEN, &json!("forbidden"))
        );
        let info = api.send("GET /v1/info", &[bearer], ()).await;
        assert_eq!(info.status, StatusCode::OK);

        let document = api.get("/openapi.json").await.body;
        let mut refused = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                if !operation
                    .to_string()
                    .contains("/parameters/Gavel-Namespace")
                {
                    continue;
                }
                let path = path.replace(['{', '}'], "");
                let line = format!("{} {path}", method.to_uppercase());
                for headers in [&[bearer][..], &[bearer, ("gavel-namespace", "west")]] {
                    let answer = api.send(&line, headers, ()).await;
                    assert_eq!(answer.body["code"], "forbidden", "{line}: {}", answer.body);
                }
                let east = [bearer, ("gavel-namespace", "east")];
                let answer = api.send(&line, &east, ()).await;
                assert_ne!(answer.body["code"], "forbidden", "{line}: {}", answer.body);
                refused += 1;
            }
        }
        assert!(refused > 20, "{refused} operations are of a namespace");
    }
}
