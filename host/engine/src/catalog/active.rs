//! The pointers: for each name, the module that is active under it.
//!
//! Every host keeps the newest pointer that it knows, and may be behind. That is safe for work that
//! ends in an append, since the append carries the activation as its fence. Work that does not end
//! in an append MUST ask the store for the pointer. A host may also be ahead of a store that was
//! restored to an earlier state: then the store is right.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use gavel_model::{
    Activation, ActivationKey, ActivationNumber, DeciderName, ModuleKind, Namespace,
};
use gavel_sandbox::kinds;
use gavel_store::{ActivateError, ActivationFilter, ActivationSet, Hold, Moment, NewActivation};

use super::{Decider, Error, Modules, Ready};

/// A module at work: the activation, and the decider that it made ready.
#[derive(Debug)]
pub struct Active {
    /// The entry of the activation log.
    pub activation: Activation,
    /// The module.
    pub decider: Arc<Decider>,
}

/// The newest activations of modules of one kind that this host knows. Names are found by
/// reference: each command looks here.
#[derive(Debug, Default)]
pub(super) struct Pointers(RwLock<HashMap<Namespace, HashMap<DeciderName, Pointer>>>);

/// The newest entry of an activation log that this host knows.
#[derive(Debug, Clone)]
struct Pointer {
    number: ActivationNumber,
    /// None after a deactivation.
    active: Option<Arc<Active>>,
}

impl Pointer {
    fn is_at(&self, activation: &Activation) -> bool {
        let active = self.active.as_ref();
        self.number == activation.number
            && active.and_then(|active| active.activation.digest) == activation.digest
    }
}

impl Pointers {
    fn get(&self, namespace: &Namespace, decider: &DeciderName) -> Option<Pointer> {
        let pointers = self.0.read().unwrap_or_else(PoisonError::into_inner);
        pointers.get(namespace)?.get(decider).cloned()
    }

    /// Keeps a pointer unless a newer one is known.
    fn advance(&self, namespace: &Namespace, decider: &DeciderName, pointer: Pointer) {
        let mut pointers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let pointers = pointers.entry(namespace.clone()).or_default();
        let newest = pointers
            .entry(decider.clone())
            .or_insert_with(|| pointer.clone());
        if newest.number < pointer.number {
            *newest = pointer;
        }
    }

    /// Keeps the pointer that the store has given since this host knew `before`, or the one that
    /// this host has learnt meanwhile, if that is newer. Gives the pointer that is kept.
    fn follow_store(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
        before: Option<ActivationNumber>,
        read: Option<Pointer>,
    ) -> Option<Arc<Active>> {
        let mut pointers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let known = pointers.get(namespace).and_then(|of| of.get(decider));
        let number = known.map(|known| known.number);
        if number != before && number >= read.as_ref().map(|read| read.number) {
            return known.and_then(|known| known.active.clone());
        }
        let active = read.as_ref().and_then(|read| read.active.clone());
        if let Some(read) = read {
            let pointers = pointers.entry(namespace.clone()).or_default();
            pointers.insert(decider.clone(), read);
        } else if let Some(pointers) = pointers.get_mut(namespace) {
            pointers.remove(decider);
        }
        active
    }
}

impl Modules {
    /// Gives the module that the decider runs as far as this host knows; asks the store when this
    /// host knows of none. None when the decider was never activated, or is deactivated.
    ///
    /// # Errors
    ///
    /// Fails when the store or the module cannot be used.
    pub async fn known_active(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
    ) -> Result<Option<Arc<Active>>, Error> {
        let known = self.0.deciders.get(namespace, decider);
        match known.and_then(|known| known.active) {
            Some(active) => Ok(Some(active)),
            None => self.active(namespace, decider).await,
        }
    }

    /// Reads the decider's active module from the store. None when the decider was never activated,
    /// or is deactivated.
    ///
    /// # Errors
    ///
    /// Fails when the store or the module cannot be used.
    pub async fn active(
        &self,
        namespace: &Namespace,
        decider: &DeciderName,
    ) -> Result<Option<Arc<Active>>, Error> {
        let key = ActivationKey::of_decider(namespace, decider);
        let known = self.0.deciders.get(namespace, decider);
        let newest = self.0.store.active(&key).await.map_err(Error::Store)?;
        let before = known.as_ref().map(|known| known.number);
        let read = match newest {
            Some(newest) => match known {
                Some(known) if known.is_at(&newest) => return Ok(known.active),
                // Rare, and large: in a box it is no part of the future of each command.
                _ => Some(Box::pin(self.pointer(newest)).await?),
            },
            None => None,
        };
        Ok(self
            .0
            .deciders
            .follow_store(namespace, decider, before, read))
    }

    /// Makes the module of an activation ready, if there is one.
    async fn pointer(&self, activation: Activation) -> Result<Pointer, Error> {
        let number = activation.number;
        let Some(digest) = activation.digest else {
            let active = None;
            return Ok(Pointer { number, active });
        };
        let decider = self.decider(digest).await;
        let decider = decider.map_err(|error| error.of(activation.key.name()))?;
        let active = Some(Arc::new(Active {
            activation,
            decider,
        }));
        Ok(Pointer { number, active })
    }

    /// Moves pointers to modules that are ready, and keeps them ready, if nothing was stored in the
    /// streams of the names after `looked_through`; `hold` keeps writers away.
    ///
    /// # Errors
    ///
    /// [`ActivateError`], after which the former modules keep working unless the store has moved
    /// the pointers all the same.
    pub async fn activate(
        &self,
        hold: Box<dyn Hold + '_>,
        set: ActivationSet,
        looked_through: &Moment,
        modules: &[Ready],
    ) -> Result<Vec<Activation>, ActivateError> {
        let activated = hold.activate(set, looked_through).await?.into_iter();
        let followed = activated.map(|activation| {
            let mut modules = modules.iter();
            let module = modules.find(|module| Some(module.module().digest()) == activation.digest);
            self.keep_pointer(activation, module.cloned())
        });
        Ok(followed.collect())
    }

    /// Ends the work of an active module.
    ///
    /// # Errors
    ///
    /// As [`Modules::activate`].
    pub async fn deactivate(
        &self,
        deactivation: NewActivation,
    ) -> Result<Activation, ActivateError> {
        let deactivation = self.0.store.activate_one(deactivation).await?;
        Ok(self.keep_pointer(deactivation, None))
    }

    /// Keeps the newest entry of an activation log as the pointer of this host.
    fn keep_pointer(&self, activation: Activation, module: Option<Ready>) -> Activation {
        let key = &activation.key;
        if key.kind() == ModuleKind::Decider {
            let decider = module.as_ref().and_then(Ready::decider);
            let pointer = Pointer {
                number: activation.number,
                active: decider.map(|decider| {
                    Arc::new(Active {
                        activation: activation.clone(),
                        decider: Arc::clone(decider),
                    })
                }),
            };
            let decider = key.name().to_decider();
            self.0.deciders.advance(key.namespace(), &decider, pointer);
        }
        activation
    }

    /// Makes the active modules of all kinds ready that this host runs. Gives those that cannot be
    /// made ready, and why.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] when the activations cannot be read.
    pub async fn warm_up(&self) -> Result<Vec<(Activation, Error)>, Error> {
        let mut failures = Vec::new();
        for activation in self.all_active(&ActivationFilter::default()).await? {
            let key = &activation.key;
            let Some(digest) = activation
                .digest
                .filter(|_| kinds().any(|run| run == key.kind()))
            else {
                continue;
            };
            match self.ready(digest).await {
                Ok(module) => drop(self.keep_pointer(activation, Some(module))),
                Err(error) => {
                    let error = error.of(key.name());
                    failures.push((activation, error));
                }
            }
        }
        Ok(failures)
    }
}
