//! The decider interface, for guests of which one thing is wrong.

wit_bindgen::generate!({
    path: "../../../wit",
    world: "decider-module",
    pub_export_macro: true,
    default_bindings_module: "base",
});

pub use exports::gavel::module::decider::{
    Command, Context, Event, EvolveError, Guest, GuestState, Rejection, State, StateBorrow,
};

/// The state of a decider that has none.
pub struct Nothing;

impl GuestState for Nothing {
    fn initial() -> State {
        State::new(Self)
    }

    fn restore(_snapshot: String) -> Result<State, String> {
        Ok(State::new(Self))
    }

    fn snapshot(&self) -> String {
        "null".to_owned()
    }
}

/// A module that is well-behaved but for the manifest, which is `$describe`.
#[macro_export]
macro_rules! module {
    ($describe:expr) => {
        struct Module;

        impl $crate::Guest for Module {
            type State = $crate::Nothing;

            fn describe() -> String {
                $describe
            }

            fn evolve(
                _state: $crate::StateBorrow<'_>,
                _events: Vec<$crate::Event>,
            ) -> Result<(), $crate::EvolveError> {
                Ok(())
            }

            fn decide(
                _state: $crate::StateBorrow<'_>,
                _command: $crate::Command,
                _context: $crate::Context,
            ) -> Result<Vec<$crate::Event>, $crate::Rejection> {
                Ok(Vec::new())
            }
        }

        $crate::export!(Module with_types_in $crate);
    };
}
