//! The pointer: which module a decider runs now.
//!
//! Every host keeps the newest pointer that it knows, and may be behind. That is safe for whatever ends in an append, since the
//! append carries the activation as its fence. Whatever does not end in an append MUST ask for the pointer anew.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use gavel_model::{Activation, DeciderName, Namespace};
use gavel_store::{ActivateError, Hold, Moment, NewActivation};

use super::{Decider, Error, Modules};

/// A module at work: the activation, and the decider that it made ready.
#[derive(Debug)]
pub struct Active {
    /// The entry of the activation log.
    pub activation: Activation,
    /// The module.
    pub decider: Arc<Decider>,
}

/// The newest activations that this host knows.
#[derive(Debug, Default)]
pub(super) struct Pointers(RwLock<HashMap<(Namespace, DeciderName), Arc<Active>>>);

impl Pointers {
    fn get(&self, namespace: &Namespace, decider: &DeciderName) -> Option<Arc<Active>> {
        let key = (namespace.clone(), decider.clone());
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            .cloned()
    }

    /// Keeps `active` unless a newer one is known; gives back the newest.
    fn advance(&self, active: Arc<Active>) -> Arc<Active> {
        let key = (
            active.activation.namespace.clone(),
            active.activation.decider.clone(),
        );
        let mut pointers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let newest = pointers.entry(key).or_insert_with(|| active.clone());
        if newest.activation.number < active.activation.number {
            *newest = active;
        }
        newest.clone()
    }
}

impl Modules {
    /// What the decider runs as far as this host knows; asks the store when it knows nothing. None when it was never activated.
    ///
    /// # Errors
    ///
    /// Why the store or the module cannot be used.
    pub async fn known_active(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
    ) -> Result<Option<Arc<Active>>, Error> {
        match self.0.active.get(namespace, decider) {
            Some(active) => Ok(Some(active)),
            None => self.active(namespace, decider).await,
        }
    }

    /// What the decider runs now, by the store. None when it was never activated.
    ///
    /// # Errors
    ///
    /// Why the store or the module cannot be used.
    pub async fn active(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
    ) -> Result<Option<Arc<Active>>, Error> {
        let Some(activation) = self
            .0
            .store
            .active(namespace, decider)
            .await
            .map_err(Error::Store)?
        else {
            return Ok(None);
        };
        if let Some(known) = self.0.active.get(namespace, decider)
            && known.activation.number >= activation.number
        {
            return Ok(Some(known));
        }
        // Rare, and large: in a box it is no part of the future of each command.
        let decider = Box::pin(self.decider(activation.digest)).await?;
        Ok(Some(self.0.active.advance(Arc::new(Active {
            activation,
            decider,
        }))))
    }

    /// Moves the pointer to a module that is ready, and keeps it ready.
    ///
    /// # Errors
    ///
    /// [`ActivateError`], after which the former module goes on unless the store has moved the pointer all the same.
    pub async fn activate(
        &self,
        activation: NewActivation,
        decider: Arc<Decider>,
    ) -> Result<Activation, ActivateError> {
        let activation = self.0.store.activate(activation).await?;
        Ok(self.obey(activation, decider))
    }

    /// The same, if nothing of the decider was stored after `looked_through`; by whom it is held.
    ///
    /// # Errors
    ///
    /// As [`Modules::activate`], and [`ActivateError::Overtaken`].
    pub async fn activate_held(
        &self,
        hold: Box<dyn Hold + '_>,
        looked_through: &Moment,
        activation: NewActivation,
        decider: Arc<Decider>,
    ) -> Result<Activation, ActivateError> {
        let activation = hold.activate(activation, looked_through).await?;
        Ok(self.obey(activation, decider))
    }

    fn obey(&self, activation: Activation, decider: Arc<Decider>) -> Activation {
        self.0.active.advance(Arc::new(Active {
            activation: activation.clone(),
            decider,
        }));
        activation
    }

    /// Makes the modules of all deciders ready. Gives the deciders whose module cannot be made ready, and why.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] when the activations cannot be read.
    pub async fn warm_up(&self) -> Result<Vec<(Activation, Error)>, Error> {
        let mut failures = Vec::new();
        for activation in self.all_active(None).await? {
            if let Err(error) = self
                .active(&activation.namespace, &activation.decider)
                .await
            {
                failures.push((activation, error));
            }
        }
        Ok(failures)
    }
}
