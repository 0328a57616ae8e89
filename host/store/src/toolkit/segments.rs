//! The assembly of a page of a past.

use gavel_model::{CommandId, Event, Version};

use crate::{PastPage, Place, Segment};

/// Groups events that come by stream and version into segments.
#[derive(Debug, Default)]
pub struct Segments(Vec<Segment>);

impl Segments {
    /// Adds the next event. Ids come as they are stored, so that one is only copied when it is
    /// another stream's.
    pub fn push(&mut self, id: &str, version: Version, event: Event, command_id: CommandId) {
        match self.0.last_mut() {
            Some(segment)
                if segment.id == id && segment.after.plus(segment.events.len() + 1) == version =>
            {
                segment.events.push(event);
                segment.command_ids.push(command_id);
            }
            _ => self.0.push(Segment {
                id: id.to_owned(),
                after: version.previous(),
                events: vec![event],
                command_ids: vec![command_id],
            }),
        }
    }

    /// The place after the last event.
    pub fn end(&self) -> Option<Place> {
        self.0.last().map(|segment| Place {
            id: segment.id.clone(),
            version: segment.after.plus(segment.events.len()),
        })
    }

    /// The segments, in the order in which their events were pushed, as a page.
    pub fn into_page(self, has_more: bool) -> PastPage {
        PastPage {
            segments: self.0,
            has_more,
        }
    }
}
