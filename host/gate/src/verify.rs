//! Recorded decisions, made again by the very modules that made them, and compared byte for byte.
//!
//! A stream is folded by the module that decided first; where another module takes over, its state
//! is folded again from the first event.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gavel_engine::catalog::{self, Decider};
use gavel_model::{
    CommandId, CommandOutcome, CommandRecord, DeciderName, Event, Fingerprint, Json, ModuleDigest,
    ModuleKind, Namespace, StreamId, Version,
};
use gavel_sandbox::Fault;
use gavel_store::{ActivationFilter, PastRange, Place};
use tokio::sync::mpsc;

use super::compare::{DecisionDiff, compare};
use super::folder::{Again, FaultBudget, Folder};
use super::past::{Part, PastDecision, Reading, Throttling};
use super::shown::ShownOutcome;
use super::slots::SlotKind;
use super::{Error, Gate};

/// The interval at which the progress of a verification is reported.
const BEAT: Duration = Duration::from_millis(500);

/// The scope of a verification: a namespace, one of its deciders, or one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyRequest {
    /// The namespace.
    pub namespace: Namespace,
    /// The decider; none for all.
    pub decider: Option<DeciderName>,
    /// The stream's id within the decider; none for all. Without a decider the id has no meaning.
    pub id: Option<String>,
}

/// The counts of a verification so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verified {
    /// Streams that have been begun.
    pub streams: u64,
    /// Events that have been read; those of streams in which something is decided again have been
    /// folded.
    pub events: u64,
    /// Commands that have been decided again.
    pub commands: u64,
    /// Commands that cannot be decided again, for the ledger keeps their keys only. Whether that
    /// was so from the beginning does not show.
    pub keys_only: u64,
    /// Commands that cannot be decided again, for the module that decided them was built for
    /// another contract.
    pub outdated: u64,
    /// Differences that were found.
    pub differences: u64,
}

/// A difference from what was recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The stream in which the difference was found.
    pub stream: StreamId,
    /// The version that was decided at.
    pub version: Version,
    /// The command; none when it is an event that cannot be folded.
    pub command_id: Option<CommandId>,
    /// The difference, in one sentence.
    pub reason: String,
    /// The recorded outcome.
    pub recorded: Json,
    /// The outcome of deciding again.
    pub again: Json,
}

/// A message from a verification that is under way.
#[derive(Debug)]
pub enum Verification {
    /// The progress of the verification.
    Progress(Verified),
    /// A difference that the verification has found.
    Difference(Box<Difference>),
    /// The verification is complete.
    Done(Verified),
    /// The verification could not be completed.
    Failed(Error),
}

impl Gate {
    /// Verifies in the background, for as long as the receiver is held. The last message is
    /// [`Verification::Done`] or [`Verification::Failed`].
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] when this host has as many under way as it takes of the namespace, or of
    /// all.
    pub fn verify(&self, request: VerifyRequest) -> Result<mpsc::Receiver<Verification>, Error> {
        let slot = self
            .slots
            .take(SlotKind::Verification, &request.namespace)?;
        let (sender, receiver) = mpsc::channel(16);
        let gate = self.clone();
        tokio::spawn(async move {
            let _slot = slot;
            let mut verifier = Verifier {
                gate,
                sender,
                verified: Verified::default(),
                reported_at: Instant::now(),
                deciders: HashMap::new(),
            };
            let last = match verifier.run(&request).await {
                Ok(()) => Verification::Done(verifier.verified),
                Err(error) => Verification::Failed(error),
            };
            // Whoever has asked may have left.
            let _ = verifier.sender.send(last).await;
        });
        Ok(receiver)
    }
}

struct Verifier {
    gate: Gate,
    sender: mpsc::Sender<Verification>,
    verified: Verified,
    reported_at: Instant,
    deciders: HashMap<ModuleDigest, Option<Arc<Decider>>>,
}

/// The stream that is being read.
struct Current {
    stream: StreamId,
    /// The folder of the stream; none before the first decision, and after a failure.
    folder: Option<Folder>,
    /// The number of failed decisions after which the stream is not folded again.
    fault_budget: FaultBudget,
}

impl Verifier {
    async fn run(&mut self, request: &VerifyRequest) -> Result<(), Error> {
        let deciders = match &request.decider {
            Some(decider) => vec![decider.clone()],
            None => {
                let filter = ActivationFilter {
                    namespace: Some(request.namespace.clone()),
                    kind: Some(ModuleKind::Decider),
                };
                let active = self.gate.modules.all_active(&filter).await;
                let active = active.map_err(Error::Module)?.into_iter();
                active
                    .map(|activation| activation.key.name().to_decider())
                    .collect()
            }
        };
        let only = request.id.clone().map(|id| {
            let version = Version::EMPTY;
            [Place { id, version }].into()
        });
        for decider in deciders {
            let range = PastRange {
                namespace: request.namespace.clone(),
                decider,
                streams: only.clone(),
                through: None,
                eventless_since: None,
            };
            let mut reader =
                self.gate
                    .reader(range.clone(), Reading::decisions(), Throttling::GivesWay);
            let mut current = None;
            while let Some(parts) = reader.next().await.map_err(Error::Store)? {
                for part in parts {
                    current = self.take(&range, current.take(), part).await?;
                }
                self.beat().await?;
            }
        }
        Ok(())
    }

    async fn take(
        &mut self,
        range: &PastRange,
        current: Option<Current>,
        part: Part,
    ) -> Result<Option<Current>, Error> {
        let mut current = match current {
            Some(current) if part.goes_on => current,
            _ => {
                let (namespace, decider) = (range.namespace.clone(), range.decider.clone());
                // An id that the host would not take was not written by it.
                let Ok(stream) = StreamId::new(namespace, decider, &*part.id) else {
                    return Ok(None);
                };
                self.verified.streams += 1;
                Current {
                    stream,
                    folder: None,
                    fault_budget: FaultBudget::default(),
                }
            }
        };
        self.verified.events += part.events.len() as u64;
        self.verified.keys_only += part.keys_only.len() as u64;
        self.count_again(&current.stream, &part, &part.keys_only)
            .await?;
        let part = Arc::new(part);
        let mut from = 0;
        while from < part.decisions.len() {
            let before = self.gate.times_without_room();
            let module = part.decisions[from].record.module;
            let same = part.decisions[from..].iter();
            let to = from
                + same
                    .take_while(|decision| decision.record.module == module)
                    .count();
            let (folder, lost) = match current.folder.take() {
                Some(folder) if folder.decider().digest() == module => (folder, None),
                _ => {
                    let Some(decider) = self.decider(module).await? else {
                        let unseen = &part.decisions[from..to];
                        self.verified.outdated += unseen.len() as u64;
                        self.count_again(&current.stream, &part, unseen).await?;
                        from = to;
                        continue;
                    };
                    let (folder, at) = (self.gate.folder(&decider), part.decisions[from].at);
                    if current.fault_budget.is_over() {
                        (folder, Some(Fault::Spent))
                    } else {
                        let folded = self.gate.fold_stream(folder, &current.stream, Some(at));
                        let (folder, unfolded) = folded.await?;
                        (folder, unfolded.map(|unfolded| unfolded.fault))
                    }
                }
            };
            let folding = part.clone();
            let job = move || redecide(folder, &folding, from..to, lost.as_ref());
            let runtime = self.gate.modules.runtime();
            let Redecided {
                folder,
                found,
                end,
                fault,
            } = runtime
                .run_in_background(job)
                .await
                .map_err(Error::NotRun)?;
            if fault.is_some() || !found.is_empty() {
                self.gate.had_room_since(before)?;
            }
            self.verified.commands += (end - from) as u64;
            current.folder = Some(folder).filter(Folder::has_stream);
            if let Some(fault) = fault {
                current.fault_budget.lose(&fault);
            }
            for Mismatch {
                index,
                reasons,
                again,
            } in found
            {
                let decision = &part.decisions[index];
                let events = &part.events[decision.events.clone()];
                let recorded = ShownOutcome::recorded(&decision.record, events);
                self.report(&current.stream, decision, reasons, recorded, Some(again))
                    .await?;
            }
            from = end;
        }
        if let Some(mut folder) = current.folder.take() {
            let job = move || {
                // Without its stream it is of no use.
                let folded = folder.fold_through(&part, part.end());
                folded.is_ok().then_some(folder)
            };
            let runtime = self.gate.modules.runtime();
            let folder = runtime.run_in_background(job).await;
            current.folder = folder.map_err(Error::NotRun)?;
        }
        Ok(Some(current))
    }

    /// Compares the events of decisions with the ledger, where they cannot be made again.
    async fn count_again(
        &mut self,
        stream: &StreamId,
        part: &Part,
        decisions: &[PastDecision],
    ) -> Result<(), Error> {
        for decision in decisions {
            let recorded = &part.events[decision.events.clone()];
            let reasons = miscounts(&decision.record, decision.at, recorded);
            if !reasons.is_empty() {
                let recorded = ShownOutcome::recorded(&decision.record, recorded);
                self.report(stream, decision, reasons, recorded, None)
                    .await?;
            }
        }
        Ok(())
    }

    async fn report(
        &mut self,
        stream: &StreamId,
        decision: &PastDecision,
        reasons: Vec<String>,
        recorded: ShownOutcome,
        again: Option<ShownOutcome>,
    ) -> Result<(), Error> {
        self.verified.differences += 1;
        let json = |outcome: Option<ShownOutcome>| {
            let value = serde_json::to_value(outcome).expect("an outcome has only text keys");
            Json::from_value(&value).unwrap_or_else(|_| Json::empty_object())
        };
        let difference = Difference {
            stream: stream.clone(),
            version: decision.at,
            command_id: Some(decision.record.command_id),
            reason: reasons.join("; "),
            recorded: json(Some(recorded)),
            again: json(again),
        };
        self.say(Verification::Difference(Box::new(difference)))
            .await
    }

    async fn beat(&mut self) -> Result<(), Error> {
        if self.reported_at.elapsed() < BEAT {
            return Ok(());
        }
        self.reported_at = Instant::now();
        self.say(Verification::Progress(self.verified)).await
    }

    async fn say(&self, what: Verification) -> Result<(), Error> {
        self.sender.send(what).await.map_err(|_| Error::Cancelled)
    }

    /// Loads the module that made decisions; none if it was built for another contract.
    async fn decider(&mut self, digest: ModuleDigest) -> Result<Option<Arc<Decider>>, Error> {
        if let Some(known) = self.deciders.get(&digest) {
            return Ok(known.clone());
        }
        let decider = match self.gate.modules.decider(digest).await {
            Err(catalog::Error::Outdated { .. }) => None,
            decider => Some(decider.map_err(Error::Module)?),
        };
        self.deciders.insert(digest, decider.clone());
        Ok(decider)
    }
}

/// A difference from what was recorded.
struct Mismatch {
    /// The decision's place in its part.
    index: usize,
    reasons: Vec<String>,
    again: ShownOutcome,
}

/// Decisions that were made again.
struct Redecided {
    folder: Folder,
    found: Vec<Mismatch>,
    /// The place of the first decision that was not made again, since the stream has to be folded
    /// again for it.
    end: usize,
    /// The fault after which the stream has no state any more.
    fault: Option<Fault>,
}

/// Makes some of the decisions of a part again, up to one whose failure ends the stream's state.
/// Where the stream cannot be folded to begin with, it is `lost` for all of them.
fn redecide(
    mut folder: Folder,
    part: &Part,
    range: Range<usize>,
    lost: Option<&Fault>,
) -> Redecided {
    let mut found = Vec::new();
    for index in range.clone() {
        let decision = &part.decisions[index];
        let again = match lost {
            Some(fault) => Err(fault.clone()),
            None => match folder.fold_through(part, decision.at) {
                Ok(()) => folder.decide(&decision.record).0,
                Err(unfolded) => Err(unfolded.fault),
            },
        };
        let recorded = &part.events[decision.events.clone()];
        let mut reasons = differences(&decision.record, recorded, &again);
        reasons.extend(miscounts(&decision.record, decision.at, recorded));
        if !reasons.is_empty() {
            let again = ShownOutcome::from(&again);
            found.push(Mismatch {
                index,
                reasons,
                again,
            });
        }
        if lost.is_none()
            && !folder.has_stream()
            && let Err(fault) = again
        {
            let (end, fault) = (index + 1, Some(fault));
            return Redecided {
                folder,
                found,
                end,
                fault,
            };
        }
    }
    Redecided {
        folder,
        found,
        end: range.end,
        fault: None,
    }
}

/// Lists the contradictions between the ledger's row of a decision and the events that followed
/// from it, a sentence each.
pub(super) fn miscounts(record: &CommandRecord, at: Version, events: &[Event]) -> Vec<String> {
    let mut reasons = Vec::new();
    if let CommandOutcome::Accepted { events: counted } = record.outcome
        && counted as usize != events.len()
    {
        reasons.push(format!(
            "the ledger says {counted} events, there are {}",
            events.len()
        ));
    }
    if record.version != at {
        reasons.push(format!(
            "the ledger says version {}, the events follow version {at}",
            record.version
        ));
    }
    reasons
}

/// Lists the differences between a decision that was made again and the recorded one, a sentence
/// each.
pub(super) fn differences(record: &CommandRecord, events: &[Event], again: &Again) -> Vec<String> {
    let mut reasons = Vec::new();
    let sent = Fingerprint::of_command(
        &record.stream,
        &record.command,
        &record.data,
        &record.metadata,
    );
    if sent != record.fingerprint {
        reasons.push("the command in the ledger is not the one that was sent".to_owned());
    }
    let verdict = compare(record, events, again);
    match (verdict, again) {
        (DecisionDiff::Same, _) => {}
        (DecisionDiff::Failed, Err(fault)) => {
            reasons.push(format!("decided again it fails: {fault}"))
        }
        (verdict, _) => reasons.push(format!(
            "decided again it has another outcome: {}",
            verdict.words()
        )),
    }
    reasons
}
