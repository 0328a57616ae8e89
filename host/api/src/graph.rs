//! The graph of a namespace.

use std::collections::BTreeSet;

use gavel_engine::catalog::{GraphPage, GraphPlace, LinkedConsumer, LinkedModule};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{ConsumerFilter, Limit};

/// A selection of a graph.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct GraphQuery {
    /// Only modules and consumers after this place: the `next` of the page before.
    #[param(pattern = "^((decider|process|view|consumer)/.+)?$", nullable = false)]
    pub after: Option<String>,
    /// The most names on the page. Default: 100.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 1000)]
    pub limit: Limit,
}

/// A page of a graph: who writes, who sends and who reads. First come the active modules by kind
/// and name, then the consumers by name.
#[derive(Debug, Serialize, ToSchema)]
pub struct Graph<'a> {
    /// The active modules of all kinds.
    modules: Vec<GraphModule<'a>>,
    /// The consumers.
    consumers: Vec<GraphConsumer<'a>>,
    /// The value of `after` for the next page; null if there is none. A page may be empty all the
    /// same, since names that are deactivated are passed over.
    next: Option<String>,
}

/// An active module, and what its manifest says of the others.
#[derive(Debug, Serialize, ToSchema)]
struct GraphModule<'a> {
    /// `decider`, `process` or `view`.
    kind: &'static str,
    /// The name under which it is active.
    name: &'a str,
    /// The digest of the module.
    digest: String,
    /// The number of the activation that is in force.
    #[schema(minimum = 1)]
    activation: i64,
    /// The events that it may append; of a decider only.
    writes: Vec<GraphWrite<'a>>,
    /// The events that it reads, and can fold.
    reads: Vec<GraphRead<'a>>,
    /// The commands that it may send; of a process only.
    sends: Vec<GraphSend<'a>>,
}

/// An event that a decider may append.
#[derive(Debug, Serialize, ToSchema)]
struct GraphWrite<'a> {
    /// The name of the event.
    event: &'a str,
    /// The versions of its schema.
    #[schema(value_type = Vec<u32>)]
    schema_versions: &'a BTreeSet<u32>,
}

/// An event that a module reads.
#[derive(Debug, Serialize, ToSchema)]
struct GraphRead<'a> {
    /// The decider that writes it.
    decider: &'a str,
    /// The name of the event.
    event: &'a str,
    /// The versions of its schema that the module can fold.
    #[schema(value_type = Vec<u32>)]
    schema_versions: &'a BTreeSet<u32>,
}

/// A command that a process may send.
#[derive(Debug, Serialize, ToSchema)]
struct GraphSend<'a> {
    /// The decider that the command is for.
    decider: &'a str,
    /// The name of the command.
    command: &'a str,
}

/// A consumer, and what it reads.
#[derive(Debug, Serialize, ToSchema)]
struct GraphConsumer<'a> {
    /// The name of the consumer.
    name: &'a str,
    /// The events that it reads.
    filter: ConsumerFilter,
}

impl<'a> From<&'a GraphPage> for Graph<'a> {
    fn from(page: &'a GraphPage) -> Self {
        Self {
            modules: page.modules.iter().map(GraphModule::from).collect(),
            consumers: page.consumers.iter().map(GraphConsumer::from).collect(),
            next: page.next.as_ref().map(GraphPlace::to_string),
        }
    }
}

impl<'a> From<&'a LinkedModule> for GraphModule<'a> {
    fn from(module: &'a LinkedModule) -> Self {
        let writes = module.links.writes.iter();
        let writes = writes.map(|(event, schema_versions)| GraphWrite {
            event,
            schema_versions,
        });
        let reads = module.links.reads.iter();
        let reads = reads.map(|(name, schema_versions)| GraphRead {
            decider: &name.decider,
            event: &name.event,
            schema_versions,
        });
        let sends = module.links.sends.iter();
        let sends = sends.map(|name| GraphSend {
            decider: &name.decider,
            command: &name.command,
        });
        Self {
            kind: module.key.kind().as_str(),
            name: module.key.name().as_str(),
            digest: module.digest.to_string(),
            activation: module.activation.get(),
            writes: writes.collect(),
            reads: reads.collect(),
            sends: sends.collect(),
        }
    }
}

impl<'a> From<&'a LinkedConsumer> for GraphConsumer<'a> {
    fn from(consumer: &'a LinkedConsumer) -> Self {
        Self {
            name: consumer.id.name(),
            filter: (&consumer.filter).into(),
        }
    }
}
