//! Kinds of modules.

use std::fmt;

/// A kind of module: a module folds events, and its kind determines the use of the state. Kinds
/// sort as their names do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ModuleKind {
    /// A module that decides commands.
    Decider,
    /// A module that lists the tasks to be done next.
    Process,
    /// A module that keeps rows that people query.
    View,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_what_its_name_says_and_sorts_like_it() {
        for kind in ModuleKind::ALL {
            assert_eq!(ModuleKind::from_name(kind.as_str()), Some(kind));
        }
        assert_eq!(ModuleKind::from_name("deciders"), None);
        assert!(ModuleKind::ALL.is_sorted());
        assert!(ModuleKind::ALL.is_sorted_by_key(|kind| kind.as_str()));
    }
}
