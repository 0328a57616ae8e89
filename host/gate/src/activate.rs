//! The activation: runs the steps, and moves the pointer when no finding blocks it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gavel_engine::catalog::{self, Decider, Modules, Ready};
use gavel_model::{Activation, ActivationKey, ModuleDigest};
use gavel_sandbox::RunError;
use gavel_store::{ActivateError, NewActivation, Store};
use tokio::time::timeout;

use super::catch_up::{MOST_STREAMS, MOST_STREAMS_SINCE, Seen};
use super::examine::{Subject, Swap};
use super::moved::Starts;
use super::past::Throttling;
use super::slots::Slots;
use super::{Error, GateSettings, Report, Watch};

/// The most looks at a candidate, when another activation comes first each time.
pub(super) const ATTEMPTS: u32 = 5;
/// The most times that the decider is held for the last look, before callers are told that too much
/// is written to the decider.
const TURNS: u32 = 5;
/// The longest time that a decider is held for the last look, at what was stored since the look
/// before. A look that takes longer continues while commands are carried out.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// A request to activate a module, and its author.
#[derive(Debug, Clone, PartialEq)]
pub struct ActivationRequest {
    /// The pointer that is to be moved.
    pub key: ActivationKey,
    /// The candidate.
    pub digest: ModuleDigest,
    /// The reason for the activation.
    pub message: Option<String>,
    /// The findings to accept, by name.
    pub accept: Vec<String>,
    /// The authenticated sender; none when authentication is off.
    pub activated_by: Option<String>,
}

/// Looks at candidates and activates those that pass.
#[derive(Debug, Clone)]
pub struct Gate {
    pub(super) store: Arc<dyn Store>,
    pub(super) modules: Modules,
    pub(super) settings: Arc<GateSettings>,
    pub(super) slots: Slots,
}

impl Gate {
    /// Makes a gate in front of `modules`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, modules: Modules, settings: GateSettings) -> Self {
        Self {
            store,
            modules,
            slots: Slots::new(&settings),
            settings: Arc::new(settings),
        }
    }

    /// Runs the gate, and activates the candidate when it passes.
    ///
    /// Once this has returned, no host decides another command of the decider with the former
    /// module.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with the report, or why the gate could not be run. Nothing has changed
    /// then.
    pub async fn activate(&self, request: ActivationRequest) -> Result<Activation, Error> {
        self.pass(&request, Swap::Forward).await
    }

    /// Activates the module that was active before the present one, or until a deactivation,
    /// through the same gate. The specifications of the module that is left behind are run too, but
    /// do not block the rollback.
    ///
    /// # Errors
    ///
    /// [`Error::NotActive`], [`Error::NothingToRollBackTo`], or as [`Gate::activate`].
    pub async fn rollback(
        &self,
        key: &ActivationKey,
        message: Option<String>,
        activated_by: Option<String>,
    ) -> Result<Activation, Error> {
        let history = self.modules.history(key).await.map_err(Error::Module)?;
        let Some(newest) = history.first() else {
            return Err(Error::NotActive { key: key.clone() });
        };
        // A module that was activated twice in a row has not replaced another one the second time.
        let digest = history
            .iter()
            .filter(|activation| activation.digest != newest.digest)
            .find_map(|activation| activation.digest)
            .ok_or_else(|| Error::NothingToRollBackTo { key: key.clone() })?;
        let request = ActivationRequest {
            key: key.clone(),
            digest,
            message,
            accept: Vec::new(),
            activated_by,
        };
        self.pass(&request, Swap::Back).await
    }

    /// Takes a decider through the gate, again and again while others come first.
    pub(super) async fn pass_decider(
        &self,
        candidate: &Arc<Decider>,
        request: &ActivationRequest,
        direction: Swap,
    ) -> Result<Activation, Error> {
        for _ in 0..ATTEMPTS {
            let ActivationRequest { key, accept, .. } = request;
            let subject = self.subject(key, candidate, direction, accept).await?;
            if let Some(activation) = self.swap(&subject, request).await? {
                self.forget_snapshots(&subject.namespace, &subject.decider);
                return Ok(activation);
            }
        }
        Err(Error::Contended {
            key: request.key.clone(),
        })
    }

    /// Looks at a candidate, and moves the pointer to it when it passes. None when everything is to
    /// be looked at again: another module has become active meanwhile, or too much was stored.
    async fn swap(
        &self,
        subject: &Subject,
        request: &ActivationRequest,
    ) -> Result<Option<Activation>, Error> {
        let without_room = self.times_without_room();
        let (report, mut seen) = self.look(subject).await?;
        self.require(&report, without_room)?;
        let keys = BTreeSet::from([request.key.clone()]);
        let candidate = [Ready::Decider(Arc::clone(&subject.candidate))];
        for turn in 0..TURNS {
            // Where giving way has led to nothing, it is done at the cost of those who write so
            // much.
            let manner = match turn {
                0 => Throttling::GivesWay,
                _ => Throttling::Presses,
            };
            let most = MOST_STREAMS_SINCE;
            if let Some(seen) = &mut seen {
                if !self.catch_up(subject, seen, most, manner).await? {
                    return Ok(None);
                }
                self.require(&self.report_of(subject, seen), without_room)?;
            }

            let mut last = seen.clone();
            let hold = self.store.hold(&keys).await;
            let hold = hold.map_err(Error::Store)?;
            let now = self.store.moment(&subject.namespace).await;
            let now = now.map_err(Error::Store)?;
            let look = async {
                match &mut last {
                    Some(last) => {
                        let pressing = Throttling::Presses;
                        self.look_again(subject, last, &now, most, pressing).await
                    }
                    None => Ok(Some(0)),
                }
            };
            match timeout(LAST_LOOK, look).await {
                Ok(Ok(Some(_))) => {}
                Ok(Ok(None)) => return Ok(None),
                Ok(Err(error)) => return Err(error),
                // It is looked at while they go on.
                Err(_elapsed) => continue,
            }
            let report = match &last {
                Some(last) => self.report_of(subject, last),
                None => report.clone(),
            };
            self.require(&report, without_room)?;
            let set = activation_of(subject, request, &report).into();
            let activating = self.modules.activate(hold, set, &now, &candidate);
            match activating.await {
                Err(ActivateError::Overtaken { .. } | ActivateError::NamespaceMoved) => seen = last,
                activated => {
                    let activated = settled(activated, request.digest)?;
                    return Ok(activated.and_then(|mut activated| activated.pop()));
                }
            }
        }
        Err(Error::Contended {
            key: request.key.clone(),
        })
    }

    /// Accepts a report without blocking findings. A report of a host that had no room for
    /// instances meanwhile speaks against a candidate without reason.
    fn require(&self, report: &Report, without_room: u64) -> Result<(), Error> {
        if report.passed {
            return Ok(());
        }
        self.had_room_since(without_room)?;
        Err(Error::Refused {
            report: report.to_json(),
        })
    }

    /// Gives the report of a look, unless the host had no room for instances meanwhile: then the
    /// report speaks against a candidate without reason.
    pub(super) async fn if_there_was_room(
        &self,
        look: impl Future<Output = Result<Report, Error>>,
    ) -> Result<Report, Error> {
        let before = self.times_without_room();
        let report = look.await?;
        if !report.passed {
            self.had_room_since(before)?;
        }
        Ok(report)
    }

    /// Counts the times that the host had no room for an instance so far.
    pub(super) fn times_without_room(&self) -> u64 {
        self.modules.runtime().times_without_room()
    }

    /// Refuses to say anything against a module if the host had no room meanwhile.
    pub(super) fn had_room_since(&self, before: u64) -> Result<(), Error> {
        if self.times_without_room() == before {
            Ok(())
        } else {
            Err(Error::NotRun(RunError::NoRoom))
        }
    }

    /// Gives the candidate's current report: the findings of a rehearsal, if there was one, and
    /// what happened since.
    async fn look(&self, subject: &Subject) -> Result<(Report, Option<Seen>), Error> {
        if let Some(rehearsed) = self.rehearsed(subject).await? {
            // Where more has been stored since than there was, the rehearsal has not seen what
            // matters.
            let seen = u32::try_from(rehearsed.refolded_streams()).unwrap_or(u32::MAX);
            let most = seen.min(MOST_STREAMS);
            if let Some(mut seen) = Seen::of(&rehearsed, Starts::default())
                && self
                    .catch_up(subject, &mut seen, most, Throttling::GivesWay)
                    .await?
            {
                return Ok((self.report_of(subject, &seen), Some(seen)));
            }
        }
        let (mut ends, watch) = (Starts::default(), Watch::default());
        let report = self.examine(subject, Some(&mut ends), &watch).await?;
        let seen = Seen::of(&report, ends);
        Ok((report, seen))
    }
}

/// Makes the activation that a request asks for, with the report.
fn activation_of(subject: &Subject, request: &ActivationRequest, report: &Report) -> NewActivation {
    NewActivation {
        key: request.key.clone(),
        after: subject.after,
        digest: Some(request.digest),
        events: subject.candidate.manifest().event_types(),
        activated_by: request.activated_by.clone(),
        message: request.message.clone(),
        accepted: report.accepted(),
        report: report.to_json(),
    }
}

/// Gives the result of an attempt to move pointers. None where another step came first.
pub(super) fn settled<T>(
    activated: Result<T, ActivateError>,
    digest: ModuleDigest,
) -> Result<Option<T>, Error> {
    match activated {
        Ok(activated) => Ok(Some(activated)),
        Err(
            ActivateError::Moved { .. }
            | ActivateError::NamespaceMoved
            | ActivateError::Overtaken { .. },
        ) => Ok(None),
        Err(ActivateError::NameTaken { key, kind }) => Err(Error::NameTaken {
            name: key.name().clone(),
            kind,
        }),
        Err(ActivateError::ModuleNotFound { .. }) => {
            Err(Error::Module(catalog::Error::NotFound { digest }))
        }
        Err(ActivateError::Store(error)) => Err(Error::Store(error)),
    }
}
