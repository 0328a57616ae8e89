//! Confirmation of answers that no append confirms: of refusals and of dry runs.
//!
//! A decision that is stored was checked against its stream's head and the decider's pointer. What
//! stores nothing asks for both.

use std::sync::Arc;

use futures::future::join_all;
use gavel_model::StreamId;
use gavel_store::StreamHead;

use super::stop::Stop;
use super::{Commands, Error};
use crate::catalog::{self, Active};

/// The number of heads that are asked for at a time, of the streams of one batch: so few that the
/// others get answers, too.
const HEADS_AT_ONCE: usize = 4;

/// The things that an answer is built on.
#[derive(Debug)]
pub(super) struct Grounds<'a> {
    /// The modules that were active.
    pub(super) modules: Vec<&'a Arc<Active>>,
    /// The heads that streams were believed to have, each with the module that decides there.
    pub(super) heads: Vec<(&'a StreamId, &'a Arc<Active>, StreamHead)>,
}

impl Commands {
    /// Finds out what a stop comes to: whether a refusal stands, and which module is active after a
    /// swap.
    pub(super) async fn resolve(&self, stop: Stop, grounds: Grounds<'_>) -> Stop {
        match stop {
            Stop::Unconfirmed { error, .. } => match self.confirm(grounds).await {
                Ok(()) => Stop::Refused(error),
                Err(stop) => stop,
            },
            Stop::Fenced(error) => {
                for active in grounds.modules {
                    if let Err(error) = self.newest(active).await {
                        return Stop::refused(Error::Module(error));
                    }
                }
                Stop::Fenced(error)
            }
            Stop::Refused(_) | Stop::Lost(_) | Stop::Again | Stop::InDoubt | Stop::Recorded => stop,
        }
    }

    /// Checks that all streams are where they were believed to be, and that the modules are still
    /// the active ones.
    ///
    /// # Errors
    ///
    /// Deciding again helps, or the refusal of the store.
    pub(super) async fn confirm(&self, grounds: Grounds<'_>) -> Result<(), Stop> {
        let mut has_moved = false;
        for few in grounds.heads.chunks(HEADS_AT_ONCE) {
            let heads = few.iter().map(|(stream, ..)| self.0.store.head(stream));
            for ((stream, active, believed), head) in few.iter().zip(join_all(heads).await) {
                let head = head.map_err(|error| Stop::refused(Error::Store(error)))?;
                if head != *believed {
                    has_moved = true;
                    self.0.hot.moved(active, stream, head);
                }
            }
        }
        if has_moved {
            return Err(Stop::Again);
        }
        for active in grounds.modules {
            let newest = self.newest(active).await;
            let newest = newest.map_err(|error| Stop::refused(Error::Module(error)))?;
            let number = newest.map(|newest| newest.activation.number);
            if number != Some(active.activation.number) {
                let decider = active.activation.key.name().to_decider();
                return Err(Stop::Fenced(Box::new(Error::SwapUnderWay { decider })));
            }
        }
        Ok(())
    }

    /// Reads the newest module under the name of one that was active.
    async fn newest(&self, active: &Active) -> Result<Option<Arc<Active>>, catalog::Error> {
        let key = &active.activation.key;
        let decider = key.name().to_decider();
        self.0.modules.active(key.namespace(), &decider).await
    }
}
