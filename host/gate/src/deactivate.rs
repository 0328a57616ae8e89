//! Ending a module's work: an entry of the activation log, after which no module works under the
//! name.

use gavel_model::{Activation, ActivationKey, Json};
use gavel_store::NewActivation;

use super::activate::{ATTEMPTS, settled};
use super::{Error, Gate};

impl Gate {
    /// Ends the work of the active module. There is nothing to look at: streams stay as they are,
    /// and an activation or a rollback begins the work again. A module that cannot be made ready is
    /// deactivated like any other.
    ///
    /// Once this has returned, no host decides another command with the module.
    ///
    /// # Errors
    ///
    /// [`Error::NotActive`] when no module is active, [`Error::Contended`], or why the store
    /// could not be used.
    pub async fn deactivate(
        &self,
        key: &ActivationKey,
        message: Option<String>,
        deactivated_by: Option<String>,
    ) -> Result<Activation, Error> {
        for _ in 0..ATTEMPTS {
            let newest = self.store.active(key).await.map_err(Error::Store)?;
            let active = newest.filter(|newest| newest.digest.is_some());
            let active = active.ok_or_else(|| Error::NotActive { key: key.clone() })?;
            let deactivation = NewActivation {
                key: key.clone(),
                after: active.number,
                digest: None,
                events: Vec::new(),
                activated_by: deactivated_by.clone(),
                message: message.clone(),
                accepted: Vec::new(),
                report: Json::empty_object(),
            };
            let deactivated = self.modules.deactivate(deactivation).await;
            if let Some(deactivation) = settled(deactivated)? {
                return Ok(deactivation);
            }
        }
        Err(Error::Contended {
            keys: vec![key.clone()],
        })
    }
}
