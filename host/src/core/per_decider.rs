//! What is set for all deciders, for those of a namespace, and for single ones.

use super::{DeciderName, Namespace};

/// A setting that may be another for some deciders: what is said of a decider counts before what is said of its namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PerDecider<T> {
    default: T,
    own: Vec<(Namespace, Option<DeciderName>, T)>,
}

impl<T> PerDecider<T> {
    /// The same for all.
    #[must_use]
    pub fn new(default: T) -> Self {
        Self {
            default,
            own: Vec::new(),
        }
    }

    /// With another value for a decider, or, without one, for all of a namespace that have none of their own. What is said first counts.
    #[must_use]
    pub fn with(mut self, namespace: Namespace, decider: Option<DeciderName>, value: T) -> Self {
        self.own.push((namespace, decider, value));
        self
    }

    /// What holds for a decider.
    #[must_use]
    pub fn of(&self, namespace: &Namespace, decider: &DeciderName) -> &T {
        let find = |wanted: Option<&DeciderName>| {
            let mut own = self.own.iter();
            own.find(|(own, decider, _)| own == namespace && decider.as_ref() == wanted)
        };
        let found = find(Some(decider)).or_else(|| find(None));
        found.map_or(&self.default, |(_, _, value)| value)
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
