//! The names under which modules are activated, and the keys of pointers to modules.

use std::fmt;

use super::name::{NameError, is_decider_name};
use super::{DeciderName, ModuleKind, Namespace, StreamId};

/// The longest name of a view, in bytes (inclusive): PostgreSQL has no longer names.
const VIEW_NAME_LIMIT: usize = 63;

/// The name under which a module is activated. Within a namespace it belongs to one kind for good.
///
/// Each is also the name of a decider's streams: those of a decider, or those in which a process
/// keeps the outcomes of its tasks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModuleName(String);

impl ModuleName {
    /// Checks a name as modules of a kind may have it.
    ///
    /// # Errors
    ///
    /// [`NameError`] when the text does not follow the pattern of the kind.
    pub fn new(kind: ModuleKind, text: impl Into<String>) -> Result<Self, NameError> {
        let text = text.into();
        let (is_sound, error) = match kind {
            ModuleKind::Decider => (is_decider_name(&text), NameError::Decider),
            ModuleKind::Process => (is_decider_name(&text), NameError::Process),
            ModuleKind::View => (is_view_name(&text), NameError::View),
        };
        if is_sound { Ok(Self(text)) } else { Err(error) }
    }

    /// The name of the streams of a module of this name.
    #[must_use]
    pub fn to_decider(&self) -> DeciderName {
        DeciderName::of_checked(&self.0)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&DeciderName> for ModuleName {
    fn from(decider: &DeciderName) -> Self {
        Self(decider.as_str().to_owned())
    }
}

impl fmt::Display for ModuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Declares the id of one module of a kind that has ids of its own: a name that was checked for the
/// kind, in a namespace.
macro_rules! module_id {
    ($(#[$doc:meta])+ $id:ident, $kind:ident) => {
        $(#[$doc])+
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $id {
            namespace: $crate::Namespace,
            name: $crate::ModuleName,
        }

        impl $id {
            /// The one of this name.
            ///
            /// # Errors
            ///
            #[doc = concat!("[`NameError::", stringify!($kind), "`](crate::NameError) when the name does not follow the pattern.")]
            pub fn new(
                namespace: $crate::Namespace,
                name: impl Into<String>,
            ) -> Result<Self, $crate::NameError> {
                let name = $crate::ModuleName::new($crate::ModuleKind::$kind, name)?;
                Ok(Self { namespace, name })
            }

            /// The one that a pointer is for; none if it is for modules of another kind.
            #[must_use]
            pub fn of(key: &$crate::ActivationKey) -> Option<Self> {
                (key.kind() == $crate::ModuleKind::$kind).then(|| Self {
                    namespace: key.namespace().clone(),
                    name: key.name().clone(),
                })
            }

            /// The namespace.
            #[must_use]
            pub fn namespace(&self) -> &$crate::Namespace {
                &self.namespace
            }

            /// The name within the namespace.
            #[must_use]
            pub fn name(&self) -> &$crate::ModuleName {
                &self.name
            }

            /// The key of the pointer to the module.
            #[must_use]
            pub fn key(&self) -> $crate::ActivationKey {
                let kind = $crate::ModuleKind::$kind;
                $crate::ActivationKey::of_checked(&self.namespace, kind, &self.name)
            }
        }

        impl std::fmt::Display for $id {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}/{}", self.namespace, self.name)
            }
        }
    };
}

pub(super) use module_id;

/// The key of a pointer, and of all that is kept with it: activations, fences, rehearsals.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActivationKey {
    namespace: Namespace,
    kind: ModuleKind,
    name: ModuleName,
}

impl ActivationKey {
    /// The key of a name that modules of the kind may have.
    ///
    /// # Errors
    ///
    /// [`NameError`] when the name does not follow the pattern of the kind.
    pub fn new(
        namespace: Namespace,
        kind: ModuleKind,
        name: impl Into<String>,
    ) -> Result<Self, NameError> {
        let name = ModuleName::new(kind, name)?;
        Ok(Self {
            namespace,
            kind,
            name,
        })
    }

    /// The key of a decider.
    #[must_use]
    pub fn of_decider(namespace: &Namespace, decider: &DeciderName) -> Self {
        Self {
            namespace: namespace.clone(),
            kind: ModuleKind::Decider,
            name: decider.into(),
        }
    }

    /// The key of a name that was checked for the kind.
    pub(super) fn of_checked(namespace: &Namespace, kind: ModuleKind, name: &ModuleName) -> Self {
        Self {
            namespace: namespace.clone(),
            kind,
            name: name.clone(),
        }
    }

    /// The key of a kind under the name of a stream.
    #[must_use]
    pub fn of_stream(stream: &StreamId, kind: ModuleKind) -> Self {
        Self {
            namespace: stream.namespace().clone(),
            kind,
            name: stream.decider().into(),
        }
    }

    /// The namespace of the pointer.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The kind of the modules that it points at.
    #[must_use]
    pub fn kind(&self) -> ModuleKind {
        self.kind
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &ModuleName {
        &self.name
    }
}

impl fmt::Display for ActivationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// Checks the text against `[a-z][a-z0-9_-]{0,62}`.
fn is_view_name(text: &str) -> bool {
    let allowed = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-'
    };
    (1..=VIEW_NAME_LIMIT).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_view_is_a_narrower_one_than_that_of_a_decider() {
        for kind in [ModuleKind::Decider, ModuleKind::Process] {
            for accepted in ["orders", "Orders", &"o".repeat(128)] {
                assert!(ModuleName::new(kind, accepted).is_ok(), "{kind} {accepted}");
            }
        }
        for accepted in ["o", "orders_by-day2", &"o".repeat(63)] {
            let name = ModuleName::new(ModuleKind::View, accepted).unwrap();
            assert_eq!(name.to_decider().as_str(), accepted);
        }
        for refused in ["", "Orders", "1st", "_o", "o.p", "ö", &"o".repeat(64)] {
            let refusal = ModuleName::new(ModuleKind::View, refused);
            assert_eq!(refusal, Err(NameError::View), "{refused:?}");
        }
    }
}
