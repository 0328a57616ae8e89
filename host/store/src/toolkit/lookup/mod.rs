//! Look-ups in the ledger: all that come while a statement is under way share the next one.
//!
//! As with appends there is no timer. A lone look-up is sent at once, and many wait for one round
//! trip before their own, however many they are.
//!
//! **Invariant:** a look-up is answered by a statement that began after it came, so that it finds
//! whatever was acknowledged before.

#[cfg(test)]
mod tests;

use std::panic::AssertUnwindSafe;

use async_trait::async_trait;
use futures::FutureExt as _;
use gavel_model::{CommandId, CommandRecord, Namespace};
use tokio::sync::{mpsc, oneshot};

use crate::Error;

/// The largest number of look-ups in a statement; more wait for the one after it.
const MAX_TOGETHER: usize = 256;

/// The identity of a command.
pub type Key = (Namespace, CommandId);

/// The result of looking up one command in the ledger.
pub type Found = Result<Option<CommandRecord>, Error>;

/// A database that is asked for many commands in one round trip.
#[async_trait]
pub trait Ledger: Send + Sync + 'static {
    /// Looks up each of `wanted`, in order. A row that cannot be read fails only the look-up that
    /// found it.
    ///
    /// # Errors
    ///
    /// [`Error`] when nothing can be said of any of them.
    async fn find(&self, wanted: Vec<Key>) -> Result<Vec<Found>, Error>;
}

/// The shared access to a ledger for look-ups.
///
/// When the last of its clones is dropped, the task that asks the ledger ends.
#[derive(Debug, Clone)]
pub struct Lookups(mpsc::Sender<Wanted>);

#[derive(Debug)]
struct Wanted {
    key: Key,
    answer: oneshot::Sender<Found>,
}

impl Lookups {
    /// Starts a task on the runtime that this is called in.
    pub fn start(ledger: impl Ledger) -> Self {
        let (sender, incoming) = mpsc::channel(MAX_TOGETHER);
        tokio::spawn(ask(ledger, incoming));
        Self(sender)
    }

    /// Looks a command up, together with what others look up. If the future is dropped, the others
    /// do not notice.
    ///
    /// # Errors
    ///
    /// [`Error`] when the ledger cannot be read, or the row of this command.
    pub async fn find(&self, namespace: &Namespace, command_id: CommandId) -> Found {
        let (answer, answered) = oneshot::channel();
        let key = (namespace.clone(), command_id);
        let sent = self.0.send(Wanted { key, answer }).await;
        sent.map_err(|_| Error::Unavailable("the runtime is shutting down".into()))?;
        // Without an answer its statement has panicked, or the runtime is shutting down.
        answered
            .await
            .unwrap_or_else(|error| Err(Error::Unavailable(error.into())))
    }
}

/// Looks up all commands that are wanted by then, answers, and starts over.
async fn ask(ledger: impl Ledger, mut incoming: mpsc::Receiver<Wanted>) {
    let mut wanted: Vec<Wanted> = Vec::new();
    while incoming.recv_many(&mut wanted, MAX_TOGETHER).await > 0 {
        wanted.retain(|wanted| !wanted.answer.is_closed());
        if wanted.is_empty() {
            continue;
        }
        let keys = wanted.iter().map(|wanted| wanted.key.clone()).collect();
        let found = AssertUnwindSafe(ledger.find(keys)).catch_unwind().await;
        let answers = wanted.drain(..).map(|wanted| wanted.answer);
        // A caller that was dropped does not want its answer any more.
        match found {
            Ok(Ok(found)) => answers.zip(found).for_each(|(answer, found)| {
                let _ = answer.send(found);
            }),
            Ok(Err(error)) => answers.for_each(|answer| {
                let _ = answer.send(Err(error.clone_for_waiter()));
            }),
            // A bug of ours, which the panic hook has logged. It costs these look-ups, and none
            // that come later.
            Err(_) => drop(answers),
        }
    }
}
