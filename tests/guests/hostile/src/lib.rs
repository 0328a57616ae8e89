//! A counter that misbehaves on command. Each command is named after what it does; `Ok` and
//! `Increment` do what they should.

mod acts;
mod manifest;

use std::cell::Cell;

use base::{
    Command, Context, Event, EvolveError, Guest, GuestState, Rejection, State, StateBorrow,
};

struct Module;

struct Counter(Cell<u64>);

impl GuestState for Counter {
    fn initial() -> State {
        State::new(Self(Cell::new(0)))
    }

    fn restore(snapshot: String) -> Result<State, String> {
        match snapshot.parse() {
            Ok(count) => Ok(State::new(Self(Cell::new(count)))),
            Err(_) => Err("a snapshot is a number".to_owned()),
        }
    }

    fn snapshot(&self) -> String {
        self.0.get().to_string()
    }
}

/// A state that misbehaves when it is let go of.
impl Drop for Counter {
    fn drop(&mut self) {
        if self.0.get() == acts::TRAPS_WHEN_DROPPED {
            std::process::abort();
        }
    }
}

/// The very bytes of a text as a number, by FNV-1a.
fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

impl Guest for Module {
    type State = Counter;

    fn describe() -> String {
        manifest::manifest()
    }

    fn evolve(state: StateBorrow<'_>, events: Vec<Event>) -> Result<(), EvolveError> {
        let count = &state.get::<Counter>().0;
        for (index, event) in (0..).zip(&events) {
            match event.name.as_str() {
                "Refused" => {
                    return Err(EvolveError {
                        index,
                        message: "I never wanted this event".to_owned(),
                    });
                }
                "Poisoned" => panic!("evolve cannot stand this event"),
                "Slow" => acts::loop_for_ever(),
                "Kept" => count.set(digest(&event.data)),
                _ => count.set(count.get() + 1),
            }
        }
        Ok(())
    }

    fn decide(
        state: StateBorrow<'_>,
        command: Command,
        context: Context,
    ) -> Result<Vec<Event>, Rejection> {
        if command.name == "TellState" {
            let count = state.get::<Counter>().0.get();
            return Ok(vec![acts::event("Happened", &count.to_string())]);
        }
        acts::act(&command.name, &command.data, &context)
    }
}

base::export!(Module with_types_in base);
