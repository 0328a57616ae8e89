//! The server over real sockets. Nothing sleeps: each test waits for what the server does to the
//! connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::serve;
use crate::ServerSettings;

const SOON: Duration = Duration::from_millis(50);
const NEVER: Duration = Duration::from_secs(3600);
const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";

/// A server with limits that no test runs into unless it means to.
struct Server {
    address: SocketAddr,
    drain: CancellationToken,
    ended: JoinHandle<()>,
    /// Lets one request to `/slow` finish.
    release: Arc<Notify>,
    /// Notifies that a request to `/slow` has begun.
    begun: Arc<Notify>,
}

fn patient() -> ServerSettings {
    ServerSettings {
        header_timeout: NEVER,
        write_timeout: NEVER,
        drain_timeout: NEVER,
        ..ServerSettings::default()
    }
}

async fn start(settings: ServerSettings) -> Server {
    let (release, begun) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (releasing, beginning) = (release.clone(), begun.clone());
    let slow = async move || {
        beginning.notify_one();
        releasing.notified().await;
        "slow answer"
    };
    let router = Router::new()
        .route("/", get("answer"))
        .route("/slow", get(slow))
        .route("/large", get(|| async { Body::from(vec![0; 64 << 20]) }))
        .route("/refuse", post(|| async { StatusCode::PAYLOAD_TOO_LARGE }))
        .route("/read", post(|_: Bytes| async { "answer" }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let drain = CancellationToken::new();
    let ended = tokio::spawn(serve(listener, router, settings, drain.clone()));
    Server {
        address,
        drain,
        ended,
        release,
        begun,
    }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn send(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        stream
    }

    async fn ended(self) {
        within(self.ended).await.unwrap();
    }
}

/// Fails the test rather than let it wait for ever.
async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future)
        .await
        .expect("the server does what the test waits for")
}

/// Reads all that the server sends until it closes the connection.
async fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    // A connection that is reset is closed as well.
    let _ = within(stream.read_to_end(&mut bytes)).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads up to the end of the body `answer`.
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    while !text.ends_with("answer") {
        let mut bytes = [0; 1024];
        let count = within(stream.read(&mut bytes)).await.unwrap();
        assert_ne!(count, 0, "the connection was closed after {text:?}");
        text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
    }
    text
}

#[tokio::test]
async fn a_connection_answers_one_request_after_another() {
    let server = start(patient()).await;
    let mut stream = server.send(GET).await;
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200"));
    stream.write_all(GET).await.unwrap();
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_header_that_does_not_end_closes_the_connection() {
    let server = start(ServerSettings {
        header_timeout: SOON,
        ..patient()
    })
    .await;
    let stream = server.send(b"GET / HTTP/1.1\r\nHost:").await;
    assert!(!rest(stream).await.contains("200"));
}

#[tokio::test]
async fn a_connection_that_sends_nothing_is_closed() {
    let server = start(ServerSettings {
        header_timeout: SOON,
        ..patient()
    })
    .await;
    assert_eq!(rest(server.connect().await).await, "");
}

#[tokio::test]
async fn a_connection_that_idles_after_an_answer_is_closed() {
    let server = start(ServerSettings {
        header_timeout: SOON,
        ..patient()
    })
    .await;
    let stream = server.send(GET).await;
    assert!(rest(stream).await.ends_with("answer"));
}

#[tokio::test]
async fn a_request_may_be_worked_on_for_longer_than_its_header_may_take() {
    let server = start(ServerSettings {
        header_timeout: SOON,
        ..patient()
    })
    .await;
    let stream = server.send(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n").await;
    within(server.begun.notified()).await;
    // By the time that another connection has idled for too long, this one has been worked on for
    // as long.
    rest(server.connect().await).await;
    server.release.notify_one();
    assert!(rest(stream).await.ends_with("slow answer"));
}

#[tokio::test]
async fn a_header_that_is_too_large_is_refused() {
    let server = start(ServerSettings {
        header_limit_bytes: 8192,
        ..patient()
    })
    .await;
    let mut request = b"GET / HTTP/1.1\r\nHost: h\r\nX: ".to_vec();
    request.resize(16 * 1024, b'x');
    let stream = server.send(&request).await;
    assert!(rest(stream).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn an_answer_that_is_not_taken_closes_the_connection() {
    let server = start(ServerSettings {
        write_timeout: SOON,
        max_connections: 1,
        ..patient()
    })
    .await;
    let _lazy = server.send(b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n").await;
    // The next one is served when the first has lost its slot.
    let mut next = server.send(GET).await;
    answer(&mut next).await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_slot() {
    let server = start(ServerSettings {
        max_connections: 1,
        ..patient()
    })
    .await;
    let mut first = server.send(GET).await;
    answer(&mut first).await;
    let mut second = server.send(GET).await;
    first.write_all(GET).await.unwrap();
    answer(&mut first).await;
    let mut byte = [0];
    let early = second.try_read(&mut byte);
    assert_eq!(early.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    drop(first);
    answer(&mut second).await;
}

#[tokio::test]
async fn a_client_that_is_refused_midway_can_read_why() {
    let server = start(patient()).await;
    let mut stream = server
        .send(b"POST /refuse HTTP/1.1\r\nHost: h\r\nContent-Length: 8388608\r\n\r\n")
        .await;
    let written = within(stream.write_all(&vec![0; 8 << 20])).await;
    assert!(
        written.is_ok(),
        "the body is taken, though not looked at: {written:?}"
    );
    assert!(rest(stream).await.starts_with("HTTP/1.1 413"));
}

#[tokio::test]
async fn a_client_whose_body_was_not_read_is_told_that_the_connection_ends() {
    let server = start(patient()).await;
    let stream = server
        .send(b"POST /refuse HTTP/1.1\r\nHost: h\r\nContent-Length: 8388608\r\n\r\n")
        .await;
    assert!(rest(stream).await.contains("connection: close\r\n"));
}

#[tokio::test]
async fn a_connection_outlives_bodies_that_were_read() {
    let server = start(patient()).await;
    let mut stream = server.connect().await;
    for framed in [
        "Content-Length: 2\r\n\r\n{}",
        "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "Content-Length: 0\r\n\r\n",
    ] {
        let request = format!("POST /read HTTP/1.1\r\nHost: h\r\n{framed}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = answer(&mut stream).await;
        assert!(!answer.contains("connection: close"), "{framed}: {answer}");
    }
}

#[tokio::test]
async fn without_requests_the_server_ends_at_once_and_closes_what_is_open() {
    let server = start(patient()).await;
    let mut used = server.send(GET).await;
    answer(&mut used).await;
    let unused = server.connect().await;
    let half = server.send(b"GET / HT").await;
    server.drain.cancel();
    let address = server.address;
    server.ended().await;
    for stream in [used, unused, half] {
        assert_eq!(rest(stream).await, "");
    }
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn what_was_let_in_is_answered_before_the_server_ends() {
    let server = start(patient()).await;
    let slow = server.send(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n").await;
    within(server.begun.notified()).await;
    server.drain.cancel();
    // Others still hear from the server, which is how they learn that it drains.
    let other = rest(server.send(GET).await).await;
    assert!(other.ends_with("answer"), "{other}");
    server.release.notify_one();
    server.ended().await;
    let slow = rest(slow).await;
    assert!(
        slow.contains("connection: close") && slow.ends_with("slow answer"),
        "{slow}"
    );
}

#[tokio::test]
async fn a_request_that_never_ends_does_not_keep_the_server_from_ending() {
    let server = start(ServerSettings {
        drain_timeout: SOON,
        ..patient()
    })
    .await;
    let stuck = server.send(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n").await;
    within(server.begun.notified()).await;
    server.drain.cancel();
    server.ended().await;
    assert_eq!(rest(stuck).await, "");
}
