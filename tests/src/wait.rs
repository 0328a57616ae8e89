//! Waiting for a condition, with a deadline: the only way in which a test waits.

use std::time::{Duration, Instant};

/// The time limit for anything, on a machine that is busy with other tests.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Asks `probe` again and again until it gives something.
///
/// # Panics
///
/// When it has given nothing within `limit`; the message says that `what` did not happen.
pub async fn eventually<T>(
    what: &str,
    limit: Duration,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
