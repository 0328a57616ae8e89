//! Step `build`: the whole log into a table of the candidate's own, beside the one that people
//! read.
//!
//! A runner fills the table, on this host or another; the step waits for it. What is built stays
//! when the examination ends, and follows the log: another look at the candidate finds it there.

use std::time::Duration;

use gavel_engine::catalog::Ready;
use gavel_engine::views::ViewStatus;
use gavel_model::{ActivationKey, DeciderName, ModuleDigest, ViewId};
use gavel_store::views::ViewTable;
use tokio::time::timeout;

use super::found::Built;
use super::subject::ViewSubject;
use crate::facts::StepFacts;
use crate::finding::{FindingDetails, RowsFinding};
use crate::subject::Swap;
use crate::words::count_of;
use crate::{Error, Finding, Gate, Step, StepResult, Watch};

/// The longest time between two looks at a table that is being built.
const LOOK: Duration = Duration::from_millis(100);
/// The number of events behind the end of the log at which a table counts as built: they may come
/// faster than it can be looked at.
const FEW: u64 = 1_000;
/// The number of faults that are shown.
const SHOWN: usize = 3;

impl Gate {
    /// Tells whether an activation has to fold events first: there are some, and the module has no
    /// table that is finished. A module of another kind builds nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Module`] when there is no such module; [`Error::Store`].
    pub async fn has_to_build(
        &self,
        key: &ActivationKey,
        digest: ModuleDigest,
    ) -> Result<bool, Error> {
        let Some(id) = ViewId::of(key) else {
            return Ok(false);
        };
        let Ready::View(view) = self.candidate(key, digest).await? else {
            return Ok(false);
        };
        let status = self.views.status(&id).await.map_err(Error::Store)?;
        let mut tables = status.iter().flat_map(ViewStatus::tables);
        if tables.any(|table| table.digest == digest && table.is_finished) {
            return Ok(false);
        }
        let sample = self.views.sample(&view, id.namespace(), 1).await;
        Ok(!sample.map_err(Error::Store)?.is_empty())
    }

    /// Waits until the candidate has a table that has come to the end of the log.
    pub(super) async fn build(
        &self,
        subject: &ViewSubject,
        watch: &Watch,
    ) -> Result<(ViewTable, StepResult), Error> {
        let namespace = subject.id.namespace();
        let mut events = 0;
        let mut deciders: Vec<_> = subject.candidate.filter().deciders;
        deciders.dedup();
        for decider in deciders {
            let Ok(decider) = DeciderName::new(&decider) else {
                continue;
            };
            events += self.count_events(namespace, &decider, watch).await?;
        }
        watch.begin(Step::Build, events);
        let table = self.built(subject, watch).await?;
        let built = Built {
            events,
            rows: table.rows,
            parked_rows: table.parked_rows,
            parked_events: table.parked_events,
        };
        let result = self.build_result(subject, &table, built).await?;
        Ok((table, result))
    }

    /// Waits for the table, and makes it again when somebody drops it meanwhile.
    async fn built(&self, subject: &ViewSubject, watch: &Watch) -> Result<ViewTable, Error> {
        let mut changes = self.views.changes();
        loop {
            watch.check()?;
            changes.mark_unchanged();
            let begun = self.views.begin_table(&subject.id, &subject.candidate);
            let table = begun.await.map_err(Error::Store)?;
            if table.is_finished {
                let lag = self.views.lag(&table).await.map_err(Error::Store)?;
                if lag.events < FEW {
                    return Ok(table);
                }
            }
            let _ = timeout(LOOK, changes.changed()).await;
        }
    }

    async fn build_result(
        &self,
        subject: &ViewSubject,
        table: &ViewTable,
        built: Built,
    ) -> Result<StepResult, Error> {
        let summary = format!(
            "{} built from {}.",
            count_of(built.rows, "row"),
            count_of(built.events, "event")
        );
        let mut findings = Vec::new();
        if built.parked_rows + built.parked_events > 0 {
            let rows = self
                .views
                .parked_rows(table, None)
                .await
                .map_err(Error::Store)?;
            let events = self
                .views
                .parked_events(table)
                .await
                .map_err(Error::Store)?;
            let rows = rows.items.into_iter();
            let rows = rows.map(|row| format!("row {}: {}", row.key, row.reason));
            let events = events.into_iter();
            let events = events.map(|event| format!("event {}: {}", event.event_id, event.reason));
            let details = RowsFinding {
                rows: built.parked_rows,
                events: Some(built.parked_events),
                example: rows.take(SHOWN).chain(events.take(SHOWN)).collect(),
            };
            let summary = format!(
                "The candidate cannot fold {}, and cannot tell the keys of {}.",
                count_of(built.parked_rows, "row"),
                count_of(built.parked_events, "event")
            );
            let details = FindingDetails::Build(details);
            let is_binding = subject.direction == Swap::Forward;
            findings.push(Finding::new(details, summary, is_binding));
        }
        Ok(StepResult {
            summary,
            findings,
            facts: StepFacts::Build(built),
        })
    }
}
