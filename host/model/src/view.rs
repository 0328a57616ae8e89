//! Views and the keys of their rows.

use std::fmt;

use super::module::module_id;

/// The longest key of a row, in bytes (inclusive).
const KEY_LIMIT_BYTES: usize = 255;

module_id! {
    /// Names one view of the installation, which folds the events of its namespace.
    ViewId, View
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
    use crate::{ActivationKey, ModuleKind, Namespace};

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
