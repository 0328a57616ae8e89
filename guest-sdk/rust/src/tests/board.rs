//! A view with one of everything: events of two deciders, older events, each kind of index, a row
//! that ends.

use serde::{Deserialize, Serialize};

use super::parcel;
use crate::{JsonSchema, QueryItem, Recorded, Row, Timestamp, View};

/// Some events of a crate.
#[derive(Debug, Clone, PartialEq, Deserialize, gavel::Foreign)]
#[foreign(decider = "crate")]
#[serde(rename_all = "snake_case")]
pub(super) enum CrateEvent {
    #[foreign(versions = [2, 4])]
    Packed { parcels: u32 },
    #[serde(rename = "sealed")]
    Closed,
    #[serde(skip)]
    Unknown,
}

/// An event that has changed, in the words of the view.
#[derive(Debug, Clone, PartialEq, Deserialize, gavel::Event, gavel::Foreign)]
#[foreign(decider = "lorry")]
pub(super) enum LorryEvent {
    #[event(version = 2, upcast(1 = in_kilograms))]
    Loaded { kilograms: u32 },
}

#[derive(Deserialize, JsonSchema)]
struct Tons {
    tons: u32,
}

#[derive(Serialize)]
struct Kilograms {
    kilograms: u32,
}

fn in_kilograms(Tons { tons }: Tons) -> Kilograms {
    Kilograms {
        kilograms: tons * 1000,
    }
}

#[derive(Debug, Clone, PartialEq, gavel::Foreign)]
pub(super) enum Event {
    Crate(CrateEvent),
    #[foreign(decider = "parcel")]
    Parcel(parcel::Event),
    Lorry(LorryEvent),
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Board {
    #[index]
    #[index(packed_at, weight)]
    pub(super) is_sealed: bool,
    #[index(is_sealed, weight, where_to)]
    pub(super) packed_at: Timestamp,
    pub(super) weight: f64,
    #[serde(rename = "town")]
    pub(super) where_to: Option<String>,
    #[serde(skip)]
    pub(super) folded: u32,
}

#[crate::view(name = "board")]
impl View for Board {
    type Event = Event;

    fn keys(event: &Recorded<Event>) -> Vec<String> {
        let stream = event.stream_id.clone();
        match &event.event {
            Event::Crate(_) => vec![stream],
            Event::Parcel(_) | Event::Lorry(_) => {
                vec![stream.clone(), "all".into(), stream, "all".into()]
            }
        }
    }

    fn sources(key: &str) -> Vec<QueryItem> {
        vec![
            QueryItem::of_stream::<Event>(key),
            QueryItem::of_tag::<CrateEvent>("crate:all"),
        ]
    }

    fn evolve(&mut self, event: &Recorded<Event>) -> Row {
        self.folded += 1;
        match &event.event {
            Event::Crate(CrateEvent::Packed { .. }) => self.packed_at = event.created_at(),
            Event::Crate(CrateEvent::Closed) => self.is_sealed = true,
            Event::Crate(CrateEvent::Unknown) => {}
            Event::Parcel(parcel::Event::ParcelSent { town, .. }) => {
                self.where_to = Some(town.clone());
            }
            Event::Parcel(parcel::Event::Weighed(0)) => self.weight = f64::NAN,
            Event::Parcel(parcel::Event::Weighed(grams)) => self.weight += f64::from(*grams),
            Event::Parcel(parcel::Event::Delivered) => return Row::End,
            Event::Parcel(_) => {}
            Event::Lorry(LorryEvent::Loaded { kilograms }) => {
                self.weight = f64::from(*kilograms) * 1000.0;
            }
        }
        Row::Keep
    }
}

/// A view of which the SDK writes the keys.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
pub(super) struct ByStream {
    pub(super) events: u64,
}

#[crate::view(name = "by-stream", key = stream_id)]
impl View for ByStream {
    type Event = CrateEvent;

    fn evolve(&mut self, _: &Recorded<CrateEvent>) -> Row {
        self.events += 1;
        Row::Keep
    }
}

/// Another one.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
pub(super) struct ByTag {
    pub(super) events: u64,
}

#[crate::view(name = "by_tag", key = tag("town"))]
impl View for ByTag {
    type Event = CrateEvent;

    fn evolve(&mut self, _: &Recorded<CrateEvent>) -> Row {
        self.events += 1;
        Row::Keep
    }
}
