//! The tokens that requests may carry; replaceable while the host runs.

use std::sync::Arc;
use std::time::Duration;

use gavel_config::Token;
use gavel_model::{Clock as _, SystemClock};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::sleep;

/// The interval between two checks for expired tokens.
const LOOK: Duration = Duration::from_secs(60);

/// The tokens that requests may carry right now. Clones share them.
///
/// **Invariant:** a host that was started without tokens stays without, and a host with tokens
/// keeps at least one. Without a token everybody may do everything, and no edit of a file may bring
/// that about.
#[derive(Debug, Clone)]
pub struct Tokens {
    is_empty: bool,
    tokens: watch::Sender<Vec<Arc<Token>>>,
}

/// An attempt to begin, or to cease, to ask for tokens. It takes a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReplaceError {
    /// The last token would be removed, which would open the host to everybody.
    #[error("no token is left, which would let everybody in")]
    NoneLeft,
    /// A first token would be added to a host that was started without any.
    #[error("the host was started without tokens")]
    NoneBefore,
}

impl Tokens {
    /// Allows requests with one of `tokens`; all requests if there is none.
    #[must_use]
    pub fn new(tokens: Vec<Token>) -> Self {
        Self {
            is_empty: tokens.is_empty(),
            tokens: watch::Sender::new(shared(tokens)),
        }
    }

    /// Tells whether there is no token, so that everybody may make requests.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// Replaces all tokens.
    ///
    /// # Errors
    ///
    /// [`ReplaceError`] if the last token would be removed, or a first one added. Nothing has
    /// changed.
    pub fn replace(&self, tokens: Vec<Token>) -> Result<(), ReplaceError> {
        match (self.is_empty(), tokens.is_empty()) {
            (true, false) => Err(ReplaceError::NoneBefore),
            (false, true) => Err(ReplaceError::NoneLeft),
            (true, true) => Ok(()),
            (false, false) => {
                self.tokens.send_replace(shared(tokens));
                Ok(())
            }
        }
    }

    /// Waits until a token is refused in its present form: it was removed or changed, or has
    /// expired.
    pub(crate) async fn until_refused(self, token: Arc<Token>) {
        let mut tokens = self.tokens.subscribe();
        let replaced = tokens.wait_for(|tokens| !tokens.contains(&token));
        tokio::select! {
            _ = replaced => {}
            () = until_expired(&token) => {}
        }
    }

    /// The token with this hash, if there is one.
    pub(crate) fn find(&self, sha256: [u8; 32]) -> Option<Arc<Token>> {
        let tokens = self.tokens.borrow();
        tokens.iter().find(|token| token.sha256 == sha256).cloned()
    }
}

impl Default for Tokens {
    /// No tokens, so that everybody may make requests.
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

async fn until_expired(token: &Token) {
    // A sleep does not notice that the clock was set.
    while !token.has_expired(SystemClock.now()) {
        let left = token.expires_at.map(|end| end - SystemClock.now());
        let left = left.and_then(|left| Duration::try_from(left).ok());
        sleep(left.unwrap_or(LOOK).min(LOOK)).await;
    }
}

fn shared(tokens: Vec<Token>) -> Vec<Arc<Token>> {
    tokens.into_iter().map(Arc::new).collect()
}

#[cfg(test)]
mod tests {
    use futures::poll;
    use gavel_config::Scope;

    use super::*;

    fn token(name: &str) -> Token {
        Token::new(name, Token::hash(name), [Scope::Read])
    }

    #[test]
    fn new_tokens_take_the_place_of_the_old_ones_for_all_who_share_them() {
        let tokens = Tokens::new(vec![token("old")]);
        let shared = tokens.clone();
        assert_eq!(tokens.replace(vec![token("new")]), Ok(()));
        assert_eq!(shared.find(Token::hash("old")), None);
        assert_eq!(shared.find(Token::hash("new")), Some(token("new").into()));
    }

    #[tokio::test]
    async fn a_token_that_is_taken_away_or_expires_is_waited_for() {
        let mut ending = token("ending");
        ending.expires_at = Some(SystemClock.now() + Duration::from_millis(50));
        let tokens = Tokens::new(vec![token("old"), token("kept"), ending.clone()]);
        tokens.clone().until_refused(ending.into()).await;

        let mut kept = Box::pin(tokens.clone().until_refused(token("kept").into()));
        let mut old = Box::pin(tokens.clone().until_refused(token("old").into()));
        assert!(poll!(&mut kept).is_pending() && poll!(&mut old).is_pending());
        assert_eq!(tokens.replace(vec![token("kept")]), Ok(()));
        assert!(poll!(&mut kept).is_pending() && poll!(&mut old).is_ready());
    }

    #[test]
    fn a_host_that_asks_for_tokens_never_ceases_to_and_one_that_does_not_never_begins() {
        let some = Tokens::new(vec![token("old")]);
        assert_eq!(some.replace(Vec::new()), Err(ReplaceError::NoneLeft));
        assert!(some.find(Token::hash("old")).is_some());
        let none = Tokens::default();
        let replaced = none.replace(vec![token("new")]);
        assert_eq!(replaced, Err(ReplaceError::NoneBefore));
        assert!(none.is_empty());
        assert_eq!(none.replace(Vec::new()), Ok(()));
    }
}
