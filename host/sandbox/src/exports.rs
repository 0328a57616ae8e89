//! The interfaces of the contract that a component exports, by which a host knows its kind.

use std::fmt;

use gavel_model::ModuleKind;

use super::CompileError;
use super::log::printable;

/// The package of `CONTRACT` in the names of its interfaces.
const PACKAGE: &str = "gavel:module/";
/// The end of the names of the contract's interfaces: additions increase the last number.
const VERSION: &str = "@0.1.";
/// The longest part of a component's text that an error repeats, in characters.
const CONTRACT_CHARS: usize = 100;

/// An interface that a module may export or leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OptionalInterface {
    /// The events that a command is decided on, instead of those of one stream.
    Boundary,
    /// The events that a row or an instance follows from.
    Sources,
    /// The labels of events that were stored before they had any.
    Tags,
    /// The interface that brings stored events to their newest schema.
    Upcast,
}

impl OptionalInterface {
    const ALL: [Self; 4] = [Self::Boundary, Self::Sources, Self::Tags, Self::Upcast];

    /// The name of the interface.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Boundary => "boundary",
            Self::Sources => "sources",
            Self::Tags => "tags",
            Self::Upcast => "upcast",
        }
    }

    /// Tells whether modules of a kind may export the interface.
    fn is_for(self, kind: ModuleKind) -> bool {
        let for_deciders = match self {
            Self::Boundary | Self::Tags | Self::Upcast => true,
            Self::Sources => false,
        };
        for_deciders == (kind == ModuleKind::Decider)
    }
}

impl fmt::Display for OptionalInterface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The interfaces of the contract that a component exports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exports {
    /// The kind of the module: it exports the interface of that name, and of no other kind.
    pub(super) kind: ModuleKind,
    /// The optional interfaces of the component, sorted.
    pub(super) optional: Vec<OptionalInterface>,
}

impl Exports {
    /// Reads the interfaces off the names of all exports.
    ///
    /// # Errors
    ///
    /// [`CompileError::OtherContract`] where they are those of another contract, and
    /// [`CompileError::WrongWorld`] where they are no module's or contradict each other.
    pub(super) fn of<'n>(names: impl Iterator<Item = &'n str>) -> Result<Self, CompileError> {
        let (mut kinds, mut optional) = (Vec::new(), Vec::new());
        for name in names.filter(|name| name.starts_with("gavel:")) {
            let interface = own_interface(name).ok_or_else(|| other_contract(name))?;
            let kind = ModuleKind::from_name(interface);
            let known = OptionalInterface::ALL.into_iter();
            let addition = known.into_iter().find(|known| known.as_str() == interface);
            match (kind, addition) {
                (Some(kind), _) => kinds.push(kind),
                (_, Some(addition)) => optional.push(addition),
                // What it is for is not known, and so neither what would go wrong without it.
                (None, None) => {
                    return Err(wrong_world(format!(
                        "this host does not know `{}`",
                        shortened(name)
                    )));
                }
            }
        }
        let [kind] = kinds[..] else {
            return Err(wrong_world(format!(
                "it exports {} of `{PACKAGE}decider@0.1.0`, `{PACKAGE}view@0.1.0` and \
                 `{PACKAGE}process@0.1.0`, of which a module exports one",
                if kinds.is_empty() { "none" } else { "several" }
            )));
        };
        optional.sort_unstable();
        match optional.iter().find(|addition| !addition.is_for(kind)) {
            Some(addition) => Err(wrong_world(format!(
                "`{PACKAGE}{addition}` is not for modules of the kind `{kind}`"
            ))),
            None => Ok(Self { kind, optional }),
        }
    }
}

/// The name of an interface of `CONTRACT` within its package.
fn own_interface(name: &str) -> Option<&str> {
    let (interface, _) = name.strip_prefix(PACKAGE)?.split_once(VERSION)?;
    Some(interface)
}

/// Tells of a contract by the name of one of its interfaces: `gavel:decider/decider@0.1.0` is one
/// of `gavel:decider@0.1.0`.
fn other_contract(name: &str) -> CompileError {
    let package = name.split('/').next().unwrap_or_default();
    let version = name.split_once('@').map_or("", |(_, version)| version);
    CompileError::OtherContract {
        contract: shortened(&format!("{package}@{version}")),
    }
}

fn wrong_world(reason: String) -> CompileError {
    CompileError::WrongWorld { reason }
}

fn shortened(text: &str) -> String {
    printable(text).chars().take(CONTRACT_CHARS).collect()
}

/// Tells whether the import `name` is an interface of `CONTRACT` that holds no function.
pub(super) fn is_without_functions(name: &str) -> bool {
    matches!(own_interface(name), Some("types" | "log"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CONTRACT;

    fn exports(names: &[&str]) -> Result<Exports, String> {
        Exports::of(names.iter().copied()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_kind_and_what_is_optional_are_found_by_export() {
        let found = exports(&[
            "gavel:module/upcast@0.1.0",
            "wasi:cli/run@0.2.0",
            "gavel:module/decider@0.1.7",
            "gavel:module/boundary@0.1.0",
        ]);
        assert_eq!(
            found,
            Ok(Exports {
                kind: ModuleKind::Decider,
                optional: vec![OptionalInterface::Boundary, OptionalInterface::Upcast],
            })
        );
        for kind in ModuleKind::ALL {
            let found = exports(&[&format!("gavel:module/{kind}@0.1.0")]);
            assert_eq!(found.unwrap().kind, kind);
        }
    }

    #[test]
    fn what_is_no_module_of_one_kind_is_refused_with_the_reason() {
        let (decider, view) = ("gavel:module/decider@0.1.0", "gavel:module/view@0.1.0");
        for (names, reason) in [
            (&[][..], "exports none of"),
            (&["wasi:cli/run@0.2.0"], "exports none of"),
            (&[decider, view], "exports several of"),
            (&[decider, decider], "exports several of"),
            (
                &[decider, "gavel:module/sources@0.1.0"],
                "not for modules of the kind `decider`",
            ),
            (
                &[view, "gavel:module/upcast@0.1.0"],
                "not for modules of the kind `view`",
            ),
            (
                &[decider, "gavel:module/oracle@0.1.0"],
                "does not know `gavel:module/oracle@0.1.0`",
            ),
        ] {
            let refusal = exports(names).unwrap_err();
            assert!(refusal.contains(reason), "{names:?}: {refusal}");
        }
    }

    #[test]
    fn a_module_of_another_contract_is_told_which_one_this_host_runs() {
        for (name, contract) in [
            ("gavel:decider/decider@0.1.0", "`gavel:decider@0.1.0`"),
            ("gavel:module/decider@0.2.0", "`gavel:module@0.2.0`"),
            ("gavel:module/decider", "`gavel:module@`"),
        ] {
            let refusal = exports(&[name]).unwrap_err();
            assert!(
                refusal.contains(contract) && refusal.contains(CONTRACT),
                "{refusal}"
            );
        }
        let long = format!("gavel:{}\u{1b}", "x".repeat(1_000_000));
        let refusal = exports(&[&long]).unwrap_err();
        assert!(
            refusal.len() < 500 && !refusal.contains('\u{1b}'),
            "{refusal}"
        );
    }
}
