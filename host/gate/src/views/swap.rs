//! The views of a swap: the last comparison while their tables are held, and the pointers.

use std::collections::HashMap;
use std::sync::Arc;

use gavel_engine::catalog::View;
use gavel_model::{Activation, Position};
use gavel_store::views::{RowPointer, TableHold, TableId};
use tokio::time::{sleep, timeout};

use super::compare::PAUSE;
use super::examine::{ROLLBACK_LOOK, ViewLook};
use super::subject::ViewSubject;
use crate::subject::Swap;
use crate::{Error, Gate, RehearsalRequest, Report, Watch};

impl Gate {
    /// Compares the rows again that were changed since the last look at a candidate. False when
    /// everything is to be looked at again.
    pub(crate) async fn look_on_view(
        &self,
        subject: &ViewSubject,
        look: &mut ViewLook,
    ) -> Result<bool, Error> {
        let Some(compared) = &mut look.compared else {
            return Ok(true);
        };
        let comparing = self.compare_again(subject, &mut compared.comparison, None);
        let changed = match subject.direction {
            Swap::Forward => comparing.await,
            Swap::Back => match timeout(ROLLBACK_LOOK, comparing).await {
                Ok(changed) => changed,
                Err(_elapsed) => return Ok(true),
            },
        };
        match changed {
            Err(Error::Contended { .. }) => return Ok(false),
            Err(error) => return Err(error),
            Ok(0) => return Ok(true),
            Ok(_) => {}
        }
        self.sum(compared).await?;
        self.judge_rows(subject, look).await?;
        Ok(true)
    }

    /// Holds the tables of all views once no candidate is behind the table that people read, and
    /// compares what is left. None when a table is gone.
    pub(crate) async fn hold_views(
        &self,
        views: Vec<(&ViewSubject, &mut ViewLook)>,
    ) -> Result<Option<Box<dyn TableHold>>, Error> {
        let mut tables = Vec::new();
        for (_, look) in &views {
            let Some(after) = &look.table else {
                return Ok(None);
            };
            tables.push(after.id);
            tables.extend(look.compared.as_ref().map(|compared| compared.before.id));
        }
        let (hold, positions) = loop {
            let hold = self.views.store().hold_tables(&tables).await;
            let hold = hold.map_err(Error::Store)?;
            let positions = hold.positions().await.map_err(Error::Store)?;
            let known = tables.iter().copied().zip(positions);
            let known: Option<HashMap<TableId, Position>> =
                known.map(|(table, at)| Some((table, at?))).collect();
            let Some(known) = known else {
                return Ok(None);
            };
            let is_behind = |(_, look): &(&ViewSubject, &mut ViewLook)| {
                let compared = look.compared.as_ref();
                compared.is_some_and(|tables| known[&tables.after.id] < known[&tables.before.id])
            };
            if !views.iter().any(is_behind) {
                break (hold, known);
            }
            drop(hold);
            sleep(PAUSE).await;
        };
        for (subject, look) in views {
            let Some(compared) = &mut look.compared else {
                continue;
            };
            let positions = [&compared.before, &compared.after].map(|table| positions[&table.id]);
            let comparison = &mut compared.comparison;
            self.compare_again(subject, comparison, Some(positions.into()))
                .await?;
            self.judge_rows(subject, look).await?;
        }
        Ok(Some(hold))
    }

    /// Enters what is known by now of the rows that differ.
    async fn judge_rows(&self, subject: &ViewSubject, look: &mut ViewLook) -> Result<(), Error> {
        if let Some(compared) = &look.compared {
            let found = self.differences(compared).await?;
            let policy = self.policy(&subject.key);
            let result = found.result(subject.most_changed_rows(policy));
            look.report.replace(result);
            look.report.judge(policy, &subject.accept);
        }
        Ok(())
    }

    /// Moves the pointers of views whose activations have taken place.
    pub(crate) async fn point_views(
        &self,
        views: &[(&ViewSubject, &ViewLook)],
        tables: Box<dyn TableHold>,
        activated: &[Activation],
    ) {
        let pointers = views.iter().filter_map(|(subject, look)| {
            let mut activated = activated.iter();
            let activation = activated.find(|activation| activation.key == subject.key)?;
            Some(RowPointer {
                view: subject.id.clone(),
                table: look.table.as_ref().map(|table| table.id),
                activation: activation.number,
            })
        });
        // The activations stand: a pointer that could not be moved follows.
        if let Err(error) = tables.point(pointers.collect()).await {
            let views: Vec<_> = views.iter().map(|(view, _)| view.id.to_string()).collect();
            tracing::warn!(
                views = views.join(", "),
                error = &error as &dyn std::error::Error,
                "the rows of views follow their activations a little later"
            );
        }
        self.views.follow_activations();
        for (_, look) in views {
            if let Some(compared) = &look.compared {
                let comparison = compared.comparison.clone();
                self.comparisons.keep(comparison.reversed());
            }
        }
    }

    /// Takes a view through the gate without moving its pointer.
    pub(crate) async fn rehearse_view(
        &self,
        candidate: &Arc<View>,
        request: &RehearsalRequest,
        watch: &Watch,
    ) -> Result<Report, Error> {
        let RehearsalRequest { key, accept, .. } = request;
        let subject = self
            .view_subject(key, candidate, Swap::Forward, accept)
            .await?;
        let looked = tokio::select! {
            report = self.if_there_was_room(async {
                Ok(self.examine_view(&subject, watch).await?.report)
            }) => report,
            () = watch.cancelled() => Err(Error::Cancelled),
        };
        if matches!(looked, Err(Error::Cancelled)) && !subject.is_active() {
            self.drop_candidate(&subject).await;
        }
        looked
    }

    /// Forgets the table of a candidate whose rehearsal was cancelled.
    async fn drop_candidate(&self, subject: &ViewSubject) {
        let begun = self
            .views
            .begin_table(&subject.id, &subject.candidate)
            .await;
        let dropped = match begun {
            Ok(table) => self.views.drop_table(table.id).await,
            Err(error) => Err(error),
        };
        if let Err(error) = dropped {
            tracing::warn!(
                view = %subject.id,
                error = &error as &dyn std::error::Error,
                "the table of a candidate stays until it is old"
            );
        }
    }
}
