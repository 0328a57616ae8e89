//! Step 2: what the candidate declares, against the active module and against history.

use serde_json::{Value, json};

use super::words::{count_of, excerpt};
use super::{Error, Finding, Step, StepResult, schema};
use crate::core::{DeciderName, Json, Namespace, Position, RecordedEvent};
use crate::modules::{CommandType, EventDeclaration, Manifest, Schema, SchemaBudget};
use crate::store::{LogFilter, LogStore};

/// How many events are looked through at a time.
const PAGE_EVENTS: u32 = 1_000;

/// Compares two manifests. An event that history holds and the candidate does not declare any more stands in the way, and so does one whose
/// data break the schema that the candidate has for it.
pub(super) async fn compare(
    store: &dyn LogStore,
    namespace: &Namespace,
    decider: &DeciderName,
    active: Option<&Manifest>,
    candidate: &Manifest,
) -> Result<StepResult, Error> {
    let mut findings = Vec::new();
    if let Some(active) = active {
        let history = History {
            store,
            namespace,
            decider,
        };
        for event in &active.events {
            let same = candidate.events.iter().find(|declared| {
                declared.name == event.name && declared.schema_version == event.schema_version
            });
            findings.extend(match same {
                None => Some(history.removed(event).await?),
                Some(declared) => history.narrowed(event, declared).await?,
            });
        }
        findings.extend(active.commands.iter().filter_map(|command| {
            let mut commands = candidate.commands.iter();
            let same = commands.find(|declared| declared.name == command.name);
            changed_command(command, same)
        }));
    }
    Ok(StepResult {
        step: Step::Describe,
        summary: format!(
            "{} and {} are declared.",
            count_of(candidate.commands.len() as u64, "command"),
            count_of(candidate.events.len() as u64, "event")
        ),
        facts: json!({ "commands": candidate.commands.len(), "events": candidate.events.len() }),
        findings,
    })
}

fn changed_command(old: &CommandType, new: Option<&CommandType>) -> Option<Finding> {
    let name = &old.name;
    let Some(new) = new else {
        let summary = format!("Command {name} is no longer declared.");
        return Some(finding(summary, json!({ "command": name }), false));
    };
    let narrowed = schema::narrowed(&old.schema, &new.schema);
    (!narrowed.is_empty()).then(|| {
        finding(
            format!("Command {name} accepts less: {}.", narrowed.join("; ")),
            json!({ "command": name, "narrowed": narrowed }),
            false,
        )
    })
}

fn finding(summary: String, details: Value, blocks: bool) -> Finding {
    Finding {
        name: "schema".to_owned(),
        step: Step::Describe,
        summary,
        details,
        blocks,
        accepted: false,
    }
}

/// What is stored of a decider.
struct History<'a> {
    store: &'a dyn LogStore,
    namespace: &'a Namespace,
    decider: &'a DeciderName,
}

impl History<'_> {
    async fn removed(&self, event: &EventDeclaration) -> Result<Finding, Error> {
        let (name, version) = (&event.name, event.schema_version);
        let written = self.first(event, |_| true).await?.is_some();
        let consequence = if written {
            "and history holds it"
        } else {
            "but history does not hold it"
        };
        Ok(finding(
            format!("Event {name} version {version} is no longer declared, {consequence}."),
            json!({ "event": name, "schema_version": version, "in_history": written }),
            written,
        ))
    }

    async fn narrowed(
        &self,
        old: &EventDeclaration,
        new: &EventDeclaration,
    ) -> Result<Option<Finding>, Error> {
        let narrowed = schema::narrowed(&old.schema, &new.schema);
        if narrowed.is_empty() {
            return Ok(None);
        }
        let breaks = match Schema::compile(&new.schema, &mut SchemaBudget::default()) {
            Ok(fits) => {
                self.first(old, |data| !fits.is_valid(&data.to_value()))
                    .await?
            }
            // A module with such a schema was not taken in.
            Err(_) => None,
        };
        let (name, version) = (&old.name, old.schema_version);
        let mut summary = format!(
            "Event {name} version {version} allows less: {}",
            narrowed.join("; ")
        );
        let mut details = json!({ "event": name, "schema_version": version, "narrowed": narrowed });
        if let Some(first) = &breaks {
            let (id, at) = (first.stream.id(), first.version);
            let data = &first.event.data;
            summary.push_str(&format!(
                ", and history holds what does not fit. First: stream {id} version {at}"
            ));
            details["stream"] = id.into();
            details["version"] = at.get().into();
            details["example"] = json!([format!("{name} {}", excerpt(data.as_str()))]);
        }
        summary.push('.');
        Ok(Some(finding(summary, details, breaks.is_some())))
    }

    /// The first event of this type, in the order of the log, that is `wanted` by its data.
    async fn first(
        &self,
        event: &EventDeclaration,
        wanted: impl Fn(&Json) -> bool,
    ) -> Result<Option<RecordedEvent>, Error> {
        let filter = LogFilter {
            deciders: vec![self.decider.to_string()],
            events: vec![event.name.clone()],
            ..LogFilter::default()
        };
        let mut after = Position::BEGINNING;
        loop {
            let page = self
                .store
                .read_log(self.namespace, after, &filter, PAGE_EVENTS)
                .await;
            let page = page.map_err(Error::Store)?;
            let mut events = page.events.into_iter();
            let found = events.find(|recorded| {
                recorded.event.schema_version == event.schema_version
                    && wanted(&recorded.event.data)
            });
            if found.is_some() || page.caught_up {
                return Ok(found);
            }
            after = page.next;
        }
    }
}
