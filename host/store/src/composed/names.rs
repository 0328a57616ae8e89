//! Names of modules, each with a journal of its kind, its activations and its holds.
//!
//! ```text
//! journal of the name `counter`:   Claimed(decider)  Activated(1)  Held(h)  Activated(2)
//! every append to its streams:     … at the version of the journal's end, in the same transaction
//! ```
//!
//! **Invariant:** an append to streams of a name is stored while the journal ends where it ended
//! when the append was checked against it. Thus a decision made before an activation is never
//! stored behind it, of two kinds that begin a name one is refused, and no append overtakes a hold
//! unnoticed.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use gavel_model::{
    Activation, ActivationKey, ActivationNumber, Json, ModuleDigest, ModuleKind, Namespace,
    RecordedEvent, StreamId, Version,
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;

use super::journal::{Fold, Known, corrupt, internal_stream};
use super::log::next_look;
use super::{Composed, Core};
use crate::toolkit::hold::HOLD;
use crate::{Append, AppendError, Error, NewActivation, StreamAppend};

/// A name in the state that its journal describes.
#[derive(Debug, Clone, Default)]
pub(super) struct Name {
    /// The kind that owns the name for good.
    pub(super) kind: Option<ModuleKind>,
    /// The newest entry of the name's activation log.
    pub(super) newest: Option<Activation>,
    /// The versions of the entries of its activation log, by their numbers less 1.
    pub(super) activations: Vec<Version>,
    /// The id of the hold on it.
    pub(super) held: Option<Uuid>,
}

/// An entry of the journal of a name.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum NameEntry {
    /// The name belongs to the kind, for it has events.
    Claimed(ModuleKind),
    /// An activation or a deactivation under the name.
    Activated(Activated),
    /// A hold begins: appends to streams of the name wait.
    Held(Uuid),
    /// The hold has ended.
    LetGo,
}

/// An activation without the facts that follow from its place in the journal.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Activated {
    pub(super) kind: ModuleKind,
    pub(super) number: i64,
    pub(super) digest: Option<ModuleDigest>,
    pub(super) replaces: Option<ModuleDigest>,
    pub(super) by: Option<String>,
    pub(super) message: Option<String>,
    pub(super) accepted: Vec<String>,
    pub(super) report: Json,
}

impl Activated {
    /// The record of an activation that replaces a module.
    pub(super) fn new(activation: &NewActivation, replaces: Option<ModuleDigest>) -> Self {
        Self {
            kind: activation.key.kind(),
            number: activation.after.next().get(),
            digest: activation.digest,
            replaces,
            by: activation.activated_by.clone(),
            message: activation.message.clone(),
            accepted: activation.accepted.clone(),
            report: activation.report.clone(),
        }
    }

    /// The activation that is recorded here.
    pub(super) fn into_activation(self, recorded: &RecordedEvent) -> Result<Activation, Error> {
        let namespace = recorded.stream.namespace().clone();
        let key = ActivationKey::new(namespace, self.kind, recorded.stream.id())
            .map_err(|error| corrupt::<Name>(error.to_string()))?;
        Ok(Activation {
            key,
            number: ActivationNumber::new(self.number),
            digest: self.digest,
            replaces: self.replaces,
            activated_at: recorded.created_at,
            activated_by: self.by,
            message: self.message,
            accepted: self.accepted,
            report: self.report,
        })
    }
}

impl Fold for Name {
    type Entry = NameEntry;
    const WHAT: &'static str = "journal of a module's name";

    fn apply(&mut self, entry: NameEntry, recorded: &RecordedEvent) -> Result<(), Error> {
        match entry {
            NameEntry::Claimed(kind) => self.kind = Some(kind),
            NameEntry::Activated(activated) => {
                self.kind = Some(activated.kind);
                self.newest = Some(activated.into_activation(recorded)?);
                self.activations.push(recorded.version);
                self.held = None;
            }
            NameEntry::Held(holder) => self.held = Some(holder),
            NameEntry::LetGo => self.held = None,
        }
        Ok(())
    }
}

impl Name {
    /// The newest activation of a kind under this name.
    pub(super) fn number(&self, kind: ModuleKind) -> ActivationNumber {
        let newest = self.newest.as_ref();
        let of_kind = newest.filter(|newest| newest.key.kind() == kind);
        of_kind.map_or(ActivationNumber::NONE, |newest| newest.number)
    }
}

/// The journal of a name.
///
/// # Errors
///
/// None but those of [`internal_stream`], for a name is short enough.
pub(super) fn journal_of(namespace: &Namespace, name: &str) -> Result<StreamId, Error> {
    internal_stream(namespace.clone(), "names", name)
}

/// Names by their journals.
pub(super) type Names = HashMap<StreamId, Known<Name>>;

impl<B: Core> Composed<B> {
    /// Carries out [`EventStore::append`](crate::EventStore::append): checks fences and registry,
    /// and has the backend check the rest, where the names' journals still end.
    pub(super) async fn append_checked(
        &self,
        append: Append,
    ) -> Result<Vec<crate::Appended>, AppendError> {
        let mut journals = BTreeSet::new();
        for stream in append.streams() {
            journals.insert(journal_of(stream.namespace(), stream.decider().as_str())?);
        }
        let mut names = Names::new();
        for journal in &journals {
            names.insert(
                journal.clone(),
                self.names.known(&*self.core, journal).await?,
            );
        }
        loop {
            self.wait_for_the_end_of_holds(&mut names).await?;
            let guards = names.values().map(|name| guard(name, &append));
            let guards = guards.collect::<Result<_, _>>()?;
            if let Some(stale) = stale_fence(&append, &names)? {
                names = self.newest_of(&journals).await?;
                if stale_fence(&append, &names)?.is_some() {
                    return Err(stale);
                }
                continue;
            }
            if let Some(unregistered) = self.unregistered(&append).await? {
                return Err(self.other_fault(&append).await?.unwrap_or(unregistered));
            }
            let parts = self.parts_of(&append, guards)?;
            let error = match self.core.append(Append { parts }).await {
                Ok(mut appended) => {
                    appended.drain(..names.len());
                    appended.truncate(append.parts.len());
                    return Ok(appended);
                }
                Err(
                    error @ (AppendError::Unavailable(_)
                    | AppendError::Overloaded { .. }
                    | AppendError::OutcomeUnknown(_)),
                ) => return Err(error),
                Err(error) => error,
            };
            // What is known may be stale, and the fence is checked before all else.
            let has_moved = names.values().any(|name| name.has_moved(&error));
            names = self.newest_of(&journals).await?;
            if let Some(stale) = stale_fence(&append, &names)? {
                return Err(stale);
            }
            if !has_moved {
                return Err(error);
            }
        }
    }

    pub(super) async fn newest_of(&self, journals: &BTreeSet<StreamId>) -> Result<Names, Error> {
        let mut names = Names::new();
        for journal in journals {
            names.insert(
                journal.clone(),
                self.names.newest(&*self.core, journal).await?,
            );
        }
        Ok(names)
    }

    /// Waits until none of the names is held. A name that is held after the longest wait still has
    /// been held for too long.
    pub(super) async fn wait_for_the_end_of_holds(&self, names: &mut Names) -> Result<(), Error> {
        let began = Instant::now();
        let mut wakeups = self.core.wakeups();
        for name in names.values_mut() {
            while name.state.held.is_some() && began.elapsed() < HOLD {
                next_look(&mut wakeups).await;
                *name = self.names.newest(&*self.core, &name.stream).await?;
            }
        }
        Ok(())
    }

    /// The parts that the backend is to store: guards first, and marks behind the append's own.
    fn parts_of(
        &self,
        append: &Append,
        guards: Vec<StreamAppend>,
    ) -> Result<Vec<StreamAppend>, Error> {
        let mut parts = guards;
        parts.extend(append.parts.iter().map(|part| StreamAppend {
            fence: None,
            ..part.clone()
        }));
        for part in &append.parts {
            parts.extend(super::past::mark_of(part)?);
        }
        Ok(parts)
    }

    /// The fault that comes before an event that is not registered, if the append has one.
    async fn other_fault(&self, append: &Append) -> Result<Option<AppendError>, AppendError> {
        let (mut seen, mut parts) = (BTreeSet::new(), Vec::new());
        for part in &append.parts {
            if let Some(command) = &part.command {
                let command_id = command.command_id;
                let known = self.core.command(part.stream.namespace(), command_id);
                if known.await?.is_some() {
                    return Ok(Some(AppendError::DuplicateCommand { command_id }));
                }
            }
            if seen.insert(&part.stream) {
                parts.push(StreamAppend {
                    events: Vec::new(),
                    command: None,
                    fence: None,
                    ..part.clone()
                });
            }
        }
        Ok(self.core.append(Append { parts }).await.err())
    }
}

/// The part of an append that stores nothing once the journal of a name has more entries. The first
/// events of a name claim it; a hold that lasts when the append has waited for its end is ended.
fn guard(name: &Known<Name>, append: &Append) -> Result<StreamAppend, Error> {
    let is_of_it = |part: &&StreamAppend| {
        let stream = &part.stream;
        stream.decider().as_str() == name.stream.id() && !part.events.is_empty()
    };
    let mut entries = Vec::new();
    if name.state.kind.is_none() && append.parts.iter().any(|part| is_of_it(&part)) {
        entries.push(NameEntry::Claimed(ModuleKind::Decider));
    }
    if name.state.held.is_some() {
        entries.push(NameEntry::LetGo);
    }
    name.part(&entries)
}

/// The refusal of the first fence that is not the newest activation.
fn stale_fence(append: &Append, names: &Names) -> Result<Option<AppendError>, Error> {
    for part in &append.parts {
        let Some(fence) = part.fence else { continue };
        let stream = &part.stream;
        let journal = journal_of(stream.namespace(), stream.decider().as_str())?;
        let name = names.get(&journal).map(|known| Arc::clone(&known.state));
        let current = name.unwrap_or_default().number(fence.kind);
        if current != fence.number {
            return Ok(Some(AppendError::Fenced {
                decider: stream.decider().clone(),
                fence,
                current,
            }));
        }
    }
    Ok(None)
}
