//! The log in the bindings of views and processes: events, and conditions on them.

use sources_bindings::gavel::module::log::{EventName, QueryItem as WitQueryItem, RecordedEvent};

use crate::log::{EventText, QueryItem, Recorded};

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
