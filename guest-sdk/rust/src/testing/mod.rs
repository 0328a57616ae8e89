//! Given/when/then, for native tests: written in Rust, or as the data of a specifications' file.
//!
//! Events and states pass through their stored form, as they do in production, so that a value
//! which changes on the way fails its test.

mod document;
mod specs;
mod verbs;
mod view_specs;

pub use specs::assert_spec;
pub use verbs::{Given, Outcome, given, given_state};
pub use view_specs::assert_view_spec;

use crate::module::{StoredEvent, read_event, restore, snapshot};
use crate::{Context, Module, Rejection};

/// A stream in memory.
#[derive(Debug)]
struct Stream<D> {
    state: D,
    version: u64,
    /// The final event, once there was one.
    end: Option<String>,
}

impl<D: Module> Stream<D> {
    fn at(state: D) -> Self {
        Self {
            state,
            version: 0,
            end: None,
        }
    }

    #[track_caller]
    fn append(&mut self, event: &StoredEvent) {
        if let Some(end) = &self.end {
            panic!("{} cannot follow {end}, which is final", event.name);
        }
        self.fold(event);
        self.end = event.is_final.then(|| event.name.clone());
    }

    /// Folds an event that is there already, so that it does not matter which ones are final.
    #[track_caller]
    fn fold(&mut self, event: &StoredEvent) {
        let name = &event.name;
        match read_event::<D>(name, event.schema_version, &event.data) {
            Ok(event) => self.state.evolve(&event),
            Err(error) => panic!(
                "{name} cannot be folded from its data {}: {error}",
                event.data
            ),
        }
        self.version += 1;
    }

    /// The same stream after its state went through a snapshot.
    #[track_caller]
    fn restored(self) -> Self {
        let snapshot = snapshot(&self.state);
        match restore(&snapshot) {
            Ok(state) => Self { state, ..self },
            Err(error) => {
                panic!("the state cannot be restored from its snapshot {snapshot}: {error}")
            }
        }
    }

    /// `context` at this stream's version.
    fn context(&self, context: Context) -> Context {
        Context {
            version: self.version,
            ..context
        }
    }
}

/// Fails a test.
#[track_caller]
fn differ(what: &str, expected: &str, actual: &str) -> ! {
    panic!("{what}\nexpected: {expected}\n  actual: {actual}\n")
}

/// Events for people to read, each on a line of its own.
fn listing(events: impl Iterator<Item = String>) -> String {
    let lines: Vec<String> = events.map(|event| format!("\n    {event}")).collect();
    if lines.is_empty() {
        "no events".to_owned()
    } else {
        lines.concat()
    }
}

fn rejected(rejection: &impl Rejection) -> String {
    let data = rejection
        .data()
        .map(|data| format!(" {data}"))
        .unwrap_or_default();
    format!(
        "rejected with {}{data} ({})",
        rejection.code(),
        rejection.message()
    )
}
