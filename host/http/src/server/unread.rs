//! A body that knows whether it was read to its end.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};

/// A body that says whether there is more of it to come.
#[derive(Debug)]
pub(super) struct WatchedBody {
    body: Incoming,
    is_unread: Arc<AtomicBool>,
}

impl WatchedBody {
    /// The body, and what is true as long as a part of it has not been read.
    pub(super) fn new(body: Incoming) -> (Self, Arc<AtomicBool>) {
        let is_unread = Arc::new(AtomicBool::new(!body.is_end_stream()));
        let watched = Self {
            body,
            is_unread: is_unread.clone(),
        };
        (watched, is_unread)
    }
}

impl Body for WatchedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(frame, Poll::Ready(None)) || self.body.is_end_stream() {
            self.is_unread.store(false, Ordering::Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
