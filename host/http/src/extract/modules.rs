//! Modules in paths, queries and bodies. A module that the sender must not know of is answered like
//! a missing one.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use gavel_engine::catalog;
use gavel_model::{DigestError, ModuleDigest};
use gavel_store::{ModuleFilter, ModuleViewer};

use super::names::path;
use crate::auth::Actor;
use crate::error::{Location, Problem, malformed};
use crate::state::AppState;

/// The modules that the sender of a request may know of; all without a viewer.
#[derive(Debug)]
pub(crate) struct KnownModules(pub(crate) Option<ModuleViewer>);

impl KnownModules {
    /// Checks the digest of a module.
    ///
    /// # Errors
    ///
    /// A problem if the text is not a digest, or if the sender must not know of the module; the
    /// latter is the problem of a missing module.
    pub(crate) async fn digest(
        &self,
        state: &AppState,
        text: &str,
        place: Location,
    ) -> Result<ModuleDigest, Problem> {
        let digest = text
            .parse()
            .map_err(|error: DigestError| malformed(place, error.to_string()))?;
        if self.0.is_some() {
            let filter = ModuleFilter {
                digest: Some(digest),
                viewer: self.0.clone(),
                ..ModuleFilter::default()
            };
            let known = state.services.modules.list(&filter, None, 1).await?;
            if known.items.is_empty() {
                return Err(catalog::Error::NotFound { digest }.into());
            }
        }
        Ok(digest)
    }
}

impl FromRequestParts<AppState> for KnownModules {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Infallible> {
        let actor = parts.extensions.get::<Actor>();
        Ok(Self(actor.and_then(Actor::viewer)))
    }
}

/// `{digest}` of the path.
#[derive(Debug)]
pub(crate) struct DigestPath(pub(crate) ModuleDigest);

impl FromRequestParts<AppState> for DigestPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let text = path::<String>(parts, state).await?;
        let actor = parts.extensions.get::<Actor>();
        let known = KnownModules(actor.and_then(Actor::viewer));
        let digest = known.digest(state, &text, Location::parameter("digest"));
        digest.await.map(Self)
    }
}
