//! Rehearsals at work: they run in the background, can be watched from every host, and are begun
//! again when their host has ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gavel_engine::catalog::Decider;
use gavel_model::{ActivationKey, ActivationNumber, Clock, Json, Namespace, RehearsalId, new_id};
use gavel_sandbox::RunError;
use metrics::counter;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::metrics::REHEARSALS;
use super::rehearsal::{Rehearsal, RehearsalRequest, Rehearsed, Status, ThenActivate};
use super::silence::Beats;
use super::slots::{Slot, SlotKind};
use super::subject::Swap;
use super::{ActivationRequest, Error, Gate, Report, Watch};

/// The interval at which a host records that it is alive, and the progress of its rehearsals.
const BEAT: Duration = Duration::from_secs(1);
/// The silence of a host after which another host begins its rehearsals again.
const SILENCE: Duration = Duration::from_secs(10);
/// The number of hosts lost while working on a rehearsal after which the rehearsal is failed: it
/// may be what has ended them.
const LOST_HOSTS: u32 = 2;
/// The number of rehearsals that are listed.
const LISTED: u32 = 100;

/// The rehearsals of the installation; cheap to clone.
#[derive(Debug, Clone)]
pub struct Rehearsals(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    gate: Gate,
    clock: Arc<dyn Clock>,
    /// The rehearsals of this host.
    running: Mutex<HashMap<RehearsalId, RunningRehearsal>>,
    /// Ends those of this host, without an outcome.
    stopped: CancellationToken,
}

#[derive(Debug, Clone)]
struct RunningRehearsal {
    watch: Watch,
    over: watch::Receiver<bool>,
}

impl Rehearsals {
    /// Rehearsals of what `gate` guards.
    #[must_use]
    pub fn new(gate: Gate, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner {
            gate,
            clock,
            running: Mutex::default(),
            stopped: CancellationToken::new(),
        }))
    }

    /// Begins a rehearsal.
    ///
    /// # Errors
    ///
    /// [`Error::Module`] when there is no such module; [`Error::Busy`] when this host has as many
    /// under way as it takes of the namespace, or of all.
    pub async fn start(&self, request: RehearsalRequest) -> Result<Rehearsal, Error> {
        self.0.gate.candidate(&request.key, request.digest).await?;
        let slot = self.slot_for(&request)?;
        let rehearsal = Rehearsal::new(new_id(), request, self.0.clock.now());
        self.keep_record(&rehearsal).await?;
        self.run(rehearsal.clone(), slot);
        Ok(rehearsal)
    }

    /// Reads a rehearsal of any host.
    ///
    /// # Errors
    ///
    /// [`Error::RehearsalNotFound`], or [`Error::Store`].
    pub async fn get(&self, namespace: &Namespace, id: RehearsalId) -> Result<Rehearsal, Error> {
        let record = self
            .0
            .gate
            .store
            .rehearsal(namespace, id)
            .await
            .map_err(Error::Store)?;
        let mut rehearsal = record
            .as_ref()
            .and_then(Rehearsal::from_record)
            .ok_or(Error::RehearsalNotFound { id })?;
        let running = self.running().get(&id).cloned();
        if let (Some(running), Status::Running) = (running, rehearsal.status) {
            rehearsal.progress = running.watch.progress();
        }
        Ok(rehearsal)
    }

    /// Lists the newest rehearsals of a key, newest first.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn list(&self, key: &ActivationKey) -> Result<Vec<Rehearsal>, Error> {
        let records = self.0.gate.store.rehearsals(key, LISTED).await;
        let records = records.map_err(Error::Store)?;
        Ok(records.iter().filter_map(Rehearsal::from_record).collect())
    }

    /// Ends a rehearsal. One that is over stays as it is.
    ///
    /// # Errors
    ///
    /// [`Error::RehearsalNotFound`], or [`Error::Store`].
    pub async fn cancel(&self, namespace: &Namespace, id: RehearsalId) -> Result<Rehearsal, Error> {
        let rehearsal = self.get(namespace, id).await?;
        if rehearsal.status != Status::Running {
            return Ok(rehearsal);
        }
        let running = self.running().get(&id).cloned();
        match running {
            Some(mut running) => {
                running.watch.cancel();
                // Its task is gone only when the host is going.
                let _ = running.over.wait_for(|over| *over).await;
            }
            // The host that works on it notices when it says next that it is alive.
            None => {
                let ended = rehearsal.ended(Status::Cancelled, self.0.clock.now());
                self.keep_record(&ended).await?;
            }
        }
        self.get(namespace, id).await
    }

    /// Begins the rehearsals of lost hosts again, until `stop`. Then the rehearsals of this host
    /// end without an outcome, for another host to begin them again.
    pub async fn keep(self, stop: CancellationToken) {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut beats = Beats::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = beat.tick() => {}
            }
            if let Err(error) = self.adopt(&mut beats, Instant::now()).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "rehearsals of other hosts cannot be looked at"
                );
            }
        }
        self.0.stopped.cancel();
        let running: Vec<RunningRehearsal> = self.running().values().cloned().collect();
        for mut running in running {
            let _ = running.over.wait_for(|over| *over).await;
        }
    }

    /// Begins one again, the first that there is a slot for.
    async fn adopt(&self, beats: &mut Beats, now: Instant) -> Result<(), Error> {
        let Gate { slots, store, .. } = &self.0.gate;
        if slots.are_gone(SlotKind::Rehearsal) && slots.are_gone(SlotKind::Shadow) {
            return Ok(());
        }
        let unfinished = store.unfinished_rehearsals().await;
        let unfinished = unfinished.map_err(Error::Store)?;
        for last in beats.silent_for(SILENCE, unfinished, now) {
            if self.running().contains_key(&last.id) {
                continue;
            }
            // Another time in any case, so that of two hosts one is the first.
            let seen_at = self.0.clock.now().max(last.seen_at + BEAT);
            let adopted = store.adopt_rehearsal(&last, seen_at).await;
            let rehearsal = adopted
                .map_err(Error::Store)?
                .and_then(|record| Rehearsal::from_record(&record));
            // What there is no slot for is left alone for as long as if it were silent anew, and
            // then tried again, here or elsewhere.
            if let Some(rehearsal) = rehearsal
                && let Ok(slot) = self.slot_for(&rehearsal.request)
            {
                return self.begin_again(rehearsal, slot).await;
            }
        }
        Ok(())
    }

    async fn begin_again(&self, mut rehearsal: Rehearsal, slot: Slot) -> Result<(), Error> {
        if rehearsal.begun >= LOST_HOSTS {
            tracing::warn!(rehearsal = %rehearsal.id, "a rehearsal is not begun again, {LOST_HOSTS} hosts have gone with it");
            rehearsal.error = Some(format!(
                "{LOST_HOSTS} hosts have gone while they worked on it, perhaps because of it: it is not begun again"
            ));
            let failed = rehearsal.ended(Status::Failed, self.0.clock.now());
            return self.keep_record(&failed).await.map(|_| ());
        }
        tracing::info!(rehearsal = %rehearsal.id, "a rehearsal is begun again, its host is gone");
        rehearsal.begun += 1;
        // Counted before it is begun, which may be the end of this host. False when somebody has
        // ended it meanwhile.
        if self.keep_record(&rehearsal).await? {
            self.run(rehearsal, slot);
        }
        Ok(())
    }

    fn slot_for(&self, request: &RehearsalRequest) -> Result<Slot, Error> {
        let slots = &self.0.gate.slots;
        slots.take(request.mode.into(), request.key.namespace())
    }

    fn run(&self, rehearsal: Rehearsal, slot: Slot) {
        let (id, watch) = (rehearsal.id, Watch::default());
        let (sender, over) = watch::channel(false);
        let running = RunningRehearsal {
            watch: watch.clone(),
            over,
        };
        self.running().insert(id, running);
        let rehearsals = self.clone();
        tokio::spawn(async move {
            rehearsals.work(rehearsal, &watch).await;
            drop(slot);
            rehearsals.running().remove(&id);
            sender.send_replace(true);
        });
    }

    /// Carries a rehearsal out, and says every now and then how far it is.
    async fn work(&self, mut rehearsal: Rehearsal, watch: &Watch) {
        let found = watch::Sender::new(None);
        let ended = {
            // A task, which goes on while the record is kept: what is not polled may hold what
            // others wait for.
            let (gate, request) = (self.0.gate.clone(), rehearsal.request.clone());
            let (watched, finds) = (watch.clone(), found.clone());
            let mut working = AbortOnDropHandle::new(tokio::spawn(async move {
                gate.rehearse_and_activate(&request, &watched, &finds).await
            }));
            let mut beat = tokio::time::interval(BEAT);
            beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    ended = &mut working => {
                        break ended.unwrap_or(Err(Error::NotRun(RunError::Panicked)));
                    }
                    () = self.0.stopped.cancelled() => {
                        working.abort();
                        let _ = working.await;
                        return self.give_back(rehearsal).await;
                    }
                    _ = beat.tick() => {}
                }
                rehearsal.progress = watch.progress();
                rehearsal.report = found.borrow().clone();
                match self.keep_record(&rehearsal).await {
                    Ok(true) => {}
                    // Somebody has ended it on another host.
                    Ok(false) => watch.cancel(),
                    Err(error) => tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "a rehearsal goes on, but nobody can see how far it is"
                    ),
                }
            }
        };
        rehearsal.progress = watch.progress();
        rehearsal.report = found.borrow().clone();
        let status = match &ended {
            Ok((report, activation)) => {
                rehearsal.report = Some(report.to_json());
                rehearsal.activation = *activation;
                if report.passed {
                    Status::Passed
                } else {
                    Status::Refused
                }
            }
            Err(Error::Refused { reports }) => {
                rehearsal.report = reports.first().cloned();
                Status::Refused
            }
            Err(Error::Cancelled) => Status::Cancelled,
            Err(error) => {
                tracing::warn!(
                    error = error as &dyn std::error::Error,
                    "a rehearsal has failed"
                );
                rehearsal.error = Some(error.to_string());
                Status::Failed
            }
        };
        let RehearsalRequest { key, mode, .. } = &rehearsal.request;
        let (kind, mode) = (key.kind().as_str(), mode.name());
        counter!(REHEARSALS, "kind" => kind, "mode" => mode, "status" => status.name())
            .increment(1);
        let ended = rehearsal.ended(status, self.0.clock.now());
        if let Err(error) = self.keep_record(&ended).await {
            // It stays as running, and is begun again.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the outcome of a rehearsal cannot be kept"
            );
        }
        let key = &ended.request.key;
        let (gate, decider) = (&self.0.gate, key.name().to_decider());
        gate.forget_snapshots(key.namespace(), &decider);
    }

    /// Leaves a rehearsal to another host: it is not what has ended this one.
    async fn give_back(&self, mut rehearsal: Rehearsal) {
        rehearsal.begun = rehearsal.begun.saturating_sub(1);
        if let Err(error) = self.keep_record(&rehearsal).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a rehearsal counts as one that has ended this host"
            );
        }
    }

    async fn keep_record(&self, rehearsal: &Rehearsal) -> Result<bool, Error> {
        let record = rehearsal.to_record(self.0.clock.now());
        self.0
            .gate
            .store
            .put_rehearsal(record)
            .await
            .map_err(Error::Store)
    }

    fn running(&self) -> MutexGuard<'_, HashMap<RehearsalId, RunningRehearsal>> {
        self.0
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate {
    /// Takes a candidate through the gate, and activates it when that is wanted and none of what
    /// was found blocks it.
    async fn rehearse_and_activate(
        &self,
        request: &RehearsalRequest,
        watch: &Watch,
        found: &watch::Sender<Option<Json>>,
    ) -> Result<(Report, Option<ActivationNumber>), Error> {
        let report = self.rehearse(request, watch, found).await?;
        let Some(ThenActivate { message }) = request.then.as_ref().filter(|_| report.passed) else {
            return Ok((report, None));
        };
        let activation = self.activate(ActivationRequest {
            key: request.key.clone(),
            digest: request.digest,
            message: message.clone(),
            accept: request.accept.clone(),
            activated_by: request.requested_by.clone(),
        });
        let number = activation.await?.number;
        Ok((report, Some(number)))
    }

    /// Takes a decider through the gate, or shadows live commands; puts into `found` what it has
    /// seen so far.
    pub(super) async fn rehearse_decider(
        &self,
        candidate: &Arc<Decider>,
        request: &RehearsalRequest,
        watch: &Watch,
        found: &watch::Sender<Option<Json>>,
    ) -> Result<Report, Error> {
        let RehearsalRequest { key, accept, .. } = request;
        let subject = self.subject(key, candidate, Swap::Forward, accept);
        let subject = subject.await?;
        match request.mode {
            Rehearsed::History => {
                tokio::select! {
                    report = self.if_there_was_room(self.examine(&subject, None, watch)) => report,
                    () = watch.cancelled() => Err(Error::Cancelled),
                }
            }
            Rehearsed::Shadow => self.shadow(&subject, watch, found).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use gavel_engine::catalog::Modules;
    use gavel_engine::streaming::Log;
    use gavel_engine::views::{ViewSettings, Views};
    use gavel_model::{ModuleDigest, ModuleKind, SystemClock};
    use gavel_sandbox::{BackgroundThrottle, Limits, Runtime, RuntimeOptions};
    use gavel_store::{MemoryStore, MemoryViews, RehearsalStore as _};

    use super::*;
    use crate::GateSettings;

    fn host() -> (Arc<MemoryStore>, Rehearsals) {
        let clock = Arc::new(SystemClock);
        let store = Arc::new(MemoryStore::new(clock.clone()));
        let runtime = Runtime::new(Limits::default(), RuntimeOptions::default()).unwrap();
        let modules = Modules::new(store.clone(), runtime);
        let log = Log::new(store.clone(), clock.clone(), BackgroundThrottle::default());
        let views = Views::new(
            Arc::new(MemoryViews::new(clock.clone())),
            store.clone(),
            store.clone(),
            log,
            modules.clone(),
            clock.clone(),
            ViewSettings::default(),
        );
        let gate = Gate::new(store.clone(), modules, views, GateSettings::default());
        (store, Rehearsals::new(gate, clock))
    }

    fn request(mode: Rehearsed) -> RehearsalRequest {
        RehearsalRequest {
            key: ActivationKey::new(Namespace::default(), ModuleKind::Decider, "account").unwrap(),
            digest: ModuleDigest::of(b"none"),
            mode,
            accept: Vec::new(),
            requested_by: None,
            then: None,
        }
    }

    /// Looks, and looks again when all that was there has been silent for long enough.
    async fn adopt_the_silent(rehearsals: &Rehearsals) {
        let (mut beats, start) = (Beats::default(), Instant::now());
        for now in [start, start + SILENCE] {
            rehearsals.adopt(&mut beats, now).await.unwrap();
        }
    }

    #[tokio::test]
    async fn shadows_without_a_slot_do_not_keep_a_rehearsal_from_being_begun_again() {
        let (store, rehearsals) = host();
        let slots = &rehearsals.0.gate.slots;
        let (home, kind) = (Namespace::default(), SlotKind::Shadow);
        let _taken = [(); 2].map(|()| slots.take(kind, &home).unwrap());
        let now = SystemClock.now();
        for mode in [Rehearsed::Shadow, Rehearsed::Shadow, Rehearsed::History] {
            let rehearsal = Rehearsal::new(new_id(), request(mode), now);
            let record = rehearsal.to_record(now);
            assert!(store.put_rehearsal(record).await.unwrap());
        }

        adopt_the_silent(&rehearsals).await;

        let begun: Vec<_> = rehearsals.running().values().cloned().collect();
        assert_eq!(begun.len(), 1);
        for mut running in begun {
            running.over.wait_for(|over| *over).await.unwrap();
        }
        let kept = rehearsals.list(&request(Rehearsed::History).key).await;
        let over = kept
            .unwrap()
            .into_iter()
            .filter(|kept| kept.ended_at.is_some());
        let over: Vec<_> = over.map(|kept| kept.request.mode).collect();
        assert_eq!(over, [Rehearsed::History]);
    }

    #[tokio::test]
    async fn a_rehearsal_that_two_hosts_have_gone_with_is_failed() {
        let (store, rehearsals) = host();
        let request = request(Rehearsed::History);
        let now = SystemClock.now();

        for (lost_hosts, is_begun_again) in [(0, true), (1, true), (2, false)] {
            let mut rehearsal = Rehearsal::new(new_id(), request.clone(), now);
            rehearsal.begun = lost_hosts;
            let record = rehearsal.to_record(now);
            assert!(store.put_rehearsal(record).await.unwrap());

            adopt_the_silent(&rehearsals).await;

            let running = rehearsals.running().get(&rehearsal.id).cloned();
            assert_eq!(running.is_some(), is_begun_again);
            if let Some(mut running) = running {
                running.over.wait_for(|over| *over).await.unwrap();
            }
            let kept = rehearsals.get(request.key.namespace(), rehearsal.id).await;
            let kept = kept.unwrap();
            assert_eq!(kept.status, Status::Failed);
            let reason = kept.error.unwrap();
            // What is begun again fails for its own reason: there is no such module.
            assert_eq!(reason.contains("hosts have gone"), !is_begun_again);
        }
    }
}
