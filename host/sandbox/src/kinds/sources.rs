//! The calls of the interface `sources`, which views and processes may export.

use wasmtime::Store;
use wasmtime::component::{Instance as Started, InstancePre};

use crate::Fault;
use crate::bindings::readers::exports::gavel::module::sources::{Guest, GuestIndices};
use crate::bindings::readers::gavel::module::log as wit;
use crate::exports::OptionalInterface;
use crate::host::{Host, Surroundings};
use crate::running::Running;

/// A condition on events, as a module names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryItem {
    /// The kinds of events: decider and event.
    pub events: Vec<(String, String)>,
    /// The id of the stream, in each of the deciders.
    pub stream_id: Option<String>,
    /// The tags that an event needs, all of them.
    pub tags: Vec<String>,
}

/// The calls of one instance.
pub(super) struct SourcesCalls(Guest);

impl SourcesCalls {
    /// Looks for the interface; none if the module has none.
    pub(super) fn find(
        interfaces: &[OptionalInterface],
        pre: &InstancePre<Host>,
        store: &mut Store<Host>,
        instance: &Started,
    ) -> wasmtime::Result<Option<Self>> {
        if !interfaces.contains(&OptionalInterface::Sources) {
            return Ok(None);
        }
        let guest = GuestIndices::new(pre)?.load(store, instance)?;
        Ok(Some(Self(guest)))
    }

    /// The conditions of which an event of the row or instance has to match at least one.
    pub(super) fn of_key(&self, running: &mut Running, key: &str) -> Result<Vec<QueryItem>, Fault> {
        let items = running.call(Surroundings::default(), |store| {
            self.0.call_sources(store, key)
        })?;
        items.into_iter().map(query_item).collect()
    }
}

fn query_item(item: wit::QueryItem) -> Result<QueryItem, Fault> {
    let broken = |reason: &str| Fault::BrokeContract {
        reason: format!("a source {reason}"),
    };
    if item.events.is_empty() {
        return Err(broken("names no event"));
    }
    if item.stream_id.is_none() && item.tags.is_empty() {
        return Err(broken("names neither a stream nor a tag"));
    }
    let events = item.events.into_iter();
    Ok(QueryItem {
        events: events.map(|name| (name.decider, name.event)).collect(),
        stream_id: item.stream_id,
        tags: item.tags,
    })
}
