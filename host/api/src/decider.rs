//! Deciders and their activations.

use gavel_gate::{Report, RollbackSafety};
use gavel_model as model;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use utoipa::openapi::schema::AnyOfBuilder;
use utoipa::openapi::{ObjectBuilder, Ref, Schema};
use utoipa::{IntoParams, ToSchema};

use super::{AcceptedName, Limit, Text};

/// A decider and its active module.
#[derive(Debug, Serialize, ToSchema)]
pub struct Decider<'a> {
    /// The name of the decider.
    decider: &'a str,
    /// The activation that is in force; null after a deactivation.
    active: Option<Active<'a>>,
}

impl<'a> From<&'a model::Activation> for Decider<'a> {
    fn from(newest: &'a model::Activation) -> Self {
        Self {
            decider: newest.key.name().as_str(),
            active: Active::in_force(newest),
        }
    }
}

/// A selection of deciders.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeciderListQuery {
    /// Only deciders whose name sorts after this one.
    #[param(nullable = false)]
    pub after: Option<String>,
    /// The most deciders on the page. Default: 100.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 1000)]
    pub limit: Limit,
}

/// A page of deciders, by name.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeciderList<'a> {
    /// The deciders.
    pub deciders: Vec<Decider<'a>>,
    /// The value of `after` for the next page; null if there is none.
    pub next: Option<&'a str>,
}

/// A selection of a decider's activations.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeciderQuery {
    /// Only activations older than the one of this number: the `next` of the page before.
    #[param(minimum = 1, nullable = false)]
    pub after: Option<i64>,
    /// The most activations on the page. Default: 100.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 1000)]
    pub limit: Limit,
}

/// A decider, its active module, and its activations.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeciderHistory<'a> {
    /// The name of the decider.
    pub decider: &'a str,
    /// The activation that is in force; null after a deactivation.
    pub active: Option<Active<'a>>,
    /// The contract that the active module was built for. If this host speaks another contract, the
    /// module must be built with the present SDK and deployed again: until then commands are
    /// answered with `module-outdated`.
    pub contract: Option<String>,
    /// A page of the activations, newest first.
    pub activations: Vec<Active<'a>>,
    /// The value of `after` for the next page of activations; null if there is none.
    #[schema(minimum = 1)]
    pub next: Option<i64>,
    /// The safety of a rollback now; null if there is no module to go back to.
    pub rollback: Option<RollbackSafety>,
}

/// An entry of the activation log.
#[derive(Debug, Serialize, ToSchema)]
pub struct Active<'a> {
    /// The module that works from here on; null for a deactivation.
    digest: Option<String>,
    /// The number of the entry in the decider's activation log; the first is 1.
    #[schema(minimum = 1)]
    activation: i64,
    /// The module that worked until then; null for the first, and after a deactivation.
    replaces: Option<String>,
    /// The time of the activation.
    #[serde(with = "time::serde::rfc3339")]
    activated_at: OffsetDateTime,
    /// The holder of the token that activated it; null when authentication is off.
    activated_by: Option<&'a str>,
    /// The message that was given with it.
    message: Option<&'a str>,
    /// The findings of the gate that were accepted, by name.
    accepted: &'a [String],
}

impl<'a> Active<'a> {
    /// The newest entry of an activation log, unless it is a deactivation.
    pub fn in_force(newest: &'a model::Activation) -> Option<Self> {
        newest.digest.map(|_| newest.into())
    }
}

impl<'a> From<&'a model::Activation> for Active<'a> {
    fn from(activation: &'a model::Activation) -> Self {
        Self {
            digest: activation.digest.map(|digest| digest.to_string()),
            activation: activation.number.get(),
            replaces: activation.replaces.map(|digest| digest.to_string()),
            activated_at: activation.activated_at,
            activated_by: activation.activated_by.as_deref(),
            message: activation.message.as_deref(),
            accepted: &activation.accepted,
        }
    }
}

/// An activation or a deactivation, and what the gate found.
#[derive(Debug, Serialize, ToSchema)]
pub struct Activation<'a> {
    /// `decider` or `view`.
    kind: &'static str,
    /// The decider; absent of another kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    decider: Option<&'a str>,
    /// The view; absent of another kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    view: Option<&'a str>,
    #[serde(flatten)]
    entry: Active<'a>,
    /// The report of the gate; `{}` for a deactivation.
    #[schema(schema_with = report_or_nothing)]
    report: &'a RawValue,
}

impl<'a> From<&'a model::Activation> for Activation<'a> {
    fn from(activation: &'a model::Activation) -> Self {
        Self {
            kind: activation.key.kind().as_str(),
            decider: name_of(&activation.key, model::ModuleKind::Decider),
            view: name_of(&activation.key, model::ModuleKind::View),
            entry: activation.into(),
            report: activation.report.as_raw(),
        }
    }
}

/// The name of a pointer, if it is for modules of this kind.
pub(crate) fn name_of(key: &model::ActivationKey, kind: model::ModuleKind) -> Option<&str> {
    (key.kind() == kind).then(|| key.name().as_str())
}

/// Describes the report of an activation, or the empty one of a deactivation.
fn report_or_nothing() -> Schema {
    let nothing = ObjectBuilder::new().max_properties(Some(0));
    let report = Ref::from_schema_name(Report::name());
    Schema::AnyOf(AnyOfBuilder::new().item(report).item(nothing).build())
}

/// A request to activate a module.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ActivationRequest)]
pub struct ActivationBody {
    /// The module.
    #[schema(pattern = "^sha256:[0-9a-f]{64}$")]
    pub digest: String,
    /// The reason, for the activation log.
    #[schema(value_type = Option<String>, pattern = "^[^\\u0000]*$")]
    pub message: Option<Text>,
    /// The findings to accept, by name. `rows:412` accepts up to 412 rows of a view that are
    /// others.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub accept: Vec<AcceptedName>,
}

/// The activations of modules that have become active together.
#[derive(Debug, Serialize, ToSchema)]
pub struct ActivationSet<'a> {
    /// The activations, in the order of the request.
    pub activations: Vec<Activation<'a>>,
}

/// A request to activate modules together.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ActivationSetRequest)]
pub struct ActivationSetBody {
    /// The modules, each under another name.
    #[schema(min_items = 1, max_items = 16)]
    pub activations: Vec<ActivationItem>,
    /// The reason, for the activation logs.
    #[schema(value_type = Option<String>, pattern = "^[^\\u0000]*$")]
    pub message: Option<Text>,
    /// The findings to accept, by name, whatever module they are about. `rows:412` accepts up to
    /// 412 rows of each view that are others.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub accept: Vec<AcceptedName>,
}

/// A module of several that become active together.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ActivationItem {
    /// The kind of the module: `decider`, `process` or `view`.
    #[schema(pattern = "^(decider|process|view)$")]
    pub kind: String,
    /// The name under which it works.
    #[schema(pattern = "^[A-Za-z][A-Za-z0-9_-]{0,127}$")]
    pub name: String,
    /// The module.
    #[schema(pattern = "^sha256:[0-9a-f]{64}$")]
    pub digest: String,
}

/// A request to deactivate a module.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DeactivationRequest)]
pub struct DeactivationBody {
    /// The reason, for the activation log.
    #[schema(value_type = Option<String>, pattern = "^[^\\u0000]*$")]
    pub message: Option<Text>,
    /// The findings to accept, by name. A deactivation of a decider has none.
    #[serde(default)]
    pub accept: Vec<String>,
}

/// A request to go back to the module before.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RollbackRequest)]
pub struct RollbackBody {
    /// The reason, for the activation log.
    #[schema(value_type = Option<String>, pattern = "^[^\\u0000]*$")]
    pub message: Option<Text>,
}
