//! The exports of a view, for any [`ViewModule`], and of the conditions on its events, where it has
//! them.

use std::marker::PhantomData;

use view_bindings::exports::gavel::module::view::{EvolveError, Guest, Row as WitRow};

use super::log::sources_bindings::exports::gavel::module::sources::Guest as SourcesGuest;
use super::log::sources_bindings::gavel::module::log::{QueryItem as WitQueryItem, RecordedEvent};
use crate::log::{FoldError, Recorded, Sources};
use crate::manifest;
use crate::view::{self, StoredRow, ViewModule};

#[expect(missing_docs, reason = "generated from wit/")]
pub mod view_bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "view-module",
        with: { "gavel:module/log@0.1.0": crate::export::log::sources_bindings::gavel::module::log },
        generate_all,
        export_macro_name: "__export_view",
        pub_export_macro: true,
        default_bindings_module: "gavel::__private::view_bindings",
        runtime_path: "wit_bindgen::rt",
    });
}

/// The component that runs the view `V`.
#[derive(Debug)]
pub struct ViewComponent<V>(PhantomData<V>);

impl<V: ViewModule> Guest for ViewComponent<V> {
    fn describe() -> String {
        manifest::describe_view::<V>()
    }

    fn keys(events: Vec<RecordedEvent>) -> Vec<Vec<String>> {
        view::keys::<V>(events.into_iter().map(Recorded::from).collect())
    }

    fn fold(
        events: Vec<RecordedEvent>,
        rows: Vec<WitRow>,
    ) -> Vec<Result<Option<String>, EvolveError>> {
        let events = events.into_iter().map(Recorded::from).collect();
        let rows: Vec<StoredRow> = rows
            .into_iter()
            .map(
                |WitRow {
                     key: _,
                     value,
                     events,
                 }| StoredRow { value, events },
            )
            .collect();
        view::fold::<V>(events, &rows)
            .into_iter()
            .map(|row| row.map_err(|FoldError { index, message }| EvolveError { index, message }))
            .collect()
    }
}

impl<V: Sources> SourcesGuest for ViewComponent<V> {
    fn sources(key: String) -> Vec<WitQueryItem> {
        V::sources(&key)
            .into_iter()
            .map(WitQueryItem::from)
            .collect()
    }
}
