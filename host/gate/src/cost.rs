//! Step 7: the cost of deciding, against the active module, on a sample. Fuel is counted, not
//! measured.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Finding;
use super::finding::{CostFinding, FindingDetails};
use super::past::Part;
use super::sample::Played;
use super::words::{count, count_of};

/// The cost of the sample with either module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cost {
    /// The fuel, by the name of the command.
    by_command: BTreeMap<String, Fuel>,
    /// The size of all states at the end of their streams with the active module, as text, in
    /// bytes.
    active_state_bytes: u64,
    /// The same with the candidate.
    candidate_state_bytes: u64,
}

/// Units of fuel, of all commands of one name that both modules have decided.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
struct Fuel {
    /// The number of commands.
    commands: u64,
    /// The fuel that they need with the active module.
    #[serde(rename = "active_fuel")]
    active: u64,
    /// The fuel that they need with the candidate.
    #[serde(rename = "candidate_fuel")]
    candidate: u64,
}

impl Fuel {
    /// Gives the candidate's increase of fuel over the active module, as a share: 1.0 is twice the
    /// fuel.
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    fn increase(self) -> f64 {
        if self.active == 0 {
            return 0.0;
        }
        self.candidate as f64 / self.active as f64 - 1.0
    }
}

impl Cost {
    /// Adds up the cost of a sample that both modules were taken through.
    pub(super) fn of(sample: &[Part], active: &[Played], candidate: &[Played]) -> Self {
        let mut cost = Self::default();
        for (part, (active, candidate)) in sample.iter().zip(active.iter().zip(candidate)) {
            let pairs = active.decisions.iter().zip(&candidate.decisions);
            for (decision, ((_, active), (_, candidate))) in part.decisions.iter().zip(pairs) {
                // One of them has not decided: it failed, or a host would not have asked it.
                if *active == 0 || *candidate == 0 {
                    continue;
                }
                let name = decision.record.command.clone();
                let fuel = cost.by_command.entry(name).or_default();
                fuel.commands += 1;
                fuel.active += active;
                fuel.candidate += candidate;
            }
            if let (Some(active), Some(candidate)) = (&active.state, &candidate.state) {
                cost.active_state_bytes += active.len() as u64;
                cost.candidate_state_bytes += candidate.len() as u64;
            }
        }
        cost
    }

    /// Lists the findings. An increase above `max_increase`, a share, blocks.
    pub(super) fn findings(&self, max_increase: f64) -> Vec<Finding> {
        let dearer = self.by_command.iter();
        let dearer: Vec<_> = dearer
            .filter(|(_, fuel)| fuel.increase() > max_increase)
            .collect();
        if dearer.is_empty() {
            Vec::new()
        } else {
            vec![finding(&dearer, max_increase)]
        }
    }

    /// Says in one sentence what was compared.
    pub(super) fn summary(&self) -> String {
        let commands = self.by_command.values().map(|fuel| fuel.commands).sum();
        if commands == 0 {
            return "There is no command to compare the cost of.".to_owned();
        }
        let changes = self
            .by_command
            .iter()
            .map(|(name, fuel)| format!("{name} {}", change(*fuel)));
        let changes: Vec<String> = changes.collect();
        format!(
            "Fuel of {} against the active module: {}.",
            count_of(commands, "command"),
            changes.join(", ")
        )
    }
}

fn change(fuel: Fuel) -> String {
    format!("{:+.0} %", fuel.increase() * 100.0)
}

fn finding(dearer: &[(&String, &Fuel)], max_increase: f64) -> Finding {
    let changes = dearer
        .iter()
        .map(|(name, fuel)| format!("{name} {}", change(**fuel)));
    let changes: Vec<String> = changes.collect();
    let lines = dearer.iter().map(|(name, fuel)| {
        format!(
            "{name}: {} units of fuel per command, {} with the active module",
            count(fuel.candidate / fuel.commands.max(1)),
            count(fuel.active / fuel.commands.max(1))
        )
    });
    let summary = format!(
        "Commands need more fuel than is allowed ({:+.0} %): {}.",
        max_increase * 100.0,
        changes.join(", ")
    );
    let details = FindingDetails::Cost(CostFinding {
        example: lines.collect(),
    });
    Finding::new(details, summary, true)
}
