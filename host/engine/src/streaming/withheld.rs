//! Reports a transaction that keeps readers from events committed since it began.

use std::time::Duration;

use gavel_store::LogStore;
use metrics::gauge;
use tokio::time::Instant;

use super::metrics::WITHHELD_SECONDS;

/// The time that a transaction keeps readers waiting before a line in the log names it.
const WARN_AFTER: Duration = Duration::from_secs(10);
/// The shortest time between two such lines.
const PAUSE: Duration = Duration::from_secs(60);

/// Looks now and then whether something is withheld.
#[derive(Debug, Default)]
pub(super) struct Withheld {
    since: Option<Instant>,
    warned_at: Option<Instant>,
}

impl Withheld {
    /// Looks once, and shows what it finds.
    pub(super) async fn look(&mut self, log: &dyn LogStore) {
        let found = match log.withholding().await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the store does not say whether anything is withheld from readers"
                );
                return;
            }
        };
        let Some(withholding) = found else {
            self.since = None;
            gauge!(WITHHELD_SECONDS).set(0.0);
            return;
        };
        // Of a session that we may not look at, the age is unknown: then it is as long as we have
        // seen it.
        let seen_for = self.since.get_or_insert_with(Instant::now).elapsed();
        let age = withholding.age.unwrap_or(seen_for);
        gauge!(WITHHELD_SECONDS).set(age.as_secs_f64());
        let is_known = self
            .warned_at
            .is_some_and(|warned| warned.elapsed() < PAUSE);
        if age >= WARN_AFTER && !is_known {
            self.warned_at = Some(Instant::now());
            tracing::warn!(
                holder = withholding.holder,
                query = withholding.query,
                age_ms = age.as_millis(),
                "a transaction that is left open keeps readers from what was committed since it began"
            );
        }
    }
}
