//! A module that is ready to decide: compiled, described, with the schemas of its commands at hand.

use std::collections::HashMap;

use serde_json::Value;

use super::{Manifest, Schema, SchemaBudget};
use crate::core::{Event, ModuleDigest};
use crate::runtime::Module;

/// A module that is ready to decide.
#[derive(Debug)]
pub struct Decider {
    module: Module,
    manifest: Manifest,
    commands: HashMap<String, Schema>,
}

/// Why a payload does not reach the module.
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
    /// Brings a compiled module and its manifest together. Compiling the schemas may take long: not for a thread that others wait for.
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
        Ok(Self {
            module,
            manifest,
            commands,
        })
    }

    /// The module's digest.
    #[must_use]
    pub fn digest(&self) -> ModuleDigest {
        self.module.digest()
    }

    /// What the module says of itself.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The compiled module.
    #[must_use]
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// Whether the manifest declares the event in this schema version.
    #[must_use]
    pub fn declares(&self, event: &str, schema_version: u32) -> bool {
        self.manifest
            .events
            .iter()
            .any(|declared| declared.name == event && declared.schema_version == schema_version)
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
    pub fn check_command(&self, command: &str, data: &Value) -> Result<(), Unfit> {
        let schema = self.schema(command)?;
        schema.check(data).map_err(Unfit::InvalidData)
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
                did_you_mean: self.nearest_command(command),
            })
    }

    fn nearest_command(&self, command: &str) -> Option<String> {
        let distance =
            |name: &str| strsim::damerau_levenshtein(&name.to_lowercase(), &command.to_lowercase());
        // Comparing is quadratic in the lengths, and a sender chooses one of them.
        let nearest = (command.len() <= 256)
            .then(|| {
                self.commands
                    .keys()
                    .map(|name| (distance(name), name))
                    .min()
            })
            .flatten()?;
        // Farther than half of the name is no typing mistake.
        (nearest.0 * 2 <= nearest.1.len()).then(|| nearest.1.clone())
    }
}
