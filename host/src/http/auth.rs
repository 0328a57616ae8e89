//! Who asks, and whether they may.
//!
//! Static bearer tokens, of which only the SHA-256 is kept: a token is 256 random bits, so that a hash that can be computed quickly gives
//! nothing away. Without any token configured, everybody may do everything and nobody is named.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::code::Code;
use super::problem::Problem;
use super::state::AppState;
use super::tokens::Tokens;
use crate::config::{Scope, Token};

/// The authenticated sender of a request; in its extensions.
#[derive(Debug, Clone)]
pub(super) struct Actor(Arc<Token>);

impl Actor {
    /// The name of the token.
    pub(super) fn name(&self) -> &str {
        &self.0.name
    }
}

/// The guard in front of routes that need a scope.
pub(super) async fn guard(
    State((state, scope)): State<(AppState, Scope)>,
    mut request: Request,
    next: Next,
) -> Response {
    match check(&state.settings.tokens, scope, request.headers()) {
        Ok(Some(actor)) => drop(request.extensions_mut().insert(actor)),
        Ok(None) => {}
        Err(problem) => return problem.into_response(),
    }
    next.run(request).await
}

fn check(tokens: &Tokens, scope: Scope, headers: &HeaderMap) -> Result<Option<Actor>, Problem> {
    if tokens.is_empty() {
        return Ok(None);
    }
    let known = bearer(headers).and_then(|secret| tokens.find(Token::hash(secret)));
    let Some(token) = known else {
        let detail = "Send a valid token: `Authorization: Bearer …`.";
        return Err(
            Problem::new(Code::Unauthenticated, detail).with("needed_scope", scope.as_str())
        );
    };
    if !token.allows(scope) {
        let detail = format!("The token does not have the scope `{}`.", scope.as_str());
        return Err(Problem::new(Code::Forbidden, detail).with("needed_scope", scope.as_str()));
    }
    Ok(Some(Actor(token)))
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
    use super::*;

    fn tokens() -> Tokens {
        let token = |name: &str, scopes: &[Scope]| {
            let sha256 = Token::hash(&format!("secret-of-{name}"));
            Token::new(name, sha256, scopes.iter().copied())
        };
        Tokens::new(vec![
            token("ann", &[Scope::Read, Scope::Command]),
            token("root", &[Scope::Admin]),
        ])
    }

    #[track_caller]
    fn outcome(authorization: &[&str], scope: Scope) -> Result<Option<String>, Code> {
        let mut headers = HeaderMap::new();
        for value in authorization {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        check(&tokens(), scope, &headers)
            .map(|actor| actor.map(|actor| actor.name().to_owned()))
            .map_err(|problem| problem.code())
    }

    #[test]
    fn without_tokens_everybody_may_do_everything_and_nobody_is_named() {
        assert!(
            check(&Tokens::default(), Scope::Admin, &HeaderMap::new())
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn a_token_names_its_owner_within_its_scopes() {
        assert_eq!(
            outcome(&["Bearer secret-of-ann"], Scope::Command),
            Ok(Some("ann".to_owned()))
        );
        assert_eq!(
            outcome(&["bearer secret-of-ann"], Scope::Read),
            Ok(Some("ann".to_owned()))
        );
        assert_eq!(
            outcome(&["Bearer secret-of-ann"], Scope::Deploy),
            Err(Code::Forbidden)
        );
        assert_eq!(
            outcome(&["Bearer secret-of-root"], Scope::Append),
            Ok(Some("root".to_owned()))
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
            &["Bearer secret-of-ann", "Bearer secret-of-root"],
        ] {
            assert_eq!(
                outcome(given, Scope::Read),
                Err(Code::Unauthenticated),
                "{given:?}"
            );
        }
    }
}
