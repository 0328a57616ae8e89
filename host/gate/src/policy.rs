//! The policy of the gate: which findings block a candidate, and which are only reported.

use std::time::Duration;

use gavel_model::PerDecider;
use serde::{Deserialize, Serialize};

/// The effect of findings on an activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Findings stop an activation.
    #[default]
    Enforce,
    /// Findings are reported only. A module that cannot fold a stream is refused all the same.
    Warn,
}

/// The requirements on the candidates of one decider.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// The effect of findings on an activation.
    pub mode: Mode,
    /// Most recorded commands that may be decided otherwise than the active module would, as a
    /// share of all that were decided again, from 0 to 1 (inclusive). Default 1: differences are
    /// reported, and a person judges them.
    pub max_changed_decisions: f64,
    /// Most rows of a view that may be others than those of the active module (inclusive). Default
    /// 0.
    pub max_changed_rows: u64,
    /// Most that the commands of a name may need more fuel than with the active module, as a share
    /// of what they need there (inclusive). Default 1: twice as much.
    pub max_fuel_increase: f64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            mode: Mode::Enforce,
            max_changed_decisions: 1.0,
            max_changed_rows: 0,
            max_fuel_increase: 1.0,
        }
    }
}

/// The settings of the gate on this host.
#[derive(Debug, Clone, PartialEq)]
pub struct GateSettings {
    /// The requirements on the candidates of each decider.
    pub policies: PerDecider<Policy>,
    /// The most rehearsals of a namespace that run at a time; as many shadows, and as many
    /// verifications, may run besides.
    pub rehearsals: usize,
    /// The most rehearsals of all namespaces together that run at a time.
    pub all_rehearsals: usize,
    /// The time that the specifications of a candidate may run, all together. After that none is
    /// begun.
    pub specs: Duration,
    /// The number of events from which on the candidate's state of a stream is kept as a snapshot.
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
