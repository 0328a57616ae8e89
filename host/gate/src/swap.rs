//! The swap: looks at the candidates of a set until nothing is left that was not looked at, and
//! moves their pointers at the same moment, when no finding blocks one of them.
//!
//! The activation log is the truth: its entries are one transaction. The pointers of views may be
//! in another database, and follow.

use std::collections::BTreeSet;
use std::time::Duration;

use gavel_engine::catalog::Ready;
use gavel_model::{Activation, ActivationKey, Namespace};
use gavel_store::views::TableHold;
use gavel_store::{ActivateError, ActivationSet, Moment, SwapCount};
use tokio::time::timeout;

use super::activate::{ATTEMPTS, ActivationRequest, contended, settled};
use super::kinds::Examined;
use super::past::Throttling;
use super::subject::Swap;
use super::{Error, Gate, Step, Watch};

/// The most times that the candidates are held for the last look, before callers are told that too
/// much is written to them.
const TURNS: u32 = 5;
/// The most times that the dependents are looked at again, because another module of the namespace
/// was activated meanwhile.
const MOST_MOVES: u32 = 100;
/// The longest time that deciders and tables are held for the last look, at what was stored since
/// the look before. A look that takes longer continues while commands are carried out.
const LAST_LOOK: Duration = Duration::from_secs(1);

impl Gate {
    /// Takes candidates through the gate, again and again while others come first, and moves the
    /// pointers to them when all pass.
    pub(super) async fn pass(
        &self,
        requests: &[ActivationRequest],
        direction: Swap,
    ) -> Result<Vec<Activation>, Error> {
        let mut candidates = Vec::with_capacity(requests.len());
        for ActivationRequest { key, digest, .. } in requests {
            candidates.push(self.candidate(key, *digest).await?);
        }
        for _ in 0..ATTEMPTS {
            if let Some(mut activated) = self.swap(&candidates, requests, direction).await? {
                activated.sort_by_key(|activation| {
                    let mut requests = requests.iter();
                    requests.position(|request| request.key == activation.key)
                });
                return Ok(activated);
            }
        }
        Err(contended(requests))
    }

    /// Looks at candidates, and moves the pointers to them when all pass. None when everything is
    /// to be looked at again: another module has become active meanwhile, or too much was stored.
    async fn swap(
        &self,
        candidates: &[Ready],
        requests: &[ActivationRequest],
        direction: Swap,
    ) -> Result<Option<Vec<Activation>>, Error> {
        let keys = requests.iter().map(|request| &request.key);
        let namespace = ActivationSet::check(keys).map_err(Error::Unfit)?;
        let keys: BTreeSet<ActivationKey> = requests.iter().map(|of| of.key.clone()).collect();
        let without_room = self.times_without_room();
        let mut looks = Vec::with_capacity(requests.len());
        for (candidate, request) in candidates.iter().zip(requests) {
            let look = self.examined(candidate, request, direction, requests.len());
            looks.push(look.await?);
        }
        let (mut turn, mut moves) = (0, 0);
        while turn < TURNS && moves < MOST_MOVES {
            let swaps = self.look_at_dependents(namespace, &mut looks).await?;
            self.require(&looks, without_room)?;
            // Where giving way has led to nothing, it is done at the cost of those who write so
            // much.
            let throttling = match turn {
                0 => Throttling::GivesWay,
                _ => Throttling::Presses,
            };
            for look in &mut looks {
                if !self.go_on(look, throttling).await? {
                    return Ok(None);
                }
            }
            self.require(&looks, without_room)?;

            let mut last = looks.clone();
            let hold = self.store.hold(&keys).await.map_err(Error::Store)?;
            let looking = self.look_at_last(namespace, &mut last);
            let (through, tables) = match timeout(LAST_LOOK, looking).await {
                Ok(Ok(Some(seen))) => seen,
                Ok(Ok(None)) => return Ok(None),
                Ok(Err(error)) => return Err(error),
                // It is looked at while they go on.
                Err(_elapsed) => {
                    turn += 1;
                    continue;
                }
            };
            self.require(&last, without_room)?;
            let activations = last.iter().zip(requests);
            let activations = activations.map(|(look, request)| look.activation(request));
            let set = ActivationSet::new(activations.collect()).map_err(Error::Unfit)?;
            let set = set.after(swaps);
            let activating = self.modules.activate(hold, set, &through, candidates);
            match activating.await {
                Err(ActivateError::Overtaken { .. }) => (looks, turn) = (last, turn + 1),
                Err(ActivateError::NamespaceMoved) => (looks, moves) = (last, moves + 1),
                activated => {
                    let activated = settled(activated)?;
                    if let Some(activated) = &activated {
                        self.follow(&last, tables, activated).await;
                    }
                    return Ok(activated);
                }
            }
        }
        Err(contended(requests))
    }

    /// Looks at those who depend on the candidates, all together: others may have become active
    /// since each was looked at, or rehearsed. Gives the swaps after which that holds.
    async fn look_at_dependents(
        &self,
        namespace: &Namespace,
        looks: &mut [Examined],
    ) -> Result<SwapCount, Error> {
        let pointings: Vec<_> = looks.iter().map(Examined::pointing).collect();
        let watch = Watch::default();
        let dependents = self.dependents(namespace, &pointings, &watch).await?;
        for ((look, pointing), result) in looks.iter_mut().zip(pointings).zip(dependents.results) {
            let policy = self.policy(&pointing.key);
            let accept = look.accept().to_vec();
            // Where the examination has ended before the step, there is nothing to renew.
            let reports = look.reports_mut().into_iter();
            for report in reports.filter(|report| report.has(Step::Specs)) {
                report.replace(result.clone());
                report.judge(policy, &accept);
            }
        }
        Ok(dependents.swaps)
    }

    /// Looks once more at all candidates, to whose deciders nothing is written, and holds the
    /// tables of the views. Gives the moment through which everything was seen; none when that
    /// cannot be determined, or is too much. Dropped midway, the looks are of no use.
    async fn look_at_last(
        &self,
        namespace: &Namespace,
        looks: &mut [Examined],
    ) -> Result<Option<(Moment, Option<Box<dyn TableHold>>)>, Error> {
        let now = self.store.moment(namespace).await.map_err(Error::Store)?;
        let mut views = Vec::new();
        for look in looks {
            match look {
                Examined::Decider(subject, look) => {
                    if !self.look_last(subject, look, &now).await? {
                        return Ok(None);
                    }
                }
                Examined::View(subject, look) => views.push((&**subject, &mut **look)),
            }
        }
        if views.is_empty() {
            return Ok(Some((now, None)));
        }
        let tables = self.hold_views(views).await?;
        Ok(tables.map(|tables| (now, Some(tables))))
    }

    /// Accepts reports without blocking findings. Reports of a host that had no room for instances
    /// meanwhile speak against a candidate without reason.
    fn require(&self, looks: &[Examined], without_room: u64) -> Result<(), Error> {
        if looks.iter().all(|look| look.report().passed) {
            return Ok(());
        }
        self.had_room_since(without_room)?;
        let reports = looks.iter().map(|look| look.report().to_json());
        Err(Error::Refused {
            reports: reports.collect(),
        })
    }
}
