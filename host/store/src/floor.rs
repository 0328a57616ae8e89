//! The schema's floor: the version of the schema that a host must know to continue. A migration may
//! raise it under hosts that run.

use tokio::sync::watch;

/// The error of a schema whose floor is above what this program knows: a newer program has to be
/// started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "newer schema, update me: a host must know the schema of this database up to {floor}, and this one knows it up to {known}"
)]
pub struct Outdated {
    /// The number of the migration that a host must know.
    pub floor: i64,
    /// The number of the newest migration that this program knows.
    pub known: i64,
}

/// The schema versions that this program knows, and the highest floor that it has met.
#[derive(Debug)]
pub struct Floor {
    known: i64,
    met: watch::Sender<i64>,
}

impl Floor {
    /// Makes a floor for a program that knows the migrations up to the number `known`.
    #[must_use]
    pub fn new(known: i64) -> Self {
        Self {
            known,
            met: watch::Sender::new(known),
        }
    }

    /// The number of the newest migration that this program knows.
    #[must_use]
    pub fn known(&self) -> i64 {
        self.known
    }

    /// Notes the current floor.
    ///
    /// # Errors
    ///
    /// [`Outdated`] when it is above what is known.
    pub fn check(&self, floor: i64) -> Result<(), Outdated> {
        let known = self.known;
        if floor <= known {
            return Ok(());
        }
        self.met.send_replace(floor);
        Err(Outdated { floor, known })
    }

    /// Waits until a floor is met that is above what this program knows.
    pub async fn outdated(&self) -> Outdated {
        let known = self.known;
        let mut met = self.met.subscribe();
        match met
            .wait_for(|floor| *floor > known)
            .await
            .map(|floor| *floor)
        {
            Ok(floor) => Outdated { floor, known },
            // The sender is in `self`.
            Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_floor_that_was_raised_is_told_to_whoever_waits_and_whoever_comes_later() {
        let floor = Floor::new(34);
        assert_eq!(floor.check(33), Ok(()));
        assert_eq!(floor.check(34), Ok(()));
        let outdated = Outdated {
            floor: 36,
            known: 34,
        };
        let raise = async { floor.check(36) };
        let (waited, raised) = tokio::join!(floor.outdated(), raise);
        assert_eq!((waited, raised), (outdated, Err(outdated)));
        assert_eq!(floor.outdated().await, outdated);
    }
}
