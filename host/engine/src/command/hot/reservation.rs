//! A stream that one batch has for itself.

use std::sync::Arc;

use gavel_model::StreamId;
use tokio::sync::oneshot;

use super::queued::{ReservedCommand, ReservedDecision};
use super::settled::Settled;
use super::shard::{Message, Shard};
use crate::command::decision::PreparedCommand;
use crate::command::stop::Stop;

/// Keeps other commands away from a stream until it is dropped. What is decided meanwhile advances
/// the hot state; the state is dropped at the end unless the decisions were stored.
#[derive(Debug)]
pub(in crate::command) struct Reservation {
    shard: Arc<Shard>,
    stream: StreamId,
    id: u64,
    /// None as long as nothing was appended.
    outcome: Option<Settled>,
}

impl Reservation {
    pub(super) fn new(shard: Arc<Shard>, stream: StreamId, id: u64) -> Self {
        Self {
            shard,
            stream,
            id,
            outcome: None,
        }
    }

    /// Decides a command on the state that those before it have left.
    pub(in crate::command) async fn decide(
        &self,
        prepared: PreparedCommand,
        return_state: bool,
    ) -> Result<ReservedDecision, Stop> {
        let (reply, decided) = oneshot::channel();
        let command = Box::new(ReservedCommand {
            prepared,
            return_state,
            reply,
        });
        self.shard.env.runtime.throttle().note_call();
        let message = Message::Decide(self.stream.clone(), self.id, command);
        self.shard.send(message).map_err(|_| Stop::panicked())?;
        decided.await.unwrap_or_else(|_| Err(Stop::panicked()))
    }

    /// Says what has become of the append of the decisions.
    pub(in crate::command) fn settle(&mut self, outcome: Settled) {
        self.outcome = Some(outcome);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let message = Message::Released(self.stream.clone(), self.id, self.outcome);
        // A shard that has ended knows the stream no more.
        let _ = self.shard.send(message);
    }
}
