//! The exports of a view, for any [`ViewModule`], and of the conditions on its events, where it has
//! them.

use std::marker::PhantomData;

use sources_bindings::exports::gavel::module::sources::Guest as SourcesGuest;
use sources_bindings::gavel::module::log::{EventName, QueryItem as WitQueryItem};
use view_bindings::exports::gavel::module::view::{EvolveError, Guest, Row as WitRow};
use view_bindings::gavel::module::log::RecordedEvent;

use crate::manifest;
use crate::view::{
    self, EventText, FoldError, QueryItem, Recorded, Sources, StoredRow, ViewModule,
};

#[expect(missing_docs, reason = "generated from wit/")]
pub mod view_bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "view-module",
        export_macro_name: "__export_view",
        pub_export_macro: true,
        default_bindings_module: "gavel::__private::view_bindings",
        runtime_path: "wit_bindgen::rt",
    });
}

/// The bindings of `sources` alone: a component has the exports of all worlds that its parts are
/// made for.
#[expect(missing_docs, reason = "generated from wit/")]
pub mod sources_bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        inline: "
            package gavel:guest-sdk;

            world sources-module {
                export gavel:module/sources@0.1.0;
            }
        ",
        world: "gavel:guest-sdk/sources-module",
        generate_all,
        export_macro_name: "__export_sources",
        pub_export_macro: true,
        default_bindings_module: "gavel::__private::sources_bindings",
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

impl From<RecordedEvent> for Recorded<EventText> {
    fn from(event: RecordedEvent) -> Self {
        let RecordedEvent {
            decider,
            stream_id,
            version,
            event_id,
            name,
            schema_version,
            data,
            tags,
            created_ms,
            metadata,
        } = event;
        Self {
            event: EventText { name, data },
            decider,
            stream_id,
            version,
            event_id,
            schema_version,
            tags,
            created_ms,
            metadata,
        }
    }
}

impl From<QueryItem> for WitQueryItem {
    fn from(item: QueryItem) -> Self {
        let QueryItem {
            events,
            stream_id,
            tags,
        } = item;
        Self {
            events: events
                .into_iter()
                .map(|(decider, event)| EventName { decider, event })
                .collect(),
            stream_id,
            tags,
        }
    }
}
