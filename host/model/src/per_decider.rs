//! A setting with overrides for namespaces and for single deciders.

use std::collections::HashMap;

use super::{DeciderName, Namespace};

/// A setting with overrides; a decider's wins over its namespace's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PerDecider<T> {
    default: T,
    own: HashMap<Namespace, InNamespace<T>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct InNamespace<T> {
    default: Option<T>,
    own: HashMap<DeciderName, T>,
}

impl<T> PerDecider<T> {
    /// The same for all.
    #[must_use]
    pub fn new(default: T) -> Self {
        Self {
            default,
            own: HashMap::new(),
        }
    }

    /// Sets another value for a decider, or, without a decider, for all deciders of a namespace
    /// that have no value of their own. The last value set counts.
    #[must_use]
    pub fn with(mut self, namespace: Namespace, decider: Option<DeciderName>, value: T) -> Self {
        let none = || InNamespace {
            default: None,
            own: HashMap::new(),
        };
        let own = self.own.entry(namespace).or_insert_with(none);
        match decider {
            Some(decider) => drop(own.own.insert(decider, value)),
            None => own.default = Some(value),
        }
        self
    }

    /// The value for a decider.
    #[must_use]
    pub fn of(&self, namespace: &Namespace, decider: &DeciderName) -> &T {
        let own = self.own.get(namespace);
        let own = own.and_then(|own| own.own.get(decider).or(own.default.as_ref()));
        own.unwrap_or(&self.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_a_decider_counts_before_what_is_said_of_its_namespace() {
        let namespace = |name| Namespace::new(name).unwrap();
        let decider = |name| DeciderName::new(name).unwrap();
        let setting = PerDecider::new(0)
            .with(namespace("shop"), None, 1)
            .with(namespace("shop"), Some(decider("order")), 2)
            .with(namespace("other"), Some(decider("cart")), 3);
        for (name, its_decider, expected) in [
            ("shop", "order", 2),
            ("shop", "cart", 1),
            ("other", "cart", 3),
            ("other", "order", 0),
        ] {
            let found = setting.of(&namespace(name), &decider(its_decider));
            assert_eq!(*found, expected, "{name}/{its_decider}");
        }
    }
}
