//! The metadata of a decided event without what can be found again: the digest of the module is
//! that of the activation, and what nobody has named a cause of is the command itself.
//!
//! **Invariant:** [`whole`] of what [`lean`] leaves is what it was, entry by entry.

use gavel_model::{CommandId, Metadata, NewEvent, reserved};

/// The entries that are the command's id, unless the sender says otherwise.
const CAUSES: [&str; 2] = [reserved::CORRELATION_ID, reserved::CAUSATION_ID];

/// The metadata of an event that the module with this digest has decided, without what [`whole`]
/// puts back. None when an entry that it puts back was not there: such metadata is kept as it is.
#[must_use]
pub fn lean(event: &NewEvent, module: &str) -> Option<Metadata> {
    let metadata = &event.metadata;
    let is_decided = metadata.get(reserved::MODULE) == Some(module)
        && CAUSES.iter().all(|cause| metadata.get(cause).is_some());
    if !is_decided {
        return None;
    }
    let command_id = event.command_id.to_string();
    let own = metadata.entries().iter().filter(|(key, value)| {
        let is_own = key.as_str() != reserved::MODULE;
        is_own && !(CAUSES.contains(&key.as_str()) && **value == command_id)
    });
    let own = own.map(|(key, value)| (key.clone(), value.clone()));
    Some(Metadata::from_stored(own.collect()))
}

/// The metadata of an event that was stored without what follows from its command and from the
/// module that has decided it.
#[must_use]
pub fn whole(lean: Metadata, module: &str, command_id: CommandId) -> Metadata {
    let mut metadata = lean.with(reserved::MODULE, module);
    for cause in CAUSES {
        if metadata.get(cause).is_none() {
            metadata = metadata.with(cause, command_id.to_string());
        }
    }
    metadata
}

#[cfg(test)]
mod tests {
    use gavel_model::Json;
    use uuid::Uuid;

    use super::*;

    fn event(entries: &[(&str, &str)]) -> NewEvent {
        let entries = entries.iter();
        let entries = entries.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        NewEvent {
            event_id: Uuid::from_u128(1),
            event: "Deposited".to_owned(),
            schema_version: 1,
            data: Json::null(),
            is_final: false,
            tags: Vec::new(),
            metadata: Metadata::from_stored(entries.collect()),
            command_id: Uuid::from_u128(2),
        }
    }

    #[test]
    fn what_follows_from_the_command_is_left_out_and_put_back() {
        let command_id = Uuid::from_u128(2).to_string();
        let cases = [
            (vec![], 0),
            (vec![("actor", "ann"), ("note", "")], 2),
            (vec![("correlation_id", "another")], 1),
            (vec![("correlation_id", ""), ("causation_id", "another")], 2),
        ];
        for (own, kept) in cases {
            let mut entries = vec![
                ("module", "sha256:a"),
                ("correlation_id", &*command_id),
                ("causation_id", &*command_id),
            ];
            entries.extend(own);
            let decided = event(&entries);
            let lean = lean(&decided, "sha256:a").unwrap();
            assert_eq!(lean.entries().len(), kept, "{lean:?}");
            assert_eq!(
                whole(lean, "sha256:a", decided.command_id),
                decided.metadata
            );
        }
    }

    #[test]
    fn what_would_gain_an_entry_is_kept_as_it_is() {
        for entries in [
            vec![],
            vec![("correlation_id", "x"), ("causation_id", "x")],
            vec![("module", "sha256:a"), ("correlation_id", "x")],
            vec![
                ("module", "sha256:b"),
                ("correlation_id", "x"),
                ("causation_id", "x"),
            ],
        ] {
            assert_eq!(lean(&event(&entries), "sha256:a"), None, "{entries:?}");
        }
    }
}
