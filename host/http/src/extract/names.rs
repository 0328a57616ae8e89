//! Namespaces, deciders and streams, from headers, paths and bodies.

use std::collections::BTreeMap;

use axum::Extension;
use axum::extract::{FromRequestParts, Path};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use gavel_model::{
    ActivationKey, DeciderName, Metadata, ModuleKind, NameError, Namespace, RowKey, StreamId,
    ViewId,
};
use serde::de::DeserializeOwned;

use crate::auth::Actor;
use crate::error::{Code, Location, Problem, malformed};
use crate::state::AppState;

pub(crate) const NAMESPACE: &str = "Gavel-Namespace";

/// The ids that no new stream can have, for they name resources below `/v1/deciders/{decider}/`.
const RESERVED_STREAM_IDS: [&str; 7] = [
    "activations",
    "deactivations",
    "logs",
    "openapi.json",
    "rehearsals",
    "rollback",
    "streams",
];

/// The namespace that a request is about; the default one when it names none. Its sender may do
/// something there.
#[derive(Debug)]
pub(crate) struct NamespaceHeader(pub(crate) Namespace);

impl FromRequestParts<AppState> for NamespaceHeader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Problem> {
        let namespace = namespace(&parts.headers)?;
        if let Some(actor) = parts.extensions.get::<Actor>() {
            actor.admit_to(&namespace)?;
        }
        Ok(Self(namespace))
    }
}

/// The namespace that a request names, not yet checked against its token.
pub(crate) fn namespace(headers: &HeaderMap) -> Result<Namespace, Problem> {
    let mut values = headers.get_all(NAMESPACE).iter();
    let refused = || {
        Problem::new(
            Code::InvalidNamespace,
            format!(
                "The header `{NAMESPACE}` is refused: {}.",
                NameError::Namespace
            ),
        )
    };
    let Some(value) = values.next() else {
        return Ok(Namespace::default());
    };
    let text = value.to_str().map_err(|_| refused())?;
    match (Namespace::new(text), values.next()) {
        (Ok(namespace), None) => Ok(namespace),
        _ => Err(refused()),
    }
}

/// `{decider}` of the path, in its namespace.
#[derive(Debug)]
pub(crate) struct DeciderPath {
    pub(crate) namespace: Namespace,
    pub(crate) decider: DeciderName,
}

impl FromRequestParts<AppState> for DeciderPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let NamespaceHeader(namespace) = NamespaceHeader::from_request_parts(parts, state).await?;
        let decider = decider_name(&path::<String>(parts, state).await?, || {
            Location::parameter("decider")
        })?;
        Ok(Self { namespace, decider })
    }
}

/// The name in the path of a kind of modules, in its namespace.
#[derive(Debug)]
pub(crate) struct KeyPath(pub(crate) ActivationKey);

impl FromRequestParts<AppState> for KeyPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let NamespaceHeader(namespace) = NamespaceHeader::from_request_parts(parts, state).await?;
        let kind = Extension::from_request_parts(parts, state).await;
        let Extension::<ModuleKind>(kind) = kind.map_err(Problem::internal)?;
        let key = ActivationKey::new(namespace, kind, path::<String>(parts, state).await?);
        let place = Location::parameter(kind.as_str());
        key.map(Self)
            .map_err(|error| malformed(place, error.to_string()))
    }
}

/// `{view}` of the path, in its namespace.
#[derive(Debug)]
pub(crate) struct ViewPath(pub(crate) ViewId);

impl FromRequestParts<AppState> for ViewPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let NamespaceHeader(namespace) = NamespaceHeader::from_request_parts(parts, state).await?;
        view_id(namespace, path::<String>(parts, state).await?).map(Self)
    }
}

/// `{view}` and `{key}` of the path, in their namespace.
#[derive(Debug)]
pub(crate) struct RowPath {
    pub(crate) view: ViewId,
    pub(crate) key: RowKey,
}

impl FromRequestParts<AppState> for RowPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let NamespaceHeader(namespace) = NamespaceHeader::from_request_parts(parts, state).await?;
        let (view, key) = path::<(String, String)>(parts, state).await?;
        let key = RowKey::new(key);
        Ok(Self {
            view: view_id(namespace, view)?,
            key: key.map_err(|error| malformed(Location::parameter("key"), error.to_string()))?,
        })
    }
}

fn view_id(namespace: Namespace, name: String) -> Result<ViewId, Problem> {
    ViewId::new(namespace, name)
        .map_err(|error| malformed(Location::parameter("view"), error.to_string()))
}

/// `{decider}` and `{id}` of the path, in their namespace.
#[derive(Debug)]
pub(crate) struct StreamPath(pub(crate) StreamId);

impl FromRequestParts<AppState> for StreamPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let NamespaceHeader(namespace) = NamespaceHeader::from_request_parts(parts, state).await?;
        let (decider, id) = path::<(String, String)>(parts, state).await?;
        let decider = decider_name(&decider, || Location::parameter("decider"))?;
        stream_id(namespace, decider, &id, || Location::parameter("id")).map(Self)
    }
}

/// The same of a stream that is only read: its id may have been given before it was reserved.
#[derive(Debug)]
pub(crate) struct StoredStreamPath(pub(crate) StreamId);

impl FromRequestParts<AppState> for StoredStreamPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let NamespaceHeader(namespace) = NamespaceHeader::from_request_parts(parts, state).await?;
        let (decider, id) = path::<(String, String)>(parts, state).await?;
        let decider = decider_name(&decider, || Location::parameter("decider"))?;
        let stream = StreamId::new(namespace, decider, id);
        stream
            .map(Self)
            .map_err(|error| malformed(Location::parameter("id"), error.to_string()))
    }
}

pub(super) async fn path<T: DeserializeOwned + Send>(
    parts: &mut Parts,
    state: &AppState,
) -> Result<T, Problem> {
    match Path::from_request_parts(parts, state).await {
        Ok(Path(values)) => Ok(values),
        Err(_) => Err(malformed(
            Location::parameter("path"),
            "the path is no UTF-8 once it is decoded",
        )),
    }
}

/// Checks the name of a decider.
pub(crate) fn decider_name(
    text: &str,
    place: impl FnOnce() -> Location,
) -> Result<DeciderName, Problem> {
    DeciderName::new(text).map_err(|error| malformed(place(), error.to_string()))
}

/// Checks the name of a kind of modules.
pub(crate) fn module_kind(name: &str, place: Location) -> Result<ModuleKind, Problem> {
    let unknown = "it is no kind of module, which are `decider`, `process` and `view`";
    ModuleKind::from_name(name).ok_or_else(|| malformed(place, unknown))
}

/// Checks the id of a stream.
pub(crate) fn stream_id(
    namespace: Namespace,
    decider: DeciderName,
    id: &str,
    place: impl FnOnce() -> Location,
) -> Result<StreamId, Problem> {
    if RESERVED_STREAM_IDS.contains(&id) {
        let reason = format!("`{id}` is reserved and cannot be a stream id");
        return Err(malformed(place(), reason));
    }
    StreamId::new(namespace, decider, id).map_err(|error| malformed(place(), error.to_string()))
}

/// Checks what a sender attached.
pub(crate) fn metadata(
    entries: Option<BTreeMap<String, String>>,
    place: impl FnOnce() -> Location,
) -> Result<Metadata, Problem> {
    Metadata::from_sender(entries.unwrap_or_default())
        .map_err(|error| malformed(place(), error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::router::describe;
    use crate::settings::ApiSettings;

    #[test]
    fn no_stream_can_take_the_place_of_a_resource_of_its_decider() {
        let served = describe(&ApiSettings::default()).text();
        let document: Value = serde_json::from_slice(&served).unwrap();
        let paths = document["paths"].as_object().unwrap().keys();
        let below = paths.filter_map(|path| path.strip_prefix("/v1/deciders/{decider}/"));
        let segments = below.filter_map(|rest| rest.split('/').next());
        let resources: BTreeSet<_> = segments.filter(|name| *name != "{id}").collect();
        assert_eq!(resources, BTreeSet::from(RESERVED_STREAM_IDS));
    }
}
