//! The one connection that writes.

use std::convert::identity;
use std::panic::resume_unwind;
use std::sync::Arc;

use gavel_model::Clock;
use gavel_store::metrics::LOG_BYTES;
use gavel_store::{Error, Floor, Outdated, Source};
use metrics::gauge;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;
use tokio_util::task::AbortOnDropHandle;

use super::files::Files;
use super::overgrowth::Overgrowth;
use super::tips::Tips;
use super::{connect, generations, migrations};

/// Runs one write transaction at a time, each as a whole on a thread that may wait for the disk.
///
/// **Invariant:** a connection is kept only after a COMMIT that succeeded. Whatever else happens to
/// a transaction, be it rolled back by SQLite itself on a full disk, its connection is closed,
/// which undoes it, and the next one opens another.
///
/// **Invariant:** no transaction succeeds on files that are not those at the path any more, or
/// begins when the floor of their schema is above what this program knows: another process may have
/// raised it.
#[derive(Debug)]
pub(super) struct Writer {
    /// Tells the time of each write.
    pub(super) clock: Arc<dyn Clock>,
    /// The writes that were carried out, in order.
    #[cfg(test)]
    pub(super) carried_out: crate::tests::CarriedOut,
    files: Files,
    floor: Arc<Floor>,
    idle: Arc<Mutex<Option<Session>>>,
}

/// A connection that writes, and what it has seen of the file and of the log.
#[derive(Debug)]
struct Session {
    connection: Connection,
    tips: Tips,
    overgrowth: Overgrowth,
}

impl Session {
    fn of(connection: Connection) -> Self {
        Self {
            connection,
            tips: Tips::default(),
            overgrowth: Overgrowth::default(),
        }
    }
}

/// The reason for which a transaction was not committed.
#[derive(Debug)]
pub(super) enum WriteError<E> {
    /// The transaction never began.
    NotBegun(Source),
    /// The work in the transaction failed, and all of it is undone.
    Undone(E),
    /// The COMMIT failed, the files were replaced after it, or the host shut down meanwhile. The
    /// writes may be there, or appear after a crash.
    Unknown(Source),
}

impl<E> WriteError<E> {
    /// Turns the failure into the store's error, for callers to whom a failed COMMIT is like any
    /// other outage.
    pub(super) fn into_error<O: From<E>>(self, store: impl FnOnce(Error) -> O) -> O {
        match self {
            Self::Undone(error) => error.into(),
            Self::NotBegun(source) | Self::Unknown(source) => store(Error::Unavailable(source)),
        }
    }
}

impl Writer {
    /// Opens the file, which is there and has its schema.
    pub(super) fn open(
        files: Files,
        floor: Arc<Floor>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, rusqlite::Error> {
        let first = connect::STORE.writing(files.path())?;
        Ok(Self {
            clock,
            #[cfg(test)]
            carried_out: crate::tests::CarriedOut::default(),
            files,
            floor,
            idle: Arc::new(Mutex::new(Some(Session::of(first)))),
        })
    }

    /// Comes back once a transaction was refused for the schema's floor.
    pub(super) async fn outdated(&self) -> Outdated {
        self.floor.outdated().await
    }

    /// Writes what changes nothing if the last transaction did not come to its end: then it may be
    /// that none can any more.
    pub(super) async fn probe(&self) -> Result<(), Error> {
        let is_able = self.idle.try_lock().map_or(true, |idle| idle.is_some());
        if is_able {
            return Ok(());
        }
        let written = self.write(|tx, _| generations::touch_in_tx(tx));
        written.await.map_err(|error| error.into_error(identity))
    }

    /// Closes the connection, once nothing is written any more. If it is the last one, all of the
    /// log is copied into the file.
    pub(super) async fn close(&self) {
        let mut idle = Arc::clone(&self.idle).lock_owned().await;
        if let Err(error) = spawn_blocking(move || drop(idle.take())).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the log of the database could not be copied into it"
            );
        }
    }

    /// Runs `work` in a transaction and makes it durable, or undoes it if `work` fails. `work` gets
    /// the ends of streams that the connection knows as well.
    ///
    /// The write lock is held from the start, so that what `work` reads is not outdated when it
    /// writes. If the future is dropped once the transaction has begun, or is about to, the
    /// transaction continues without it. A future that is kept and not polled blocks no other
    /// write.
    pub(super) async fn write<T, E>(
        &self,
        work: impl FnOnce(&Transaction<'_>, &mut Tips) -> Result<T, E> + Send + 'static,
    ) -> Result<T, WriteError<E>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let (idle, files) = (Arc::clone(&self.idle), self.files.clone());
        let floor = Arc::clone(&self.floor);
        in_turn(idle, move |idle| write_blocking(idle, &files, &floor, work)).await
    }
}

/// Runs `work` on a thread that may wait for the disk, once it has what it works on for itself.
///
/// If the future is dropped once the work has begun, or is about to, the work continues without it.
/// A future that is kept and not polled blocks no other.
pub(super) async fn in_turn<S, T, E>(
    idle: Arc<Mutex<S>>,
    work: impl FnOnce(&mut S) -> Result<T, WriteError<E>> + Send + 'static,
) -> Result<T, WriteError<E>>
where
    S: Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    // Whose turn it is has the lock, even if it is not polled any more: so a task waits for it,
    // which always is.
    let writing = AbortOnDropHandle::new(tokio::spawn(async move {
        let mut idle = idle.lock_owned().await;
        spawn_blocking(move || work(&mut idle)).await
    }));
    // Either is cancelled only when the runtime shuts down: the inner one before it began, the
    // outer one perhaps while the inner one works.
    let (error, cancelled): (_, fn(Source) -> _) = match writing.await {
        Ok(Ok(written)) => return written,
        Ok(Err(error)) => (error, WriteError::NotBegun),
        Err(error) => (error, WriteError::Unknown),
    };
    match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(error) => Err(cancelled(error.into())),
    }
}

fn write_blocking<T, E>(
    idle: &mut Option<Session>,
    files: &Files,
    floor: &Floor,
    work: impl FnOnce(&Transaction<'_>, &mut Tips) -> Result<T, E>,
) -> Result<T, WriteError<E>> {
    files.check().map_err(WriteError::NotBegun)?;
    let not_begun = |error: rusqlite::Error| WriteError::NotBegun(error.into());
    let mut session = match idle.take() {
        Some(session) => session,
        None => Session::of(connect::STORE.writing(files.path()).map_err(not_begun)?),
    };
    let tx = (session.connection)
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(not_begun)?;
    let met = floor.check(migrations::floor(&tx).map_err(not_begun)?);
    met.map_err(|outdated| WriteError::NotBegun(outdated.into()))?;
    let result = work(&tx, &mut session.tips).map_err(WriteError::Undone)?;
    tx.commit()
        .map_err(|error| WriteError::Unknown(error.into()))?;
    files.check().map_err(WriteError::Unknown)?;
    let bytes = session.overgrowth.check(&session.connection, files);
    #[expect(clippy::cast_precision_loss, reason = "a file is far below 2^52 bytes")]
    gauge!(LOG_BYTES).set(bytes as f64);
    *idle = Some(session);
    Ok(result)
}
