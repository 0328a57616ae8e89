//! Deciders and their activations.

use gavel_gate::RollbackSafety;
use gavel_model as model;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};

use super::{Limit, Text};

/// A decider, and what it runs.
#[derive(Debug, Serialize, ToSchema)]
pub struct Decider<'a> {
    /// Its name.
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

/// Which deciders are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeciderListQuery {
    /// Only deciders whose name sorts after this one.
    #[param(nullable = false)]
    pub after: Option<String>,
    /// At most so many. Default: 100.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 1000)]
    pub limit: Limit,
}

/// A page of deciders, by name.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeciderList<'a> {
    /// The deciders.
    pub deciders: Vec<Decider<'a>>,
    /// What to pass as `after` for the next page; null when there is none.
    pub next: Option<&'a str>,
}

/// Which activations of a decider are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeciderQuery {
    /// Only activations that come after the one of this number, which are older: the `next` of the page before.
    #[param(minimum = 1, nullable = false)]
    pub after: Option<i64>,
    /// At most so many. Default: 100.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 1000)]
    pub limit: Limit,
}

/// A decider, what it runs, and what it ran.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeciderHistory<'a> {
    /// Its name.
    pub decider: &'a str,
    /// The activation that is in force; null after a deactivation.
    pub active: Option<Active<'a>>,
    /// The contract that the active module was built for. When it is another than the one of this
    /// host, the module must be built with the present SDK and deployed again: until then commands
    /// are answered with `module-outdated`.
    pub contract: Option<String>,
    /// A page of the activations, newest first.
    pub activations: Vec<Active<'a>>,
    /// What to pass as `after` for the next page of activations; null when there is none.
    #[schema(minimum = 1)]
    pub next: Option<i64>,
    /// Whether it is possible to go back now; null when there is no module to go back to.
    #[schema(value_type = Option<Object>)]
    pub rollback: Option<RollbackSafety>,
}

/// An entry of the activation log.
#[derive(Debug, Serialize, ToSchema)]
pub struct Active<'a> {
    /// The module that works from here on; null for a deactivation.
    digest: Option<String>,
    /// Its place in the activation log; the first is 1.
    #[schema(minimum = 1)]
    activation: i64,
    /// The module that worked until then; null for the first, and after a deactivation.
    replaces: Option<String>,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    activated_at: OffsetDateTime,
    /// By whom; null when authentication is off.
    activated_by: Option<&'a str>,
    /// What the person said about it.
    message: Option<&'a str>,
    /// The findings of the gate that the person let pass.
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
    /// `decider`.
    kind: &'static str,
    /// The decider.
    decider: &'a str,
    #[serde(flatten)]
    entry: Active<'a>,
    /// The report of the gate; `{}` for a deactivation.
    #[schema(value_type = Object)]
    report: &'a RawValue,
}

impl<'a> From<&'a model::Activation> for Activation<'a> {
    fn from(activation: &'a model::Activation) -> Self {
        Self {
            kind: activation.key.kind().as_str(),
            decider: activation.key.name().as_str(),
            entry: activation.into(),
            report: activation.report.as_raw(),
        }
    }
}

/// What to activate.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ActivationRequest)]
pub struct ActivationBody {
    /// The module.
    #[schema(pattern = "^sha256:[0-9a-f]{64}$")]
    pub digest: String,
    /// Why; recorded.
    #[schema(value_type = Option<String>, pattern = "^[^\\u0000]*$")]
    pub message: Option<Text>,
    /// The findings to let pass, by name.
    #[serde(default)]
    pub accept: Vec<String>,
}

/// What to say about ending a module's work.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DeactivationRequest)]
pub struct DeactivationBody {
    /// Why; recorded.
    #[schema(value_type = Option<String>, pattern = "^[^\\u0000]*$")]
    pub message: Option<Text>,
    /// The findings to let pass, by name. There are none where a decider is deactivated.
    #[serde(default)]
    pub accept: Vec<String>,
}

/// What to say about going back.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RollbackRequest)]
pub struct RollbackBody {
    /// Why; recorded.
    #[schema(value_type = Option<String>, pattern = "^[^\\u0000]*$")]
    pub message: Option<Text>,
}
