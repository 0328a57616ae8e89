//! The view interface, for guests that use the contract directly.

wit_bindgen::generate!({
    path: "../../../wit",
    world: "view-module",
    pub_export_macro: true,
    default_bindings_module: "view_base",
});

pub use exports::gavel::module::view::{EvolveError, Guest, Row};
pub use gavel::module::log::RecordedEvent;

/// A view that is well-behaved and has no rows, but for the manifest, which is `$describe`.
#[macro_export]
macro_rules! module {
    ($describe:expr) => {
        struct Module;

        impl $crate::Guest for Module {
            fn describe() -> String {
                $describe
            }

            fn keys(events: Vec<$crate::RecordedEvent>) -> Vec<Vec<String>> {
                events.iter().map(|_| Vec::new()).collect()
            }

            fn fold(
                _events: Vec<$crate::RecordedEvent>,
                rows: Vec<$crate::Row>,
            ) -> Vec<Result<Option<String>, $crate::EvolveError>> {
                rows.into_iter().map(|row| Ok(row.value)).collect()
            }
        }

        $crate::export!(Module with_types_in $crate);
    };
}
