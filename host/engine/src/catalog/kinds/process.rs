//! A module that is ready to list tasks: compiled, described, with the schema of its states at
//! hand.

use std::collections::{BTreeSet, HashMap, HashSet};

use gavel_model::{EventFilter, Json, ModuleDigest, RecordedEvent};
use gavel_sandbox::Module;
use gavel_store::EventKind;

use crate::catalog::reads::Reads;
use crate::catalog::{ProcessManifest, Schema, SchemaBudget};

/// A module that is ready to list tasks.
#[derive(Debug)]
pub struct Process {
    module: Module,
    manifest: ProcessManifest,
    state_schema: Schema,
    reads: Reads,
    /// The commands that it may send, by decider.
    sends: HashMap<String, HashSet<String>>,
}

impl Process {
    /// Brings a compiled module and its manifest together. Compiling the schema may take long: not
    /// for a thread that others wait for.
    ///
    /// # Errors
    ///
    /// The fault of the schema, one sentence.
    pub fn new(module: Module, manifest: ProcessManifest) -> Result<Self, Vec<String>> {
        let mut budget = SchemaBudget::default();
        let state_schema = Schema::compile(&manifest.state_schema, &mut budget)
            .map_err(|reason| vec![format!("the schema of the states is invalid: {reason}")])?;
        let mut sends = HashMap::<_, HashSet<_>>::new();
        for send in &manifest.sends {
            let commands = sends.entry(send.decider.clone()).or_default();
            commands.insert(send.command.clone());
        }
        Ok(Self {
            reads: Reads::of(&manifest.reads),
            module,
            manifest,
            state_schema,
            sends,
        })
    }

    /// Gives the module's digest.
    #[must_use]
    pub fn digest(&self) -> ModuleDigest {
        self.module.digest()
    }

    /// Gives the module's manifest.
    #[must_use]
    pub fn manifest(&self) -> &ProcessManifest {
        &self.manifest
    }

    /// Gives the compiled module.
    #[must_use]
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// Gives the kinds of events that the process's sources find by tags.
    #[must_use]
    pub fn read_by_tag(&self) -> &BTreeSet<EventKind> {
        self.reads.by_tag()
    }

    /// Tells whether the process reads an event, in whatever version of its schema.
    #[must_use]
    pub fn reads(&self, event: &RecordedEvent) -> bool {
        self.reads.versions(event).is_some()
    }

    /// Tells whether the process reads an event in its version of the schema.
    #[must_use]
    pub fn can_fold(&self, event: &RecordedEvent) -> bool {
        self.reads.can_fold(event)
    }

    /// Gives the filter of the log that lets through all that the process reads, and perhaps more:
    /// [`Process::reads`] tells.
    #[must_use]
    pub fn filter(&self) -> EventFilter {
        self.reads.filter()
    }

    /// Tells whether the process may send a command.
    #[must_use]
    pub fn may_send(&self, decider: &str, command: &str) -> bool {
        let commands = self.sends.get(decider);
        commands.is_some_and(|commands| commands.contains(command))
    }

    /// Checks a state that the module has folded. May take long: call it on a guest's thread.
    ///
    /// # Errors
    ///
    /// The reason for which the state cannot be kept, one sentence.
    pub fn check_state(&self, state: &Json) -> Result<(), String> {
        self.state_schema
            .check_document(state)
            .map_err(|violations| {
                let (pointer, message) = violations.into_iter().next().unwrap_or_default();
                format!("the state breaks its schema at `{pointer}`: {message}")
            })
    }
}
