//! The loop that accepts connections, and its end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{ServerShared, serve_connection};
use crate::settings::ServerSettings;

/// The pause after the operating system could not give another connection, which is mostly for want
/// of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` on `listener` until `drain` is cancelled and all requests from before then have
/// been answered.
///
/// While such requests are still being processed, new connections are accepted and answered that
/// the host drains, at most for [`ServerSettings::drain_timeout`]. Dropped midway, the server stops
/// accepting; open connections continue by themselves.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    settings: ServerSettings,
    drain: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(
        settings.max_connections.clamp(1, Semaphore::MAX_PERMITS),
    ));
    let drain_timeout = settings.drain_timeout;
    let (requests, connections) = (TaskTracker::new(), TaskTracker::new());
    let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
    let shared = ServerShared {
        router,
        settings: Arc::new(settings),
        requests: requests.clone(),
        drain: drain.clone(),
        stop: stop.clone(),
    };

    let answered = async {
        drain.cancelled().await;
        let deadline = Instant::now() + drain_timeout;
        requests.close();
        let _ = timeout_at(deadline, requests.wait()).await;
        deadline
    };
    tokio::pin!(answered);
    let deadline = loop {
        tokio::select! {
            (stream, peer, slot) = accept(&listener, &slots) => {
                let (shared, abort) = (shared.clone(), abort.clone());
                connections.spawn(async move {
                    let _slot = slot;
                    abort.run_until_cancelled(serve_connection(stream, peer, shared)).await;
                });
            }
            deadline = &mut answered => break deadline,
        }
    };
    drop(listener);
    stop.cancel();
    connections.close();
    if timeout_at(deadline, connections.wait()).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            "not all requests were answered in time"
        );
        abort.cancel();
        connections.wait().await;
    }
}

/// The next connection, when there is a slot for it.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let slot = slots
        .clone()
        .acquire_owned()
        .await
        .expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, slot),
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(error = %error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(
        error.kind(),
        K::ConnectionRefused | K::ConnectionAborted | K::ConnectionReset
    )
}
