//! The verbs for tests in Rust.

use std::fmt::Debug;

use super::{Stream, differ, listing, rejected};
use crate::module::{snapshot, write_event};
use crate::{Context, Decider, Module};

const WHAT: &str = "the outcome differs";

/// Begins a test: the stream holds `events`.
///
/// # Panics
///
/// When an event does not survive being stored, or follows a final one.
#[must_use = "say what happens then: `.when(command)`"]
#[track_caller]
pub fn given<D: Module>(events: impl IntoIterator<Item = D::Event>) -> Given<D> {
    let mut stream = Stream::at(D::default());
    for event in events {
        stream.append(&write_event::<D>(&event));
    }
    Given { stream }
}

/// Begins a test: the stream is at `state`, however it came there.
#[must_use = "say what happens then: `.when(command)`"]
pub fn given_state<D: Module>(state: D) -> Given<D> {
    Given {
        stream: Stream::at(state),
    }
}

/// A stream that waits for a command.
#[derive(Debug)]
pub struct Given<D> {
    stream: Stream<D>,
}

impl<D: Module> Given<D> {
    /// Decides `command` in the [default](Context::default) context, at the stream's version.
    ///
    /// # Panics
    ///
    /// When the state or an event that was decided does not survive being stored.
    #[must_use = "say what is expected: `.then(events)`"]
    #[track_caller]
    pub fn when(self, command: D::Command) -> Outcome<D> {
        self.when_with(command, Context::default())
    }

    /// Decides `command` in `context`, of which the version is replaced by the stream's.
    ///
    /// # Panics
    ///
    /// When the state or an event that was decided does not survive being stored.
    #[must_use = "say what is expected: `.then(events)`"]
    #[track_caller]
    pub fn when_with(self, command: D::Command, context: Context) -> Outcome<D> {
        let mut stream = self.stream.restored();
        let answer = stream.state.decide(command, &stream.context(context));
        for event in answer.iter().flatten() {
            stream.append(&write_event::<D>(event));
        }
        Outcome {
            answer,
            state: stream.state,
        }
    }
}

/// The outcome of a command. Expectations can be chained.
#[derive(Debug)]
pub struct Outcome<D: Decider> {
    answer: Result<Vec<D::Event>, D::Rejection>,
    state: D,
}

impl<D: Decider> Outcome<D> {
    /// Expects exactly `events`, in this order.
    ///
    /// # Panics
    ///
    /// When the outcome is another.
    #[track_caller]
    pub fn then(self, events: impl IntoIterator<Item = D::Event>) -> Self
    where
        D::Event: PartialEq + Debug,
    {
        let expected: Vec<D::Event> = events.into_iter().collect();
        if self.answer.as_ref().ok() != Some(&expected) {
            differ(WHAT, &debug(&expected), &self.describe(debug));
        }
        self
    }

    /// Expects the command to be accepted, with nothing to record.
    ///
    /// # Panics
    ///
    /// When the outcome is another.
    #[track_caller]
    pub fn then_nothing(self) -> Self
    where
        D::Event: Debug,
    {
        if !matches!(&self.answer, Ok(events) if events.is_empty()) {
            differ(WHAT, "no events", &self.describe(debug));
        }
        self
    }

    /// Expects `rejection`.
    ///
    /// # Panics
    ///
    /// When the outcome is another.
    #[track_caller]
    pub fn then_rejected(self, rejection: D::Rejection) -> Self
    where
        D::Event: Debug,
        D::Rejection: PartialEq,
    {
        if self.answer.as_ref().err() != Some(&rejection) {
            differ(WHAT, &rejected(&rejection), &self.describe(debug));
        }
        self
    }

    /// Expects the state after the command's events to be `state`, as their snapshots tell.
    ///
    /// # Panics
    ///
    /// When the state is another.
    #[track_caller]
    pub fn then_state(self, state: D) -> Self {
        let (expected, actual) = (snapshot(&state), snapshot(&self.state));
        if expected != actual {
            differ(
                WHAT,
                &format!("state {expected}"),
                &format!("state {actual}"),
            );
        }
        self
    }

    /// Expects `holds` of the state after the command's events.
    ///
    /// # Panics
    ///
    /// When it does not hold.
    #[track_caller]
    pub fn then_state_where(self, holds: impl FnOnce(&D) -> bool) -> Self {
        if !holds(&self.state) {
            differ(
                WHAT,
                "another state",
                &format!("state {}", snapshot(&self.state)),
            );
        }
        self
    }

    fn describe(&self, events: impl FnOnce(&[D::Event]) -> String) -> String {
        self.answer
            .as_ref()
            .map_or_else(rejected, |answer| events(answer))
    }
}

fn debug<E: Debug>(events: &[E]) -> String {
    listing(events.iter().map(|event| format!("{event:?}")))
}
