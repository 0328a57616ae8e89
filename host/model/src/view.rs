//! Views and the keys of their rows.

use std::fmt;

use super::{ActivationKey, ModuleKind, ModuleName, NameError, Namespace};

/// The longest key of a row, in bytes (inclusive).
const KEY_LIMIT_BYTES: usize = 255;

/// Names one view of the installation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ViewId {
    namespace: Namespace,
    name: ModuleName,
}

impl ViewId {
    /// The view of this name.
    ///
    /// # Errors
    ///
    /// [`NameError::View`] when the name does not follow the pattern.
    pub fn new(namespace: Namespace, name: impl Into<String>) -> Result<Self, NameError> {
        let name = ModuleName::new(ModuleKind::View, name)?;
        Ok(Self { namespace, name })
    }

    /// The view that a pointer is for; none if it is for modules of another kind.
    #[must_use]
    pub fn of(key: &ActivationKey) -> Option<Self> {
        (key.kind() == ModuleKind::View).then(|| Self {
            namespace: key.namespace().clone(),
            name: key.name().clone(),
        })
    }

    /// The namespace of the view, whose events it folds.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The name of the view.
    #[must_use]
    pub fn name(&self) -> &ModuleName {
        &self.name
    }

    /// The key of the pointer to the view's module.
    #[must_use]
    pub fn key(&self) -> ActivationKey {
        ActivationKey::of_checked(&self.namespace, ModuleKind::View, &self.name)
    }
}

impl fmt::Display for ViewId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The key of a row: 1 to 255 bytes of text without control characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowKey(Box<str>);

/// The reason for which a text is no key of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key is 1 to {KEY_LIMIT_BYTES} bytes of text without control characters")]
pub struct RowKeyError;

impl RowKey {
    /// Checks a text.
    ///
    /// # Errors
    ///
    /// [`RowKeyError`] when it breaks a rule.
    pub fn new(text: impl Into<Box<str>>) -> Result<Self, RowKeyError> {
        let text = text.into();
        let is_sound = (1..=KEY_LIMIT_BYTES).contains(&text.len());
        if is_sound && !text.chars().any(char::is_control) {
            Ok(Self(text))
        } else {
            Err(RowKeyError)
        }
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_short_text_without_control_characters() {
        for accepted in ["o-1", " ", "日本", "';--", &"x".repeat(255)] {
            assert_eq!(RowKey::new(accepted).unwrap().as_str(), accepted);
        }
        for refused in ["", "a\0", "a\nb", "\u{85}", &"x".repeat(256)] {
            assert_eq!(RowKey::new(refused), Err(RowKeyError), "{refused:?}");
        }
    }

    #[test]
    fn a_view_has_the_pointer_of_its_name() {
        let view = ViewId::new(Namespace::default(), "orders").unwrap();
        assert_eq!(ViewId::of(&view.key()), Some(view));
        let decider = ActivationKey::new(Namespace::default(), ModuleKind::Decider, "orders");
        assert_eq!(ViewId::of(&decider.unwrap()), None);
        assert!(ViewId::new(Namespace::default(), "Orders").is_err());
    }
}
