//! The assembly of a page of a past.

use gavel_model::{CommandId, Event, Version};

use crate::{Passage, PastPage, Place};

/// Groups events that come by stream and version into passages.
#[derive(Debug, Default)]
pub struct Passages(Vec<Passage>);

impl Passages {
    /// Adds the next event. Ids come as they are stored, so that one is only copied when it is
    /// another stream's.
    pub fn push(&mut self, id: &str, version: Version, event: Event, command_id: CommandId) {
        match self.0.last_mut() {
            Some(passage)
                if passage.id == id && passage.after.plus(passage.events.len() + 1) == version =>
            {
                passage.events.push(event);
                passage.command_ids.push(command_id);
            }
            _ => self.0.push(Passage {
                id: id.to_owned(),
                after: version.previous(),
                events: vec![event],
                command_ids: vec![command_id],
            }),
        }
    }

    /// The place after the last event.
    pub fn end(&self) -> Option<Place> {
        self.0.last().map(|passage| Place {
            id: passage.id.clone(),
            version: passage.after.plus(passage.events.len()),
        })
    }

    /// The passages, in the order in which their events were pushed, as a page.
    pub fn into_page(self, has_more: bool) -> PastPage {
        PastPage {
            passages: self.0,
            has_more,
        }
    }
}
