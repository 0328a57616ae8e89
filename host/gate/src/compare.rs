//! The comparison of one decision with another.

use std::collections::{HashMap, HashSet};

use gavel_engine::catalog::{Decider, Manifest, Unfit};
use gavel_model::{CommandOutcome, CommandRecord, Event, ModuleDigest, Rejection};
use gavel_sandbox::Decision;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::folder::{Again, Folder};

/// The difference between a decision made again and the recorded one.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub(super) enum DecisionDiff {
    /// The two do not differ.
    Same,
    /// The two accept, with different events.
    DifferentEvents,
    /// An accepted command is rejected now.
    NowRejected,
    /// A rejected command is accepted now.
    NowAccepted,
    /// The two reject, for different reasons.
    DifferentRejection,
    /// The module fails.
    Failed,
    /// The decision differs from the recorded one, but is as the active module would decide today.
    AsActive,
}

impl DecisionDiff {
    /// All that change something.
    pub(super) const CHANGES: [Self; 5] = [
        Self::NowRejected,
        Self::NowAccepted,
        Self::DifferentEvents,
        Self::DifferentRejection,
        Self::Failed,
    ];

    /// All of them.
    pub(super) const ALL: [Self; 7] = [
        Self::Same,
        Self::AsActive,
        Self::NowRejected,
        Self::NowAccepted,
        Self::DifferentEvents,
        Self::DifferentRejection,
        Self::Failed,
    ];

    /// Tells whether the candidate changes something.
    pub(super) fn is_change(self) -> bool {
        Self::CHANGES.contains(&self)
    }

    /// Gives the name in words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::DifferentEvents => "different events",
            Self::NowRejected => "now rejected",
            Self::NowAccepted => "now accepted",
            Self::DifferentRejection => "another rejection",
            Self::Failed => "failed",
            Self::AsActive => "otherwise than recorded, as the active module",
        }
    }
}

/// Compares what was recorded of a command, and the events that followed from it, with the same
/// decision made again.
pub(super) fn compare(record: &CommandRecord, events: &[Event], again: &Again) -> DecisionDiff {
    match (&record.outcome, again) {
        (_, Err(_)) => DecisionDiff::Failed,
        (CommandOutcome::Accepted { .. }, Ok(Decision::Accepted(decided))) => {
            if events == decided.as_slice() {
                DecisionDiff::Same
            } else {
                DecisionDiff::DifferentEvents
            }
        }
        (CommandOutcome::Accepted { .. }, Ok(Decision::Rejected(_))) => DecisionDiff::NowRejected,
        (CommandOutcome::Rejected(_), Ok(Decision::Accepted(_))) => DecisionDiff::NowAccepted,
        (CommandOutcome::Rejected(recorded), Ok(Decision::Rejected(rejection))) => {
            if recorded == rejection {
                DecisionDiff::Same
            } else {
                DecisionDiff::DifferentRejection
            }
        }
    }
}

/// Compares what the active module decides with what the candidate decides. None when only the
/// active module fails: that is no measure.
pub(super) fn against(active: &Again, again: &Again) -> Option<DecisionDiff> {
    Some(match (active, again) {
        (Err(_), Ok(_)) => return None,
        (Err(_), Err(_)) => DecisionDiff::AsActive,
        (Ok(_), Err(_)) => DecisionDiff::Failed,
        (Ok(active), Ok(again)) if active == again => DecisionDiff::AsActive,
        (Ok(Decision::Accepted(_)), Ok(Decision::Accepted(_))) => DecisionDiff::DifferentEvents,
        (Ok(Decision::Accepted(_)), Ok(Decision::Rejected(_))) => DecisionDiff::NowRejected,
        (Ok(Decision::Rejected(_)), Ok(Decision::Accepted(_))) => DecisionDiff::NowAccepted,
        (Ok(Decision::Rejected(_)), Ok(Decision::Rejected(_))) => DecisionDiff::DifferentRejection,
    })
}

/// The checks that a host makes before it asks a module: the command's name, and the schema of its
/// data.
#[derive(Debug, Clone, Default)]
pub(super) struct Checks {
    /// The commands whose schema is the same in the candidate, by the module that decided them: the
    /// recorded ones fit.
    fitting: HashMap<ModuleDigest, HashSet<String>>,
}

impl Checks {
    /// Makes the checks before decisions of `candidate`, on commands that `former` modules have
    /// decided.
    pub(super) fn new(candidate: &Manifest, former: &[(ModuleDigest, Manifest)]) -> Self {
        let fitting = former.iter().map(|(digest, manifest)| {
            let same = |name: &String| {
                let schema = |manifest: &Manifest| {
                    let mut commands = manifest.commands.iter();
                    commands
                        .find(|command| command.name == *name)
                        .map(|command| command.schema.clone())
                };
                schema(candidate) == schema(manifest)
            };
            let names = manifest.commands.iter().map(|command| command.name.clone());
            (*digest, names.filter(same).collect())
        });
        Self {
            fitting: fitting.collect(),
        }
    }

    /// Gives the answer that a host would make to a recorded command at the present state of
    /// `folder`, and the fuel that it takes: 0 when the module is not asked.
    pub(super) fn decide(&self, folder: &mut Folder, record: &CommandRecord) -> (Again, u64) {
        match self.rejection(folder.decider(), record) {
            Some(rejection) => (Ok(Decision::Rejected(rejection)), 0),
            None => folder.decide(record),
        }
    }

    /// Makes the rejection that stands for an answer that a host gives without asking the module.
    fn rejection(&self, decider: &Decider, record: &CommandRecord) -> Option<Rejection> {
        let known = self.fitting.get(&record.module);
        if known.is_some_and(|names| names.contains(&record.command)) {
            return None;
        }
        let unfit = decider.check_command(&record.command, &record.data).err()?;
        let (code, message) = match unfit {
            Unfit::UnknownCommand { .. } => (
                "command-unknown",
                "the module has no such command".to_owned(),
            ),
            Unfit::InvalidData(violations) => {
                let first = violations.into_iter().next();
                let first = first.map(|(pointer, message)| format!("{pointer}: {message}"));
                ("invalid-command-data", first.unwrap_or_default())
            }
        };
        Some(Rejection {
            code: code.to_owned(),
            message,
            data: None,
        })
    }
}
