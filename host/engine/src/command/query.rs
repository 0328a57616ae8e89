//! States to be shown: now and at earlier moments, by this module or another.
//!
//! Nothing is decided on them, so that each is folded in an instance of its own, in turns with
//! other reads: readers stay out of the way of commands.

use std::sync::Arc;

use gavel_model::{Event, Json, ModuleDigest, StreamId, Version};
use gavel_sandbox::{Fault, Instance, Restored, Runtime, SMALL_READ_EVENTS, State};
use gavel_store::StreamHead;

use super::history::{HistoryPage, HistoryReader, PAGE_EVENTS};
use super::{Commands, Error, StateAnswer, StateAt};
use crate::catalog::{Decider, Outputs};

/// A stream that is folded to be shown.
#[derive(Debug)]
pub(super) struct FoldedStream {
    runtime: Runtime,
    outputs: Arc<Outputs>,
    decider: Arc<Decider>,
    stream: StreamId,
    /// None before the first call.
    guest: Option<(Instance, State)>,
    /// The head of the stream after the pending events.
    head: StreamHead,
    /// The events that were read and are not folded yet: folding waits for the next call into the
    /// guest, which often is the last.
    pending_events: Vec<Event>,
}

impl Commands {
    /// Reads the state of a stream at a moment, folded by the active module or by `module`.
    ///
    /// # Errors
    ///
    /// `StreamNotFound` when the stream had no event at that moment, or has not reached that
    /// version yet; otherwise `DeciderNotFound`, `Module`, `Fault` and `Store`.
    pub async fn state(
        &self,
        stream: &StreamId,
        moment: StateAt,
        module: Option<ModuleDigest>,
    ) -> Result<StateAnswer, Error> {
        let modules = &self.0.modules;
        let decider = match module {
            Some(digest) => modules.decider(digest).await.map_err(Error::Module)?,
            None => {
                let active = modules.active(stream.namespace(), stream.decider());
                let active = active.await.map_err(Error::Module)?;
                let active = active.ok_or_else(|| Error::DeciderNotFound {
                    decider: stream.decider().clone(),
                })?;
                active.decider.clone()
            }
        };
        let store = &*self.0.store;
        let through = match moment {
            StateAt::Newest => None,
            StateAt::Version(version) => Some(version),
            StateAt::Time(at) => Some(store.version_at(stream, at).await.map_err(Error::Store)?),
        };
        let module = decider.digest();
        let folded = self.fold(decider, stream, through).await?;
        let head = folded.head;
        if head.version == Version::EMPTY || through.is_some_and(|wanted| wanted != head.version) {
            let current = store.head(stream).await.map_err(Error::Store)?.version;
            return Err(Error::StreamNotFound {
                stream: stream.clone(),
                current,
            });
        }
        Ok(StateAnswer {
            stream: stream.clone(),
            version: head.version,
            is_final: head.is_final,
            state: folded.show().await?,
            module,
        })
    }

    /// Folds a stream through the version `through`, or through its newest event.
    pub(super) async fn fold(
        &self,
        decider: Arc<Decider>,
        stream: &StreamId,
        through: Option<Version>,
    ) -> Result<FoldedStream, Error> {
        let modules = &self.0.modules;
        let throttle = modules.runtime().throttle();
        let history = HistoryReader {
            store: self.0.store.clone(),
            module: decider.digest(),
            stream: stream.clone(),
        };
        let read = async |after, limit| history.after(after, through, limit).await;
        let mut folded = FoldedStream {
            runtime: modules.runtime().clone(),
            outputs: modules.outputs().clone(),
            decider,
            stream: stream.clone(),
            guest: None,
            head: StreamHead::default(),
            pending_events: Vec::new(),
        };
        // Whether a stream is long shows with its first events.
        let mut limit = SMALL_READ_EVENTS;
        let page = match through {
            None => history.newest(limit).await,
            Some(_) => read(Version::EMPTY, limit).await,
        };
        let mut page = page.map_err(Error::Store)?;
        if let Some(snapshot) = page.snapshot.take() {
            let is_restored;
            (folded, is_restored) = folded.restore(snapshot).await?;
            if is_restored {
                folded.head.version = page.after;
            } else {
                page = read(Version::EMPTY, limit).await.map_err(Error::Store)?;
            }
        }
        loop {
            let has_more = page.history.has_more;
            folded.take(page);
            if !has_more {
                return Ok(folded);
            }
            // The next page is read while this one is folded.
            limit = PAGE_EVENTS;
            let next = read(folded.head.version, limit);
            let call = folded.call(|_, _| Ok(()));
            let both = async { futures::join!(call, next) };
            let (called, next) = throttle.read_in_turn(limit, both).await;
            (folded, ()) = called?;
            page = next.map_err(Error::Store)?;
        }
    }
}

impl FoldedStream {
    /// Gives the state as JSON.
    pub(super) async fn show(self) -> Result<Json, Error> {
        let pending = u32::try_from(self.pending_events.len()).unwrap_or(u32::MAX);
        let throttle = self.runtime.throttle().clone();
        let show = self.call(|instance, state| instance.snapshot(state));
        let (_, json) = throttle.read_in_turn(pending, show).await?;
        Ok(json)
    }

    /// Takes the next page of the history.
    fn take(&mut self, page: HistoryPage) {
        self.head = page.history.head.unwrap_or(self.head);
        self.pending_events = page.history.events;
    }

    /// Restores the state from a snapshot. False if the module does not know the snapshot any more:
    /// then the state is that of a stream without events.
    async fn restore(self, snapshot: Json) -> Result<(Self, bool), Error> {
        let restore = move |instance: &mut Instance, _: &State| instance.restore(&snapshot);
        let (mut folded, restored) = self.call(restore).await?;
        let Restored::State(restored) = restored else {
            return Ok((folded, false));
        };
        if let Some((_, state)) = &mut folded.guest {
            *state = restored;
        }
        Ok((folded, true))
    }

    /// Runs `work` on a guest thread, after the pending events are folded. After a fault the
    /// instance is thrown away.
    async fn call<T: Send + 'static>(
        mut self,
        work: impl FnOnce(&mut Instance, &State) -> Result<T, Fault> + Send + 'static,
    ) -> Result<(Self, T), Error> {
        let guest = self.guest.take();
        let events = std::mem::take(&mut self.pending_events);
        let (module, stream) = (self.decider.module().clone(), self.stream.clone());
        let outputs = self.outputs.clone();
        let job = move || {
            let (mut instance, state) = match guest {
                Some(guest) => guest,
                None => {
                    let mut instance = module.instantiate()?;
                    let state = instance.initial()?;
                    (instance, state)
                }
            };
            let folded = match events.as_slice() {
                [] => Ok(()),
                events => instance.evolve(&state, events),
            };
            let done = folded.and_then(|()| work(&mut instance, &state));
            outputs.take(&mut instance, module.digest(), &stream, None);
            Ok(((instance, state), done?))
        };
        let ran = self.runtime.run_for_reader(self.decider.module(), job);
        let (guest, done) = ran
            .await
            .map_err(Error::NotRun)?
            .map_err(|fault| Error::Fault {
                module: self.decider.digest(),
                fault,
            })?;
        self.guest = Some(guest);
        Ok((self, done))
    }
}
