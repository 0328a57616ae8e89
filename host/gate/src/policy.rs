//! What stands in the way of a candidate, and what is only said.

use std::time::Duration;

use gavel_model::PerDecider;
use serde::{Deserialize, Serialize};

/// Whether what the gate finds stops an activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It does.
    #[default]
    Enforce,
    /// It is reported only. A module that cannot fold a stream is refused all the same.
    Warn,
}

/// What is asked of the candidates of one decider.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// Whether findings stop an activation.
    pub mode: Mode,
    /// Most recorded commands that may be decided otherwise than the active module would, as a share of all that were decided again, from 0 to 1
    /// (inclusive). Default 1: differences are reported, and a person judges them.
    pub max_changed_decisions: f64,
    /// Most that the commands of a name may need more fuel than with the active module, as a share of what they need there (inclusive). Default
    /// 1: twice as much.
    pub max_fuel_increase: f64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            max_changed_decisions: 1.0,
            max_fuel_increase: 1.0,
        }
    }
}

/// How the gate works on this host.
#[derive(Debug, Clone, PartialEq)]
pub struct GateSettings {
    /// What is asked of the candidates of each decider.
    pub policies: PerDecider<Policy>,
    /// How many rehearsals of a namespace run at a time; so many shadows, and so many verifications, besides.
    pub rehearsals: usize,
    /// The same of all namespaces together.
    pub all_rehearsals: usize,
    /// How long the specifications of a candidate may run, all together. After that none is begun.
    pub specs: Duration,
    /// From how many events on the candidate's state of a stream is kept as a snapshot.
    pub snapshot_events: u64,
}

impl Default for GateSettings {
    fn default() -> Self {
        Self {
            policies: PerDecider::default(),
            rehearsals: 2,
            all_rehearsals: 8,
            specs: Duration::from_secs(30),
            snapshot_events: 500,
        }
    }
}
