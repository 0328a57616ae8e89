//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::HeaderValue;
use axum::http::header::CONNECTION;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_io_timeout::TimeoutWriter;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::answer_body::AnswerBody;
use super::unread::WatchedBody;
use crate::settings::ServerSettings;

/// The parts that all connections of a server share.
#[derive(Debug, Clone)]
pub(super) struct ServerShared {
    pub(super) router: Router,
    pub(super) settings: Arc<ServerSettings>,
    /// The requests whose answer has not been handed over in full.
    pub(super) requests: TaskTracker,
    /// A token that is cancelled when no further request is accepted.
    pub(super) drain: CancellationToken,
    /// A token that is cancelled when no open request is worth waiting for.
    pub(super) stop: CancellationToken,
}

/// Serves a connection until it ends, or is not wanted any more.
pub(super) async fn serve_connection(stream: TcpStream, peer: SocketAddr, shared: ServerShared) {
    // Answers are small and written at once: waiting to fill a packet only delays them.
    let _ = stream.set_nodelay(true);
    let was_used = Arc::new(AtomicBool::new(false));
    let io = TokioIo::new(with_write_timeout(stream, shared.settings.write_timeout));
    let service = service(&shared, peer, was_used.clone());
    // A client that closes its side wants no answer: `half_close` stays off, so that nothing is
    // folded, leased or followed for it any more.
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.settings.header_timeout)
        // hyper panics below this.
        .max_buf_size(shared.settings.header_limit_bytes.max(8192))
        .serve_connection(io, service);

    let mut is_draining = false;
    let ended = loop {
        tokio::select! {
            ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => break ended,
            () = shared.drain.cancelled(), if !is_draining => {
                is_draining = true;
                // This would close a connection that has had no request, before an answer can say
                // why.
                if was_used.load(Ordering::Relaxed) {
                    Pin::new(&mut connection).graceful_shutdown();
                }
            }
            // A client that has sent no request loses nothing. The other connections end with the
            // answer that is under way.
            () = shared.stop.cancelled(), if is_draining && !was_used.load(Ordering::Relaxed) => return,
        }
    };
    if ended.is_ok() && !is_draining {
        linger(
            connection.into_parts().io.into_inner(),
            shared.settings.linger_timeout,
        )
        .await;
    }
}

/// Fails a write that makes no progress for `timeout`. Reads are not timed here: how long they may
/// take depends on what is read.
fn with_write_timeout<S: AsyncWrite>(stream: S, timeout: Duration) -> Pin<Box<TimeoutWriter<S>>> {
    let mut timed = TimeoutWriter::new(stream);
    timed.set_timeout(Some(timeout));
    Box::pin(timed)
}

fn service(
    shared: &ServerShared,
    peer: SocketAddr,
    was_used: Arc<AtomicBool>,
) -> impl Service<
    hyper::Request<Incoming>,
    Response = hyper::Response<AnswerBody>,
    Error = Infallible,
    Future: Send + Unpin,
> {
    let ServerShared {
        router,
        requests,
        drain,
        ..
    } = shared.clone();
    service_fn(move |request: hyper::Request<Incoming>| {
        was_used.store(true, Ordering::Relaxed);
        let under_way = requests.token();
        let (parts, body) = request.into_parts();
        let (body, is_unread) = WatchedBody::new(body);
        let mut request = Request::from_parts(parts, Body::new(body));
        request.extensions_mut().insert(ConnectInfo(peer));
        let answer = router.clone().oneshot(request);
        let drain = drain.clone();
        Box::pin(async move {
            let mut answer = answer.await?;
            // hyper closes a connection on which a body was left unread. A client that does not
            // know may send its next request there.
            if drain.is_cancelled() || is_unread.load(Ordering::Relaxed) {
                answer
                    .headers_mut()
                    .insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(answer.map(|body| AnswerBody {
                body,
                _under_way: under_way,
            }))
        })
    })
}

/// Reads and drops the bytes that the client still sends. A socket that is closed with unread bytes
/// resets the connection, and the client might never read its answer, for instance that the body is
/// too large.
async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin, timeout: Duration) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let discard = async {
        let mut buffer = vec![0; 16 * 1024];
        while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
    };
    let _ = tokio::time::timeout(timeout, discard).await;
}

#[cfg(test)]
mod tests {
    use std::io;

    use futures::poll;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);
    const ALMOST: Duration = Duration::from_secs(9);

    #[tokio::test(start_paused = true)]
    async fn a_write_that_nobody_takes_fails() {
        let (near, _far) = tokio::io::duplex(8);
        let mut timed = with_write_timeout(near, TIMEOUT);
        let error = timed.write_all(&[0; 9]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn every_byte_that_is_taken_starts_the_deadline_anew() {
        let (near, mut far) = tokio::io::duplex(8);
        let mut timed = with_write_timeout(near, TIMEOUT);
        timed.write_all(&[0; 8]).await.unwrap();
        for _ in 0..3 {
            let mut write = Box::pin(timed.write_all(&[0; 8]));
            assert!(poll!(&mut write).is_pending());
            tokio::time::advance(ALMOST).await;
            assert!(poll!(&mut write).is_pending());
            far.read_exact(&mut [0; 8]).await.unwrap();
            write.await.unwrap();
        }
    }
}
