//! Turns signals into an orderly end.

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that the first SIGTERM or SIGINT cancels. The second one ends the process at once, for whoever cannot wait.
pub(super) fn on_signal() -> anyhow::Result<CancellationToken> {
    let listen = |kind| signal(kind).context("cannot listen for signals");
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    tokio::spawn(async move {
        either(&mut terminate, &mut interrupt).await;
        tracing::info!("stopping: open requests are answered, new ones are not taken");
        stopping.cancel();
        either(&mut terminate, &mut interrupt).await;
        tracing::warn!("stopping at once");
        std::process::exit(1);
    });
    Ok(stop)
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};

    #[tokio::test]
    async fn the_first_signal_asks_for_an_orderly_end() {
        let stop = super::on_signal().unwrap();
        assert!(!stop.is_cancelled());
        kill_process(getpid(), Signal::TERM).unwrap();
        stop.cancelled().await;
    }
}
