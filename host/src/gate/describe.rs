//! Step 2: what the candidate declares, against the active module and against history.

use std::collections::BTreeSet;

use serde_json::json;

use super::{Error, Finding, Step};
use crate::core::{DeciderName, Namespace, Position};
use crate::modules::Manifest;
use crate::store::{EventStore, LogFilter};

/// How many events are looked through at a time for one of a removed schema version.
const PAGE_EVENTS: u32 = 1_000;

/// Compares two manifests. An event that history holds and the candidate no longer declares stands in the way.
pub(super) async fn compare(
    store: &dyn EventStore,
    namespace: &Namespace,
    decider: &DeciderName,
    active: Option<&Manifest>,
    candidate: &Manifest,
) -> Result<(String, Vec<Finding>), Error> {
    let events = |manifest: &Manifest| -> BTreeSet<(String, u32)> {
        manifest
            .events
            .iter()
            .map(|event| (event.name.clone(), event.schema_version))
            .collect()
    };
    let commands = |manifest: &Manifest| -> BTreeSet<String> {
        manifest
            .commands
            .iter()
            .map(|command| command.name.clone())
            .collect()
    };
    let summary = format!(
        "{} commands and {} events are declared.",
        candidate.commands.len(),
        candidate.events.len()
    );
    let Some(active) = active else {
        return Ok((summary, Vec::new()));
    };

    let mut findings = Vec::new();
    for (event, schema_version) in events(active).difference(&events(candidate)) {
        let written = is_in_history(store, namespace, decider, event, *schema_version).await?;
        let consequence = if written {
            "and history holds it"
        } else {
            "but history does not hold it"
        };
        findings.push(Finding {
            name: "schema".to_owned(),
            step: Step::Describe,
            summary: format!("Event {event} version {schema_version} is no longer declared, {consequence}."),
            details: json!({ "event": event, "schema_version": schema_version, "in_history": written }),
            blocks: written,
            accepted: false,
        });
    }
    for command in commands(active).difference(&commands(candidate)) {
        findings.push(Finding {
            name: "schema".to_owned(),
            step: Step::Describe,
            summary: format!("Command {command} is no longer declared."),
            details: json!({ "command": command }),
            blocks: false,
            accepted: false,
        });
    }
    Ok((summary, findings))
}

async fn is_in_history(
    store: &dyn EventStore,
    namespace: &Namespace,
    decider: &DeciderName,
    event: &str,
    schema_version: u32,
) -> Result<bool, Error> {
    let filter = LogFilter {
        deciders: vec![decider.to_string()],
        events: vec![event.to_owned()],
        ..LogFilter::default()
    };
    let mut after = Position::BEGINNING;
    loop {
        let page = store
            .read_log(namespace, after, &filter, PAGE_EVENTS)
            .await
            .map_err(Error::Store)?;
        if page
            .events
            .iter()
            .any(|recorded| recorded.event.schema_version == schema_version)
        {
            return Ok(true);
        }
        if page.caught_up {
            return Ok(false);
        }
        after = page.next;
    }
}
