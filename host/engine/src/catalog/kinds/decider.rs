//! A module that is ready to decide: compiled, described, with the schemas of its commands at hand.

use std::collections::{HashMap, HashSet};

use gavel_model::{Event, Json, ModuleDigest};
use gavel_sandbox::Module;

use crate::catalog::{Manifest, Schema, SchemaBudget};

/// Most pairs of characters that are compared to find out which command a sender may have meant:
/// some milliseconds.
const SUGGESTION_STEPS: usize = 500_000;

/// A module that is ready to decide.
#[derive(Debug)]
pub struct Decider {
    module: Module,
    manifest: Manifest,
    commands: HashMap<String, Schema>,
    /// The schema versions of each event that is declared.
    events: HashMap<String, HashSet<u32>>,
}

/// A reason for which a payload does not reach the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// The module has no such command; the nearest name that it has.
    UnknownCommand {
        /// The nearest name.
        did_you_mean: Option<String>,
    },
    /// The payload breaks the command's schema: pointer and message of each place.
    InvalidData(Vec<(String, String)>),
}

impl Decider {
    /// Brings a compiled module and its manifest together. Compiling the schemas may take long: not
    /// for a thread that others wait for.
    ///
    /// # Errors
    ///
    /// All schemas that are no JSON Schemas or cost too much, one sentence each.
    pub fn new(module: Module, manifest: Manifest) -> Result<Self, Vec<String>> {
        let mut commands = HashMap::new();
        let mut reasons = Vec::new();
        let mut budget = SchemaBudget::default();
        for command in &manifest.commands {
            match Schema::compile(&command.schema, &mut budget) {
                Ok(schema) => drop(commands.insert(command.name.clone(), schema)),
                Err(reason) => reasons.push(format!(
                    "the schema of command `{}` is invalid: {reason}",
                    command.name
                )),
            }
        }
        for event in &manifest.events {
            if let Err(reason) = Schema::compile(&event.schema, &mut budget) {
                reasons.push(format!(
                    "the schema of event `{}` is invalid: {reason}",
                    event.name
                ));
            }
        }
        if let Err(reason) = budget.spend(&manifest.state_schema) {
            reasons.push(format!("the schema of the state is refused: {reason}"));
        }
        if !reasons.is_empty() {
            return Err(reasons);
        }
        let mut events = HashMap::<_, HashSet<_>>::new();
        for event in &manifest.events {
            let versions = events.entry(event.name.clone()).or_default();
            versions.insert(event.schema_version);
        }
        Ok(Self {
            module,
            manifest,
            commands,
            events,
        })
    }

    /// Gives the module's digest.
    #[must_use]
    pub fn digest(&self) -> ModuleDigest {
        self.module.digest()
    }

    /// Gives the module's manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Gives the compiled module.
    #[must_use]
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// Tells whether the manifest declares the event in this schema version.
    #[must_use]
    pub fn declares(&self, event: &str, schema_version: u32) -> bool {
        let versions = self.events.get(event);
        versions.is_some_and(|versions| versions.contains(&schema_version))
    }

    /// Checks what the module has decided before anybody else sees it.
    ///
    /// # Errors
    ///
    /// Which event the manifest does not declare, in words.
    pub fn check_events(&self, events: &[Event]) -> Result<(), String> {
        let undeclared = events
            .iter()
            .find(|event| !self.declares(&event.name, event.schema_version));
        undeclared.map_or(Ok(()), |event| {
            Err(format!(
                "event {} version {} is not declared",
                event.name, event.schema_version
            ))
        })
    }

    /// Checks a command before the module sees it. May take long: call it on a guest's thread.
    ///
    /// # Errors
    ///
    /// [`Unfit`] says what the sender has to change.
    pub fn check_command(&self, command: &str, data: &Json) -> Result<(), Unfit> {
        let schema = self.schema(command)?;
        schema.check_document(data).map_err(Unfit::InvalidData)
    }

    /// Checks that there is such a command, whatever its data.
    ///
    /// # Errors
    ///
    /// [`Unfit::UnknownCommand`].
    pub fn check_name(&self, command: &str) -> Result<(), Unfit> {
        self.schema(command).map(|_| ())
    }

    fn schema(&self, command: &str) -> Result<&Schema, Unfit> {
        self.commands
            .get(command)
            .ok_or_else(|| Unfit::UnknownCommand {
                did_you_mean: nearest(
                    command,
                    self.manifest
                        .commands
                        .iter()
                        .map(|known| known.name.as_str()),
                ),
            })
    }
}

/// Finds the name among `names` that `command` is a typing mistake for.
fn nearest<'n>(command: &str, names: impl Iterator<Item = &'n str>) -> Option<String> {
    // Comparing takes as long as the lengths multiplied, and a sender and a module choose them.
    let mut steps_left = SUGGESTION_STEPS;
    let affordable = names.map_while(|name| {
        steps_left = steps_left.checked_sub(name.len().saturating_mul(command.len().max(1)))?;
        Some(name)
    });
    let distance =
        |name: &str| strsim::damerau_levenshtein(&name.to_lowercase(), &command.to_lowercase());
    let (distance, name) = affordable.map(|name| (distance(name), name)).min()?;
    // Farther than half of the name is no typing mistake.
    (distance * 2 <= name.len()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_looked_for_among_as_many_names_as_take_no_time() {
        let names = ["Decrement", "Increment", "Reset"];
        let nearest = |command: &str, names: &[&str]| nearest(command, names.iter().copied());
        assert_eq!(nearest("incremnt", &names).as_deref(), Some("Increment"));
        assert_eq!(nearest("Delete", &names), None);
        let long = "x".repeat(128);
        let mut many = vec![long.as_str(); 10_000];
        many.push("Increment");
        assert_eq!(nearest("Incremen", &many), None);
        assert_eq!(nearest(&"y".repeat(1 << 20), &names), None);
    }
}
