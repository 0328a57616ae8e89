//! Resources that a UUID in the path names. A text that is not a UUID is answered like the UUID of
//! a missing resource.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use gavel_model::{CommandId, EventId, Namespace, RehearsalId};
use uuid::Uuid;

use super::NamespaceHeader;
use super::names::path;
use crate::error::Problem;
use crate::error::{command_not_found, event_not_found, rehearsal_not_found};
use crate::state::AppState;

/// `{id}` of the path of a rehearsal, in its namespace.
#[derive(Debug)]
pub(crate) struct RehearsalPath(pub(crate) Namespace, pub(crate) RehearsalId);

/// `{event_id}` of the path, in its namespace.
#[derive(Debug)]
pub(crate) struct EventPath(pub(crate) Namespace, pub(crate) EventId);

/// `{command_id}` of the path, in its namespace.
#[derive(Debug)]
pub(crate) struct CommandPath(pub(crate) Namespace, pub(crate) CommandId);

impl FromRequestParts<AppState> for RehearsalPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let (namespace, id) = named(parts, state, rehearsal_not_found).await?;
        Ok(Self(namespace, id))
    }
}

impl FromRequestParts<AppState> for EventPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let (namespace, id) = named(parts, state, event_not_found).await?;
        Ok(Self(namespace, id))
    }
}

impl FromRequestParts<AppState> for CommandPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let (namespace, id) = named(parts, state, command_not_found).await?;
        Ok(Self(namespace, id))
    }
}

async fn named(
    parts: &mut Parts,
    state: &AppState,
    not_found: fn(&str) -> Problem,
) -> Result<(Namespace, Uuid), Problem> {
    let NamespaceHeader(namespace) = NamespaceHeader::from_request_parts(parts, state).await?;
    let text = path::<String>(parts, state).await?;
    let id = Uuid::try_parse(&text).map_err(|_| not_found(&text))?;
    Ok((namespace, id))
}
