//! The tag index of the events that a view reads by their tags: it is there, and complete, before
//! the view's table is one that can be read.

use std::time::Duration;

use gavel_model::Namespace;
use gavel_store::{Error, HistoryIndex};
use tokio::time::sleep;

use super::Inner;
use super::progress::Activity;
use crate::catalog::View;

/// The number of events of the history that are indexed in one transaction.
const PIECE: u32 = 1_000;
/// The pause between two looks at whether transactions have ended.
const LOOK: Duration = Duration::from_millis(100);

/// Guards the events that the view reads by tags, and indexes what there is of them, giving way to
/// live calls. Says meanwhile what it is doing.
pub(super) async fn complete(
    inner: &Inner,
    namespace: &Namespace,
    view: &View,
    now: impl Fn(Activity),
) -> Result<(), Error> {
    let kinds = view.read_by_tag();
    if kinds.is_empty() {
        return Ok(());
    }
    now(Activity::Indexing);
    inner.log_store.guard_tags(namespace, kinds).await?;
    let throttle = inner.modules.runtime().throttle();
    loop {
        let piece = inner.log_store.index_history(namespace, PIECE);
        match throttle.take_turns(piece).await.0? {
            HistoryIndex::Complete => return Ok(()),
            HistoryIndex::Incomplete => now(Activity::Indexing),
            HistoryIndex::Waiting => {
                now(Activity::AwaitingWriters);
                sleep(LOOK).await;
            }
        }
    }
}
