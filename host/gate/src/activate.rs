//! Activations and rollbacks, as they are asked for. A module alone is a set of one.

use gavel_engine::catalog;
use gavel_model::{Activation, ActivationKey, ModuleDigest};
use gavel_store::{ActivateError, ActivationSet};

use super::subject::Swap;
use super::{Error, Gate};

/// The most modules that are activated together. Each is looked at, one after the other.
pub const MOST_MODULES: usize = 16;
/// The most looks at candidates, when another activation comes first each time.
pub(super) const ATTEMPTS: u32 = 5;

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

impl Gate {
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
        self.pass_one(request, Swap::Forward).await
    }

    /// Runs the gate for modules of one namespace, and activates all of them, at the same moment,
    /// when each passes. Gives the activations in the order of the requests.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with the reports of all, [`Error::Unfit`] or [`Error::TooMany`] when they
    /// cannot be activated together, or why the gate could not be run. Nothing has changed then.
    pub async fn activate_together(
        &self,
        requests: &[ActivationRequest],
    ) -> Result<Vec<Activation>, Error> {
        check_together(requests.iter().map(|request| &request.key))?;
        self.pass(requests, Swap::Forward).await
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
        self.pass_one(request, Swap::Back).await
    }

    async fn pass_one(
        &self,
        request: ActivationRequest,
        direction: Swap,
    ) -> Result<Activation, Error> {
        let activated = self.pass(std::slice::from_ref(&request), direction).await?;
        let mut activated = activated.into_iter();
        Ok(activated.next().expect("each request has its activation"))
    }
}

/// Checks that modules may be activated together under such keys.
///
/// # Errors
///
/// [`Error::Unfit`], or [`Error::TooMany`] when there are more than [`MOST_MODULES`].
pub fn check_together<'k>(
    keys: impl ExactSizeIterator<Item = &'k ActivationKey>,
) -> Result<(), Error> {
    if keys.len() > MOST_MODULES {
        let limit = MOST_MODULES;
        return Err(Error::TooMany { limit });
    }
    ActivationSet::check(keys).map_err(Error::Unfit)?;
    Ok(())
}

/// The refusal of requests that others came before again and again.
pub(super) fn contended(requests: &[ActivationRequest]) -> Error {
    Error::Contended {
        keys: requests.iter().map(|request| request.key.clone()).collect(),
    }
}

/// Gives the result of an attempt to move pointers. None where another step came first.
pub(super) fn settled<T>(activated: Result<T, ActivateError>) -> Result<Option<T>, Error> {
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
        Err(ActivateError::ModuleNotFound { digest }) => {
            Err(Error::Module(catalog::Error::NotFound { digest }))
        }
        Err(ActivateError::Store(error)) => Err(Error::Store(error)),
    }
}
