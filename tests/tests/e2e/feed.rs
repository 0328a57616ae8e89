//! The followers of the log over a socket: server-sent events, or lines.

use gavel_tests::{Client, Event, LIMIT, Request};
use serde_json::{Value, json};

/// The media type of server-sent events.
pub(super) const SSE: &str = "text/event-stream";
/// The media type of lines of JSON.
pub(super) const NDJSON: &str = "application/x-ndjson";

/// A body that is read piece by piece.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) response: reqwest::Response,
    rest: Vec<u8>,
    /// The number of bytes that are still taken before the connection is cut.
    left: usize,
}

/// One server-sent event, or a comment, which has no name.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Block {
    pub(super) id: String,
    pub(super) event: String,
    pub(super) data: String,
}

impl Block {
    pub(super) fn position(&self) -> Option<String> {
        Some(self.id.clone()).filter(|id| !id.is_empty())
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap()
    }

    /// The event, unless it is one of the host's own.
    pub(super) fn event(&self) -> Option<Event> {
        let is_control = ["", "caught-up", "malformed"].contains(&self.event.as_str());
        (!is_control).then(|| serde_json::from_value(self.json()).unwrap())
    }
}

impl Feed {
    /// Sends the request, which must be answered with 200.
    pub(super) async fn open(request: Request, media_type: &str) -> Self {
        let response = request.header("Accept", media_type).open().await;
        assert_eq!(response.status(), 200);
        let headers = response.headers();
        assert_eq!(headers["content-type"], media_type);
        assert_eq!(headers["cache-control"], "no-store");
        assert!(headers.contains_key("request-id"));
        Self {
            response,
            rest: Vec::new(),
            left: usize::MAX,
        }
    }

    pub(super) async fn events(client: &Client, query: &str) -> Self {
        Self::open(client.get(&format!("/v1/events?{query}")), SSE).await
    }

    /// Cuts the connection when `bytes` more bytes have come.
    pub(super) fn cut_after(&mut self, bytes: usize) {
        self.left = bytes;
    }

    /// Reads up to the next `end`; none when the body ends before it, or is cut.
    pub(super) async fn until(&mut self, end: &str) -> Option<String> {
        loop {
            let found = self
                .rest
                .windows(end.len())
                .position(|bytes| bytes == end.as_bytes());
            if let Some(at) = found {
                let part = self.rest.drain(..at + end.len()).collect();
                return Some(String::from_utf8(part).unwrap());
            }
            let piece = tokio::time::timeout(LIMIT, self.response.chunk()).await;
            let piece = piece.expect("something comes").ok()??;
            let taken = piece.len().min(self.left);
            self.left -= taken;
            self.rest.extend_from_slice(&piece[..taken]);
            if taken < piece.len() {
                self.rest.clear();
                return None;
            }
        }
    }

    pub(super) async fn next_block(&mut self) -> Option<Block> {
        let mut block = Block::default();
        for line in self.until("\n\n").await?.lines() {
            match line.split_once(": ") {
                Some(("id", id)) => id.clone_into(&mut block.id),
                Some(("event", event)) => event.clone_into(&mut block.event),
                Some(("data", data)) => data.clone_into(&mut block.data),
                _ => assert!(line.is_empty() || line.starts_with(':'), "{line:?}"),
            }
        }
        Some(block)
    }

    /// The next event of a decider.
    pub(super) async fn next_event(&mut self) -> Event {
        loop {
            let block = self.next_block().await.expect("the subscription goes on");
            if let Some(event) = block.event() {
                return event;
            }
        }
    }

    pub(super) async fn next_events(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < count {
            events.push(self.next_event().await);
        }
        events
    }

    /// Reads on to the place where the host says that there is nothing more for now, and gives that
    /// place.
    pub(super) async fn caught_up(&mut self) -> String {
        loop {
            let block = self.next_block().await.expect("the subscription goes on");
            if block.event == "caught-up" {
                assert_eq!(block.json(), json!({ "position": block.id }));
                return block.id;
            }
        }
    }

    /// The next line that is not empty.
    pub(super) async fn next_line(&mut self) -> Value {
        loop {
            let line = self.until("\n").await.expect("the lines go on");
            if !line.trim().is_empty() {
                return serde_json::from_str(&line).unwrap();
            }
        }
    }
}
