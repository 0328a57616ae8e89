//! Answers without an end: the log as it grows, read or left unread.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::connection::connect;

/// The longest silence. The host says every 15 s that it is still there.
const SILENCE: Duration = Duration::from_secs(60);
/// The room of a reader that never reads, in bytes; the system takes a little more.
const STUCK_BUFFER_BYTES: u32 = 4 * 1024;

/// An open answer. Its connection is closed when this is dropped.
#[derive(Debug)]
pub(crate) struct Feed {
    body: Incoming,
    /// The bytes of messages that are incomplete or not asked for yet.
    received: Vec<u8>,
    connection: JoinHandle<()>,
}

/// A server-sent event, without its data.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Message {
    /// The position of the event in the log.
    pub(crate) id: String,
    /// The name of the event; empty for a sign of life.
    pub(crate) event: String,
}

impl Feed {
    /// Sends a request over a connection of its own, and waits for the beginning of the answer.
    ///
    /// # Errors
    ///
    /// When it is not answered with 200.
    pub(crate) async fn open(address: SocketAddr, request: Request<Full<Bytes>>) -> Result<Self> {
        let what = request.uri().to_string();
        let (mut sender, connection) = connect(address).await?;
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        ensure!(
            status == StatusCode::OK,
            "{what} was answered with {status}"
        );
        Ok(Self {
            body: answer.into_body(),
            received: Vec::new(),
            connection,
        })
    }

    /// The next bytes, as they come.
    ///
    /// # Errors
    ///
    /// When the answer ends or breaks off, or nothing comes for a minute.
    pub(crate) async fn chunk(&mut self) -> Result<Bytes> {
        loop {
            let frame = timeout(SILENCE, self.body.frame()).await;
            let frame = frame.context("the host says nothing")?;
            let frame = frame.context("the answer has ended")??;
            if let Ok(bytes) = frame.into_data() {
                return Ok(bytes);
            }
        }
    }

    /// The next server-sent event.
    ///
    /// # Errors
    ///
    /// As [`chunk`](Self::chunk).
    pub(crate) async fn message(&mut self) -> Result<Message> {
        loop {
            if let Some(message) = take_message(&mut self.received) {
                return Ok(message);
            }
            let bytes = self.chunk().await?;
            self.received.extend_from_slice(&bytes);
        }
    }

    /// Takes server-sent events until the end of the log, and returns its position.
    ///
    /// # Errors
    ///
    /// As [`chunk`](Self::chunk).
    pub(crate) async fn catch_up(&mut self) -> Result<String> {
        loop {
            let message = self.message().await?;
            if message.event == "caught-up" {
                return Ok(message.id);
            }
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Takes the first whole message from what has been received.
fn take_message(received: &mut Vec<u8>) -> Option<Message> {
    let end = received.windows(2).position(|pair| pair == b"\n\n")?;
    let bytes: Vec<u8> = received.drain(..end + 2).collect();
    let text = String::from_utf8_lossy(&bytes);
    let field = |name: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(name));
        found.unwrap_or_default().to_owned()
    };
    Some(Message {
        id: field("id: "),
        event: field("event: "),
    })
}

/// Asks for a path as server-sent events, sees that the answer begins, and never reads what
/// follows.
///
/// # Errors
///
/// When it is not answered with 200.
pub(crate) async fn stuck_reader(address: SocketAddr, path: &str) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(STUCK_BUFFER_BYTES)?;
    let mut stream = socket.connect(address).await?;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut beginning = [0; 12];
    stream.read_exact(&mut beginning).await?;
    ensure!(
        beginning == *b"HTTP/1.1 200",
        "{path} was answered with {}",
        String::from_utf8_lossy(&beginning)
    );
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_taken_one_by_one_and_only_when_they_are_whole() {
        let mut received = b"id: 07\nevent: Deposited\ndata: {}\n\n:\nid: 08\n\nid: 09\n".to_vec();
        let message = |id: &str, event: &str| {
            let (id, event) = (id.to_owned(), event.to_owned());
            Some(Message { id, event })
        };
        assert_eq!(take_message(&mut received), message("07", "Deposited"));
        assert_eq!(take_message(&mut received), message("08", ""));
        assert_eq!(take_message(&mut received), None);
        received.extend_from_slice(b"event: caught-up\ndata: {}\n\n");
        assert_eq!(take_message(&mut received), message("09", "caught-up"));
    }
}
