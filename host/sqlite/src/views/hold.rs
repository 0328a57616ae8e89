//! Holds: a transaction that changes nothing until a pointer is moved.

use std::sync::Arc;

use async_trait::async_trait;
use gavel_model::{Clock, Position};
use gavel_store::Error;
use gavel_store::toolkit::hold::HOLD;
use gavel_store::views::{RowPointer, TableHold};
use tokio::sync::{OwnedRwLockWriteGuard, oneshot};
use tokio::time::timeout;

use super::registry;
use super::writer::OpenWrite;

/// A hold, which ends by itself after [`HOLD`], whatever has become of the holder.
#[derive(Debug)]
pub(super) struct SqliteTableHold {
    /// The positions when the hold began, which are those of its end.
    positions: Vec<Option<Position>>,
    ask: oneshot::Sender<PointRequest>,
}

/// The one thing that a hold is for.
#[derive(Debug)]
struct PointRequest {
    pointers: Vec<RowPointer>,
    answer: oneshot::Sender<Result<bool, Error>>,
}

impl SqliteTableHold {
    /// Keeps the transaction until the hold is dropped, or its time is up.
    pub(super) fn keep(
        open: OpenWrite,
        alone: OwnedRwLockWriteGuard<()>,
        positions: Vec<Option<Position>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (ask, asked) = oneshot::channel();
        tokio::spawn(async move {
            if let Ok(Ok(asked)) = timeout(HOLD, asked).await {
                let PointRequest { pointers, answer } = asked;
                let now = clock.now();
                let point = open.end(move |tx| {
                    let mut are_moved = true;
                    for pointer in &pointers {
                        let RowPointer {
                            view,
                            table,
                            activation,
                        } = pointer;
                        are_moved &= registry::point_in_tx(tx, view, *table, *activation, now)?;
                    }
                    Ok(are_moved)
                });
                let pointed = point.await;
                drop(alone);
                // The caller may have gone.
                let _ = answer.send(pointed);
            } else if let Err(error) = open.end(|_| Ok(())).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a hold of tables has not ended as it should"
                );
            }
        });
        Self { positions, ask }
    }
}

#[async_trait]
impl TableHold for SqliteTableHold {
    async fn positions(&self) -> Result<Vec<Option<Position>>, Error> {
        if self.ask.is_closed() {
            return Err(ended());
        }
        Ok(self.positions.clone())
    }

    async fn point(self: Box<Self>, pointers: Vec<RowPointer>) -> Result<bool, Error> {
        let (answer, answered) = oneshot::channel();
        let asked = self.ask.send(PointRequest { pointers, answer });
        if asked.is_err() {
            return Err(ended());
        }
        answered.await.unwrap_or_else(|_| Err(ended()))
    }
}

fn ended() -> Error {
    Error::Unavailable("the hold has ended".into())
}
