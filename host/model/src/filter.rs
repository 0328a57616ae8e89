//! A filter of events.

use serde::{Deserialize, Serialize};

/// Selects events without looking at their data. All conditions hold together, and an empty list is
/// no condition.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EventFilter {
    /// The deciders of which events are selected.
    pub deciders: Vec<String>,
    /// The names of the events that are selected.
    pub events: Vec<String>,
    /// The tags that an event must have, all of them.
    pub tags: Vec<String>,
}

impl EventFilter {
    /// Tells whether an event is wanted.
    #[must_use]
    pub fn passes(&self, decider: &str, event: &str, tags: &[String]) -> bool {
        self.passes_names(decider, event) && self.passes_tags(tags)
    }

    /// Tells whether events of this decider and name are wanted, by the names alone.
    #[must_use]
    pub fn passes_names(&self, decider: &str, event: &str) -> bool {
        names_one(&self.deciders, decider) && names_one(&self.events, event)
    }

    /// Tells whether the tags alone select events that have them.
    #[must_use]
    pub fn passes_tags(&self, tags: &[String]) -> bool {
        self.tags.iter().all(|tag| tags.contains(tag))
    }

    /// The approximate memory of the filter, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let names = self.deciders.iter().chain(&self.events).chain(&self.tags);
        names.map(|name| 24 + name.len()).sum()
    }
}

fn names_one(names: &[String], actual: &str) -> bool {
    names.is_empty() || names.iter().any(|name| name == actual)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn an_event_has_one_of_the_names_and_all_of_the_tags() {
        let filter = EventFilter {
            deciders: texts(&["a", "b"]),
            events: texts(&["X"]),
            tags: texts(&["one", "two"]),
        };
        assert!(filter.passes("b", "X", &texts(&["two", "three", "one"])));
        for (decider, event, tags) in [
            ("c", "X", texts(&["one", "two"])),
            ("a", "Y", texts(&["one", "two"])),
            ("a", "X", texts(&["one"])),
            ("a", "X", texts(&["One", "two"])),
        ] {
            assert!(!filter.passes(decider, event, &tags));
        }
        assert!(EventFilter::default().passes("a", "X", &[]));
    }
}
