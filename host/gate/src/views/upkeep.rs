//! The upkeep of comparisons: those that a host has made follow the tables, so that a rollback or
//! an activation finds them as of now.

use std::time::Duration;

use gavel_store::views::{TableId, ViewTable};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::subject::Swap;
use crate::{Error, Gate};

/// The pause between two looks at the tables that are compared.
const INTERVAL: Duration = Duration::from_secs(5);
/// The longest time for one comparison, so that a table that does not move keeps no other waiting.
const LIMIT: Duration = Duration::from_secs(60);

impl Gate {
    /// Keeps the comparisons of this host up to date, until `stop`.
    pub async fn keep_comparisons(self, stop: CancellationToken) {
        let keeping = async {
            loop {
                sleep(INTERVAL).await;
                if let Err(error) = self.compare_on().await {
                    tell(&error);
                }
            }
        };
        tokio::select! {
            () = keeping => {}
            () = stop.cancelled() => {}
        }
    }

    /// Compares once what has changed since.
    async fn compare_on(&self) -> Result<(), Error> {
        let kept = self.comparisons.tables();
        if kept.is_empty() {
            return Ok(());
        }
        let tables = self.views.store().tables().await.map_err(Error::Store)?;
        let find = |id: TableId| tables.iter().find(|table| table.id == id);
        for (before, after) in kept {
            let is_read = |table: &&ViewTable| table.active.is_some();
            let (Some(_), Some(table)) = (find(before).filter(is_read), find(after)) else {
                self.comparisons.forget(before, after);
                continue;
            };
            let compared = timeout(LIMIT, self.compare_on_with(before, table)).await;
            if let Ok(Err(error)) = &compared {
                tell(error);
            }
            if !matches!(compared, Ok(Ok(true))) {
                self.comparisons.forget(before, after);
            }
        }
        Ok(())
    }

    /// Compares what has changed since in two tables. False when there is nothing to go on from.
    async fn compare_on_with(&self, before: TableId, after: &ViewTable) -> Result<bool, Error> {
        let module = self.modules.view(after.digest).await;
        let (module, key) = (module.map_err(Error::Module)?, after.view.key());
        let subject = self.view_subject(&key, &module, Swap::Back, &[]).await?;
        let known = self.known_comparison(&subject, before, after.id).await?;
        let Some(mut comparison) = known else {
            return Ok(false);
        };
        self.compare_again(&subject, &mut comparison, None).await?;
        self.comparisons.keep(comparison);
        Ok(true)
    }
}

fn tell(error: &Error) {
    tracing::warn!(
        error = error as &dyn std::error::Error,
        "the rows of a view cannot be compared for now, a rollback may say less"
    );
}
