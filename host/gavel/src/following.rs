//! Answers of server-sent events without an end, across connections that break.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use gavel_client::{Client, EventStream, Message};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{RequestBuilder, Response};

use super::exit::{Failure, Result};
use super::lines::LONGEST_SILENCE;
use super::output::Output;

const MEDIA_TYPE: &str = "text/event-stream";
/// The pause before connecting again; doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause before connecting again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// An answer that a command shows as it comes.
pub(super) trait Followed {
    /// Makes the request for the answer.
    fn request(&self, client: &Client) -> gavel_client::Result<RequestBuilder>;

    /// Shows a message. Gives whether it counts as one of those that are wanted.
    fn show(&mut self, message: &Message, output: &mut Output<'_>) -> Result<bool>;

    /// The words for a place in the answer, if they mean something to people.
    fn place<'p>(&self, id: Option<&'p str>) -> Option<&'p str>;
}

/// The rest of an answer to show.
pub(super) struct Following<'a, 'b, F> {
    pub(super) followed: F,
    pub(super) client: &'a Client,
    pub(super) output: &'a mut Output<'b>,
    /// The place after which the answer begins; none for its beginning.
    pub(super) after: Option<String>,
    /// The number of messages that are still wanted.
    pub(super) left: u64,
}

impl<F: Followed> Following<'_, '_, F> {
    /// Shows messages until there were as many as are wanted, or somebody interrupts.
    pub(super) async fn run(mut self) -> Result {
        tokio::select! {
            followed = self.follow() => followed,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted.context("cannot listen for signals")?;
                let after = self.after.as_deref().filter(|after| self.followed.place(Some(after)).is_some());
                if let Some(after) = after {
                    self.output.note(&format!("read so far; continue with --after {after}"));
                }
                Ok(())
            }
        }
    }

    /// Shows messages until there were as many as are wanted. What fails at first is an error,
    /// later it is tried again.
    async fn follow(&mut self) -> Result {
        if self.left == 0 {
            return Ok(());
        }
        let mut response = self.connect().await?;
        loop {
            let ended = self.show_all(response).await?;
            if self.left == 0 {
                return Ok(());
            }
            let mut note = format!("{ended}; connecting again");
            if let Some(place) = self.followed.place(self.after.as_deref()) {
                note.push_str(&format!(", to continue after {place}"));
            }
            self.output.note(&note);
            response = self.reconnect().await?;
            self.output.note("connected again");
        }
    }

    async fn connect(&self) -> Result<Response> {
        let request = self.followed.request(self.client)?;
        let mut request = request.header(ACCEPT, MEDIA_TYPE);
        if let Some(after) = &self.after {
            request = request.header("last-event-id", after);
        }
        let response = self.client.open(request).await?;
        let media_type = response.headers().get(CONTENT_TYPE);
        if media_type.is_none_or(|value| !value.as_bytes().starts_with(MEDIA_TYPE.as_bytes())) {
            return Err(
                anyhow!("the host cannot be followed: it does not answer with events").into(),
            );
        }
        Ok(response)
    }

    /// Connects as soon as a host answers.
    async fn reconnect(&self) -> Result<Response> {
        let mut pause = FIRST_PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            match self.connect().await {
                Ok(response) => return Ok(response),
                Err(Failure::Error(_)) => {}
                Err(Failure::Problem(problem)) if problem.status() == 503 => {}
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Shows what comes, until there is enough or the connection has ended; then says how.
    async fn show_all(&mut self, mut response: Response) -> Result<&'static str> {
        let mut stream = EventStream::default();
        loop {
            let piece = match tokio::time::timeout(LONGEST_SILENCE, response.chunk()).await {
                Ok(Ok(Some(piece))) => piece,
                Ok(Ok(None)) => return Ok("the host has ended the connection"),
                Ok(Err(_)) => return Ok("the connection has broken"),
                Err(_) => return Ok("the host has sent nothing for too long"),
            };
            for message in stream.push(&piece) {
                if self.followed.show(&message, self.output)? {
                    self.left = self.left.saturating_sub(1);
                }
                if self.left == 0 {
                    return Ok("all that was wanted has come");
                }
            }
            if let Some(id) = stream.last_id() {
                self.after = Some(id.to_owned());
            }
        }
    }
}
