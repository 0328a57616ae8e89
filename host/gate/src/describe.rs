//! Step 2: the candidate's declarations, against the active module and against history.

use std::sync::Arc;
use std::time::Instant;

use gavel_engine::catalog::{CommandType, EventDeclaration, Manifest, Schema, SchemaBudget};
use gavel_model::{DeciderName, EventFilter, Namespace, Position, RecordedEvent};
use gavel_sandbox::Runtime;
use gavel_sandbox::scheduling::TURN;
use gavel_store::{LogFilter, LogStore};
use serde_json::Value;

use super::facts::{DeclaredTypes, DescribeFacts, StepFacts};
use super::finding::{CommandChange, EventChange, FindingDetails, SchemaChange};
use super::words::{count_of, excerpt};
use super::{Error, Finding, StepResult, schema};

/// The number of events that are looked through at a time.
const PAGE_EVENTS: u32 = 1_000;

/// Compares two manifests. An event that history holds and the candidate does not declare any more
/// blocks the candidate, and so does an event whose data break the schema that the candidate has
/// for it.
pub(super) async fn compare(
    store: &dyn LogStore,
    runtime: &Runtime,
    namespace: &Namespace,
    decider: &DeciderName,
    active: Option<&Manifest>,
    candidate: &Manifest,
) -> Result<StepResult, Error> {
    let mut findings = Vec::new();
    if let Some(active) = active {
        let history = DeciderHistory {
            store,
            runtime,
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
        for command in &active.commands {
            let mut commands = candidate.commands.iter();
            let same = commands.find(|declared| declared.name == command.name);
            findings.extend(changed_command(runtime, command, same).await?);
        }
    }
    Ok(StepResult {
        summary: format!(
            "{} and {} are declared.",
            count_of(candidate.commands.len() as u64, "command"),
            count_of(candidate.events.len() as u64, "event")
        ),
        findings,
        facts: StepFacts::Describe(DescribeFacts::Decider(DeclaredTypes {
            commands: candidate.commands.len(),
            events: candidate.events.len(),
        })),
    })
}

async fn changed_command(
    runtime: &Runtime,
    old: &CommandType,
    new: Option<&CommandType>,
) -> Result<Option<Finding>, Error> {
    let name = &old.name;
    let change = |narrowed| CommandChange {
        command: name.clone(),
        narrowed,
    };
    let Some(new) = new else {
        let summary = format!("Command {name} is no longer declared.");
        let change = SchemaChange::Command(change(None));
        return Ok(Some(finding(change, summary, false)));
    };
    let narrowed = narrowed(runtime, &old.schema, &new.schema).await?;
    Ok(narrowed.map(|(narrowed, _)| {
        let summary = format!("Command {name} accepts less: {}.", narrowed.join("; "));
        let change = SchemaChange::Command(change(Some(narrowed)));
        finding(change, summary, false)
    }))
}

/// Lists where `new` accepts less than `old`, if it does, and makes `new` ready to check values.
/// Runs in the background, for a schema is as expensive as its author has made it.
async fn narrowed(
    runtime: &Runtime,
    old: &Value,
    new: &Value,
) -> Result<Option<(Vec<String>, Option<Arc<Schema>>)>, Error> {
    if old == new {
        return Ok(None);
    }
    let (old, new) = (old.clone(), new.clone());
    let compare = move || {
        let narrowed = schema::narrowed(&old, &new);
        if narrowed.is_empty() {
            return None;
        }
        // A module with a schema that cannot be compiled was not taken in.
        let fits = Schema::compile(&new, &mut SchemaBudget::default());
        Some((narrowed, fits.ok().map(Arc::new)))
    };
    let compared = runtime.run_in_background(compare).await;
    compared.map_err(Error::NotRun)
}

fn finding(change: SchemaChange, summary: String, blocks: bool) -> Finding {
    Finding::new(FindingDetails::Schema(change), summary, blocks)
}

/// Makes a change of an event's declaration that says nothing but which event it is.
fn unchanged(event: &EventDeclaration) -> EventChange {
    EventChange {
        event: event.name.clone(),
        schema_version: event.schema_version,
        in_history: None,
        narrowed: None,
        stream: None,
        version: None,
        example: Vec::new(),
    }
}

/// The stored events of a decider.
struct DeciderHistory<'a> {
    store: &'a dyn LogStore,
    runtime: &'a Runtime,
    namespace: &'a Namespace,
    decider: &'a DeciderName,
}

impl DeciderHistory<'_> {
    async fn removed(&self, event: &EventDeclaration) -> Result<Finding, Error> {
        let (name, version) = (&event.name, event.schema_version);
        let written = self.first(event, None).await?.is_some();
        let consequence = if written {
            "and history holds it"
        } else {
            "but history does not hold it"
        };
        let summary =
            format!("Event {name} version {version} is no longer declared, {consequence}.");
        let change = EventChange {
            in_history: Some(written),
            ..unchanged(event)
        };
        Ok(finding(SchemaChange::Event(change), summary, written))
    }

    async fn narrowed(
        &self,
        old: &EventDeclaration,
        new: &EventDeclaration,
    ) -> Result<Option<Finding>, Error> {
        let narrowed = narrowed(self.runtime, &old.schema, &new.schema).await?;
        let Some((narrowed, fits)) = narrowed else {
            return Ok(None);
        };
        let breaks = match &fits {
            Some(fits) => self.first(old, Some(fits)).await?,
            None => None,
        };
        let (name, version) = (&old.name, old.schema_version);
        let mut summary = format!(
            "Event {name} version {version} allows less: {}",
            narrowed.join("; ")
        );
        let mut change = EventChange {
            narrowed: Some(narrowed),
            ..unchanged(old)
        };
        if let Some(first) = &breaks {
            let (id, at) = (first.stream.id(), first.version);
            let data = &first.event.data;
            summary.push_str(&format!(
                ", and history holds what does not fit. First: stream {id} version {at}"
            ));
            change.stream = Some(id.to_owned());
            change.version = Some(at.get());
            change.example = vec![format!("{name} {}", excerpt(data.as_str()))];
        }
        summary.push('.');
        let change = SchemaChange::Event(change);
        Ok(Some(finding(change, summary, breaks.is_some())))
    }

    /// Finds the first event of this type, in the order of the log; with a schema, the first one
    /// that does not fit.
    async fn first(
        &self,
        event: &EventDeclaration,
        schema: Option<&Arc<Schema>>,
    ) -> Result<Option<RecordedEvent>, Error> {
        let filter = LogFilter::from(EventFilter {
            deciders: vec![self.decider.to_string()],
            events: vec![event.name.clone()],
            ..EventFilter::default()
        });
        let mut after = Position::BEGINNING;
        loop {
            let page = self
                .store
                .read_log(self.namespace, after, &filter, PAGE_EVENTS)
                .await;
            let page = page.map_err(Error::Store)?;
            let mut events = page.events;
            events.retain(|recorded| recorded.event.schema_version == event.schema_version);
            let found = match schema {
                Some(schema) => self.first_unfit(events, schema).await?,
                None => events.into_iter().next(),
            };
            if found.is_some() || page.caught_up {
                return Ok(found);
            }
            after = page.next;
        }
    }

    /// Finds the first event whose data do not fit, in the background, in short turns.
    async fn first_unfit(
        &self,
        events: Vec<RecordedEvent>,
        schema: &Arc<Schema>,
    ) -> Result<Option<RecordedEvent>, Error> {
        let mut events = events.into_iter();
        while events.len() > 0 {
            let schema = schema.clone();
            let turn = move || {
                let began = Instant::now();
                let mut unfit = None;
                while unfit.is_none() && began.elapsed() < TURN {
                    let Some(next) = events.next() else { break };
                    unfit = Some(next).filter(|next| !schema.is_valid(&next.event.data.to_value()));
                }
                (events, unfit)
            };
            let unfit;
            let ended = self.runtime.run_in_background(turn).await;
            (events, unfit) = ended.map_err(Error::NotRun)?;
            if unfit.is_some() {
                return Ok(unfit);
            }
        }
        Ok(None)
    }
}
