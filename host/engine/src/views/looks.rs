//! Looks at the tables that other hosts move: one for all who wait at the time.

use std::sync::Arc;
use std::time::Duration;

use gavel_store::Error;
use gavel_store::views::ViewTable;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Inner;

/// The time for which a look is as good as another one.
const FRESH: Duration = Duration::from_millis(10);

/// The newest look, and when it was begun.
#[derive(Debug, Default)]
pub(super) struct Looks(Mutex<Option<(Instant, Arc<[ViewTable]>)>>);

impl Inner {
    /// The tables as they were a moment ago. However many ask, the store is asked by one at a time,
    /// and not more often than each 10 ms.
    pub(super) async fn tables_lately(&self) -> Result<Arc<[ViewTable]>, Error> {
        let mut newest = self.looks.0.lock().await;
        if let Some((begun, tables)) = &*newest
            && begun.elapsed() < FRESH
        {
            return Ok(Arc::clone(tables));
        }
        let begun = Instant::now();
        let tables: Arc<[ViewTable]> = self.store.tables().await?.into();
        *newest = Some((begun, Arc::clone(&tables)));
        Ok(tables)
    }
}
