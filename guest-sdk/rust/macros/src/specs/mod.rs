//! The specifications' file: read, checked and rewritten as the manifest's JSON, all while the
//! author's crate compiles. `wit/specs.md` says what they mean.

mod decider;
mod form;
mod list;
mod view;

pub(crate) use decider::DeciderSpec;
pub(crate) use form::Form;
pub(crate) use list::Specs;
pub(crate) use view::ViewSpec;
