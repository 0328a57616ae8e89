//! Limits on the gate's work in the background on this host: how much of each kind runs at one
//! time, in a namespace and in all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gavel_model::Namespace;
use metrics::gauge;

use super::metrics::UNDER_WAY;
use super::{Error, GateSettings, Rehearsed};

/// The kinds of background work. One kind takes no slots from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum SlotKind {
    /// A rehearsal on what is stored, which ends.
    Rehearsal,
    /// A shadow, which ends when it is cancelled.
    Shadow,
    /// A verification, which runs as fast as its client takes the results.
    Verification,
}

impl SlotKind {
    fn name(self) -> &'static str {
        match self {
            Self::Rehearsal => "rehearsal",
            Self::Shadow => "shadow",
            Self::Verification => "verification",
        }
    }
}

impl From<Rehearsed> for SlotKind {
    fn from(rehearsed: Rehearsed) -> Self {
        match rehearsed {
            Rehearsed::History => Self::Rehearsal,
            Rehearsed::Shadow => Self::Shadow,
        }
    }
}

/// The slots of a host. A cheap clone: all clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Slots {
    taken: Arc<Mutex<SlotCounts>>,
    of_namespace: usize,
    of_all: usize,
}

type SlotCounts = HashMap<(SlotKind, Namespace), usize>;

/// A slot that is taken until it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Slots,
    key: (SlotKind, Namespace),
}

impl Slots {
    pub(super) fn new(settings: &GateSettings) -> Self {
        Self {
            taken: Arc::default(),
            of_namespace: settings.rehearsals,
            of_all: settings.all_rehearsals,
        }
    }

    /// Takes a slot of this kind.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] when the namespace, or all of them together, have as many as they may.
    pub(super) fn take(&self, kind: SlotKind, namespace: &Namespace) -> Result<Slot, Error> {
        let mut taken = self.lock();
        let key = (kind, namespace.clone());
        if taken.get(&key).is_some_and(|own| *own >= self.of_namespace) {
            let limit = self.of_namespace;
            return Err(Error::Busy { limit });
        }
        if of_kind(&taken, kind) >= self.of_all {
            let limit = self.of_all;
            return Err(Error::Busy { limit });
        }
        *taken.entry(key.clone()).or_default() += 1;
        show(&taken, kind);
        let slots = self.clone();
        Ok(Slot { slots, key })
    }

    /// Tells whether no slot of this kind is left for any namespace.
    pub(super) fn are_gone(&self, kind: SlotKind) -> bool {
        of_kind(&self.lock(), kind) >= self.of_all
    }

    fn lock(&self) -> MutexGuard<'_, SlotCounts> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.lock();
        if let Some(own) = taken.get_mut(&self.key) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.key);
            }
        }
        show(&taken, self.key.0);
    }
}

fn of_kind(taken: &SlotCounts, kind: SlotKind) -> usize {
    let own = taken.iter().filter(|((of, _), _)| *of == kind);
    own.map(|(_, count)| count).sum()
}

fn show(taken: &SlotCounts, kind: SlotKind) {
    #[expect(clippy::cast_precision_loss, reason = "a few dozens")]
    let shown = of_kind(taken, kind) as f64;
    gauge!(UNDER_WAY, "work" => kind.name()).set(shown);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_takes_slots_of_its_own_only_and_each_kind_has_its_own() {
        let settings = GateSettings {
            rehearsals: 2,
            all_rehearsals: 3,
            ..GateSettings::default()
        };
        let slots = Slots::new(&settings);
        let [one, other] = ["one", "other"].map(|name| Namespace::new(name).unwrap());
        let limit = |taken: Result<Slot, Error>| match taken {
            Err(Error::Busy { limit }) => limit,
            taken => panic!("{taken:?}"),
        };

        let first = slots.take(SlotKind::Shadow, &one).unwrap();
        let _second = slots.take(SlotKind::Shadow, &one).unwrap();
        assert_eq!(limit(slots.take(SlotKind::Shadow, &one)), 2);
        assert!(!slots.are_gone(SlotKind::Shadow));
        let _of_other_kinds = [SlotKind::Rehearsal, SlotKind::Verification]
            .map(|kind| slots.take(kind, &one).unwrap());
        let _third = slots.take(SlotKind::Shadow, &other).unwrap();
        assert!(slots.are_gone(SlotKind::Shadow) && !slots.are_gone(SlotKind::Verification));
        assert_eq!(limit(slots.take(SlotKind::Shadow, &other)), 3);
        drop(first);
        slots.take(SlotKind::Shadow, &other).unwrap();
    }
}
