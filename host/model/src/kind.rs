//! Kinds of modules.

use std::fmt;

/// A kind of module: a module folds events, and its kind says what is done with the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ModuleKind {
    /// Decides commands.
    Decider,
    /// Keeps rows that people query.
    View,
    /// Lists what is to be done next.
    Process,
}

impl ModuleKind {
    /// All kinds, in the order of their names.
    pub const ALL: [Self; 3] = [Self::Decider, Self::Process, Self::View];

    /// The name of the kind, as manifests and stores write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decider => "decider",
            Self::View => "view",
            Self::Process => "process",
        }
    }

    /// The name of several modules of the kind, as paths of the HTTP API write it.
    #[must_use]
    pub fn plural(self) -> &'static str {
        match self {
            Self::Decider => "deciders",
            Self::View => "views",
            Self::Process => "processes",
        }
    }

    /// The kind of this name; none if there is no such kind.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for ModuleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
