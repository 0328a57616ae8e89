//! Handles signals: SIGINT and SIGTERM end the host, in order or at least in time; SIGHUP reads the
//! settings again.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that the first SIGTERM or SIGINT cancels. The second one ends the process at once; so
/// does the end of `longest` after the first one, if the process has not ended by itself.
///
/// A thread of its own waits for signals, so that the program can be stopped even if all other
/// threads are busy.
///
/// Each SIGHUP calls `reload`, on yet another thread: a file that blocks its reader does not keep
/// the program from being stopped.
///
/// # Errors
///
/// An error of the system, if the thread cannot be started or the signals cannot be listened for.
pub(super) fn on_signal(
    longest: Duration,
    reload: impl Fn() + Send + Sync + 'static,
) -> anyhow::Result<CancellationToken> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot listen for signals")?;
    let (mut terminate, mut interrupt, hangup) = {
        let _entered = runtime.enter();
        let listen = |kind| signal(kind).context("cannot listen for signals");
        (
            listen(SignalKind::terminate())?,
            listen(SignalKind::interrupt())?,
            listen(SignalKind::hangup())?,
        )
    };
    runtime.spawn(at_each(hangup, reload));
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let waiting = async move {
        either(&mut terminate, &mut interrupt).await;
        tracing::info!("stopping: open requests are answered, new ones are not taken");
        stopping.cancel();
        tokio::select! {
            () = either(&mut terminate, &mut interrupt) => tracing::warn!("stopping at once"),
            () = tokio::time::sleep(longest) => {
                tracing::error!(longest_ms = longest.as_millis(), "something does not end: stopping at once");
            }
        }
        std::process::exit(1);
    };
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || runtime.block_on(waiting))
        .context("cannot listen for signals")?;
    Ok(stop)
}

/// Calls `reload` for each signal, one call after the other.
async fn at_each(mut hangup: Signal, reload: impl Fn() + Send + Sync + 'static) {
    let reload = Arc::new(reload);
    while hangup.recv().await.is_some() {
        let reload = reload.clone();
        if tokio::task::spawn_blocking(move || reload()).await.is_err() {
            tracing::error!("the settings could not be read again");
        }
    }
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use rustix::process::{Signal, getpid, kill_process};

    /// A time longer than any test runs.
    const NEVER: Duration = Duration::from_secs(86_400);
    /// The time within which a signal is noticed.
    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn the_first_signal_asks_for_an_orderly_end_even_of_a_runtime_that_is_stuck() {
        let stop = super::on_signal(NEVER, || {}).unwrap();
        assert!(!stop.is_cancelled());
        kill_process(getpid(), Signal::TERM).unwrap();
        // This is the only thread of the runtime, and it awaits nothing.
        let began = Instant::now();
        while !stop.is_cancelled() {
            assert!(began.elapsed() < LIMIT, "nobody has noticed the signal");
            std::thread::yield_now();
        }
    }
}
