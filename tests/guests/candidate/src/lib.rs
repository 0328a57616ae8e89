//! An account, and the changes that a next version of it can make. Each [`Change`] is a single one;
//! all else stays the same.
//!
//! A variant is a module that makes one of the changes: one line in a file of `variants`.

mod account;
mod evolve;
mod manifest;
mod rules;

pub use account::Account;
pub use base;
pub use evolve::evolve;
pub use manifest::manifest;
pub use rules::decide;

/// The change of a variant to the original.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Nothing,
    // Of the manifest.
    RemovedEvent,
    NarrowedField,
    FailingSpec,
    // When it folds.
    RefusesEvent,
    TrapsOnEvent,
    LoopsOnEvent,
    EatsMemoryOnEvent,
    OtherState,
    // When it decides.
    NowRejects,
    NowAccepts,
    OtherEvents,
    HiddenState,
    IterationOrder,
    Thirsty,
}

/// Makes a module of the account with this change.
#[macro_export]
macro_rules! export {
    ($change:ident) => {
        struct Module;

        impl $crate::base::Guest for Module {
            type State = $crate::Account;

            fn describe() -> String {
                $crate::manifest($crate::Change::$change)
            }

            fn evolve(
                state: $crate::base::StateBorrow<'_>,
                events: Vec<$crate::base::Event>,
            ) -> Result<(), $crate::base::EvolveError> {
                $crate::evolve($crate::Change::$change, state.get(), &events)
            }

            fn decide(
                state: $crate::base::StateBorrow<'_>,
                command: $crate::base::Command,
                _context: $crate::base::Context,
            ) -> Result<Vec<$crate::base::Event>, $crate::base::Rejection> {
                $crate::decide($crate::Change::$change, state.get(), &command)
            }
        }

        $crate::base::export!(Module with_types_in $crate::base);
    };
}
