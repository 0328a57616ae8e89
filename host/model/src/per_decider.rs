//! A setting with overrides for namespaces and for single deciders.

use std::collections::HashMap;

use super::{DeciderName, Namespace};

/// A setting with overrides; a decider's wins over its namespace's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PerDecider<T> {
    default: T,
    namespaces: HashMap<Namespace, InNamespace<T>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct InNamespace<T> {
    default: Option<T>,
    deciders: HashMap<DeciderName, T>,
}

impl<T> PerDecider<T> {
    /// One value for all deciders.
    #[must_use]
    pub fn new(default: T) -> Self {
        Self {
            default,
            namespaces: HashMap::new(),
        }
    }

    /// Sets another value for a decider, or, without a decider, for all deciders of a namespace
    /// that have no value of their own. The last value set counts.
    #[must_use]
    pub fn with(mut self, namespace: Namespace, decider: Option<DeciderName>, value: T) -> Self {
        let none = || InNamespace {
            default: None,
            deciders: HashMap::new(),
        };
        let overrides = self.namespaces.entry(namespace).or_insert_with(none);
        match decider {
            Some(decider) => drop(overrides.deciders.insert(decider, value)),
            None => overrides.default = Some(value),
        }
        self
    }

    /// The value for a decider.
    #[must_use]
    pub fn of(&self, namespace: &Namespace, decider: &DeciderName) -> &T {
        let overrides = self.namespaces.get(namespace);
        let value = overrides.and_then(|of| of.deciders.get(decider).or(of.default.as_ref()));
        value.unwrap_or(&self.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_a_decider_wins_over_that_of_its_namespace() {
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
