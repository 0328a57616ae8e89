//! The swap of views: the last comparison while both tables are held, the entry of the activation
//! log, and the pointer.

use gavel_engine::catalog::Ready;
use gavel_model::{Activation, ActivationNumber};
use gavel_store::views::{TableHold, TableId};
use gavel_store::{ActivationSet, NewActivation};

use super::examine::ViewLook;
use super::subject::ViewSubject;
use crate::activate::{ATTEMPTS, ActivationRequest, contended, settled};
use crate::subject::Swap;
use crate::{Error, Gate, Report, Watch};

impl Gate {
    /// Takes views of one namespace through the gate, and moves their pointers when all pass.
    pub(crate) async fn pass_views(
        &self,
        candidates: &[std::sync::Arc<gavel_engine::catalog::View>],
        requests: &[ActivationRequest],
        direction: Swap,
    ) -> Result<Vec<Activation>, Error> {
        let without_room = self.times_without_room();
        for _ in 0..ATTEMPTS {
            let mut subjects = Vec::with_capacity(candidates.len());
            let mut looks = Vec::with_capacity(candidates.len());
            for (candidate, request) in candidates.iter().zip(requests) {
                let ActivationRequest { key, accept, .. } = request;
                let subject = self.view_subject(key, candidate, direction, accept).await?;
                looks.push(self.examine_view(&subject, &Watch::default()).await?);
                subjects.push(subject);
            }
            self.require_views(&looks, without_room)?;
            if let Some(activated) = self.swap_views(&subjects, requests, looks).await? {
                return Ok(activated);
            }
        }
        Err(contended(requests))
    }

    fn require_views(&self, looks: &[ViewLook], without_room: u64) -> Result<(), Error> {
        if looks.iter().all(|look| look.report.passed) {
            return Ok(());
        }
        self.had_room_since(without_room)?;
        Err(Error::Refused {
            reports: looks.iter().map(|look| look.report.to_json()).collect(),
        })
    }

    /// Moves the pointers to candidates that have passed, unless what was stored since speaks
    /// against one. None when everything is to be looked at again.
    async fn swap_views(
        &self,
        subjects: &[ViewSubject],
        requests: &[ActivationRequest],
        mut looks: Vec<ViewLook>,
    ) -> Result<Option<Vec<Activation>>, Error> {
        let without_room = self.times_without_room();
        let keys = requests.iter().map(|request| &request.key);
        let namespace = ActivationSet::check(keys).map_err(Error::Unfit)?;
        // Most of what has changed since is compared before anything is held.
        for (subject, look) in subjects.iter().zip(&mut looks) {
            if let Some((_, comparison)) = &mut look.compared {
                self.compare_again(subject, comparison, None).await?;
            }
        }
        let pointings: Vec<_> = subjects.iter().map(ViewSubject::pointing).collect();
        let dependents = self
            .dependents(namespace, &pointings, &Watch::default())
            .await?;
        for ((subject, look), result) in subjects.iter().zip(&mut looks).zip(dependents.results) {
            look.report.replace(result);
            look.report.judge(self.policy_of(subject), &subject.accept);
        }
        self.require_views(&looks, without_room)?;

        let mut held = Vec::with_capacity(looks.len());
        for (subject, look) in subjects.iter().zip(&mut looks) {
            match self.hold_view(subject, look).await? {
                Some(hold) => held.push(hold),
                None => return Ok(None),
            }
        }
        self.require_views(&looks, without_room)?;
        let activations = subjects.iter().zip(requests).zip(&looks);
        let activations = activations.map(|((subject, request), look)| NewActivation {
            key: request.key.clone(),
            after: subject.after,
            digest: Some(request.digest),
            events: Vec::new(),
            activated_by: request.activated_by.clone(),
            message: request.message.clone(),
            accepted: look.report.accepted(),
            report: look.report.to_json(),
        });
        let set = ActivationSet::new(activations.collect()).map_err(Error::Unfit)?;
        let set = set.after(dependents.swaps);
        let modules: Vec<Ready> = subjects
            .iter()
            .map(|subject| Ready::View(subject.candidate.clone()))
            .collect();
        let keys = requests.iter().map(|request| request.key.clone()).collect();
        let through = self.store.moment(namespace).await.map_err(Error::Store)?;
        let hold = self.store.hold(&keys).await.map_err(Error::Store)?;
        let activated = self.modules.activate(hold, set, &through, &modules).await;
        let Some(activated) = settled(activated)? else {
            return Ok(None);
        };
        for ((subject, look), hold) in subjects.iter().zip(&looks).zip(held) {
            let number = activated
                .iter()
                .find(|activation| activation.key == subject.key)
                .map_or(ActivationNumber::NONE, |activation| activation.number);
            let table = look.table.as_ref().map(|table| table.id);
            // From here on the activation stands: a pointer that could not be moved follows.
            if let Err(error) = hold.point(&subject.id, table, number).await {
                tracing::warn!(
                    view = %subject.id,
                    error = &error as &dyn std::error::Error,
                    "the rows of a view follow its activation a little later"
                );
            }
        }
        self.views.follow_activations();
        Ok(Some(activated))
    }

    /// Holds the tables of a swap, and compares what is left. None when the candidate is behind, or
    /// its table is gone.
    async fn hold_view(
        &self,
        subject: &ViewSubject,
        look: &mut ViewLook,
    ) -> Result<Option<Box<dyn TableHold>>, Error> {
        let Some(after) = &look.table else {
            return Ok(None);
        };
        let mut tables: Vec<TableId> = vec![after.id];
        tables.extend(look.compared.as_ref().map(|(before, _)| before.id));
        let store = self.views.store();
        let hold = store.hold_tables(&tables).await.map_err(Error::Store)?;
        let positions = hold.positions().await.map_err(Error::Store)?;
        let Some(Some(position)) = positions.first().copied() else {
            return Ok(None);
        };
        let Some((before, mut comparison)) = look.compared.clone() else {
            return Ok(Some(hold));
        };
        let Some(Some(position_before)) = positions.get(1).copied() else {
            return Ok(None);
        };
        if position < position_before {
            return Ok(None);
        }
        let positions = Some((position_before, position));
        self.compare_again(subject, &mut comparison, positions)
            .await?;
        let found = self
            .count_differences(&comparison, (&before, after))
            .await?;
        let policy = self.policy_of(subject);
        look.report.replace(found.result(policy.max_changed_rows));
        look.report.judge(policy, &subject.accept);
        Ok(Some(hold))
    }

    /// Takes a view through the gate without moving its pointer.
    pub(crate) async fn rehearse_view(
        &self,
        candidate: &std::sync::Arc<gavel_engine::catalog::View>,
        request: &crate::RehearsalRequest,
        watch: &Watch,
    ) -> Result<Report, Error> {
        let crate::RehearsalRequest { key, accept, .. } = request;
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
