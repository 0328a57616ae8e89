//! A page: events, and the commands that they followed from or that have left none.

use std::collections::HashMap;
use std::ops::Range;

use gavel_model::{CommandId, CommandOutcome, CommandRecord};
use gavel_store::{PastRange, Place, Segment};

use super::{Part, PastDecision};

/// Events in the order of their streams, with their commands.
#[derive(Debug)]
pub(super) struct DecisionPage {
    pub(super) segments: Vec<Segment>,
    pub(super) commands: HashMap<CommandId, CommandRecord>,
    pub(super) is_last: bool,
}

/// Events that wait for the page after theirs, and the row of their command.
#[derive(Debug)]
pub(super) struct Cut {
    segment: Segment,
    record: CommandRecord,
}

impl DecisionPage {
    pub(super) fn prepend(&mut self, cut: Cut) {
        let Cut { segment, record } = cut;
        self.commands.insert(record.command_id, record);
        match self.segments.first_mut() {
            Some(first) if first.id == segment.id => {
                first.after = segment.after;
                first.events.splice(0..0, segment.events);
                first.command_ids.splice(0..0, segment.command_ids);
            }
            // The ledger promises more events than there are.
            _ => self.segments.insert(0, segment),
        }
    }

    /// Takes the last command off when some of its events are on the next page.
    pub(super) fn cut_off_unfinished(&mut self) -> Option<Cut> {
        let last = self.segments.last_mut()?;
        let command_id = *last.command_ids.last()?;
        let record = self.commands.get(&command_id)?;
        let CommandOutcome::Accepted { events } = record.outcome else {
            return None;
        };
        let its_own = last.command_ids.iter().rev();
        let under_its_id = its_own.take_while(|id| **id == command_id).count();
        let run = last.events.len() - under_its_id..last.events.len();
        let here = decided(record, last, run)?.len();
        if here >= events as usize {
            return None;
        }
        let first = last.events.len() - here;
        let segment = Segment {
            id: last.id.clone(),
            after: last.after.plus(first),
            events: last.events.split_off(first),
            command_ids: last.command_ids.split_off(first),
        };
        let record = record.clone();
        if first == 0 {
            self.segments.pop();
        }
        Some(Cut { segment, record })
    }

    /// Takes off what comes after a place.
    pub(super) fn split_off(&mut self, place: &Place) -> Vec<Segment> {
        let whole = self
            .segments
            .partition_point(|segment| end_of(segment) <= *place);
        let mut rest = self.segments.split_off(whole);
        let cut = rest.first_mut().filter(|first| first.id == place.id);
        if let Some(first) = cut.filter(|first| first.after < place.version) {
            // Fewer than there are: it ends after that place.
            let here = first.after.events_to(place.version);
            self.segments.push(Segment {
                id: first.id.clone(),
                after: first.after,
                events: first.events.drain(..here).collect(),
                command_ids: first.command_ids.drain(..here).collect(),
            });
            first.after = place.version;
        }
        rest
    }

    /// Makes parts of the segments of a range, with what was decided between their events;
    /// `read_to` is where the parts before these ended.
    pub(super) fn parts(
        &mut self,
        eventless: Vec<CommandRecord>,
        range: &PastRange,
        read_to: &Place,
    ) -> Vec<Part> {
        let mut eventless = eventless.into_iter().peekable();
        let mut parts = Vec::with_capacity(self.segments.len());
        for segment in std::mem::take(&mut self.segments) {
            // Streams of which nothing but rejections is recorded, and that sort before this one.
            while let Some(record) =
                eventless.next_if(|next| next.stream.id() < segment.id.as_str())
            {
                push_eventless(&mut parts, record, range, read_to);
            }
            let end = end_of(&segment);
            let mut decisions = self.decisions(&segment);
            while let Some(record) = eventless.next_if(|next| place_of(next) <= end) {
                decisions.push(eventless_decision(record));
            }
            // Commands without events come first: they did not change the version.
            decisions.sort_by_key(|decision| (decision.at, !decision.events.is_empty()));
            let mut part = Part::new(segment.id, segment.after, segment.events);
            part.add(decisions);
            parts.push(part);
        }
        for record in eventless {
            push_eventless(&mut parts, record, range, read_to);
        }
        parts
    }

    /// Gives the decisions that the events of a segment followed from.
    fn decisions(&mut self, segment: &Segment) -> Vec<PastDecision> {
        let mut decisions = Vec::new();
        let mut from = 0;
        while from < segment.events.len() {
            let command_id = segment.command_ids[from];
            let rest = segment.command_ids[from..].iter();
            let to = from + rest.take_while(|id| **id == command_id).count();
            // An import has no row.
            let record = self.commands.get(&command_id);
            let events = record.and_then(|record| decided(record, segment, from..to));
            if let Some(events) = events
                && let Some(record) = self.commands.remove(&command_id)
            {
                decisions.push(PastDecision {
                    at: segment.after.plus(events.start),
                    record,
                    events,
                });
            }
            from = to;
        }
        decisions
    }
}

/// Selects the successive events under the id of a command that followed from that command. An
/// import may have had the same id before, on this or another stream.
fn decided(record: &CommandRecord, segment: &Segment, run: Range<usize>) -> Option<Range<usize>> {
    let first = segment.after.events_to(record.version).max(run.start);
    let is_its_own = record.stream.id() == segment.id && first < run.end;
    let has_events = !matches!(
        record.outcome,
        CommandOutcome::Rejected(_) | CommandOutcome::Accepted { events: 0 }
    );
    (is_its_own && has_events).then_some(first..run.end)
}

/// Adds a command of a stream of which no events are read, or of one whose events before it have
/// been read.
///
/// One that was decided at a later version is left out: its stream was read before the events that
/// it builds on were appended.
fn push_eventless(
    parts: &mut Vec<Part>,
    record: CommandRecord,
    range: &PastRange,
    read_to: &Place,
) {
    let place = place_of(&record);
    if place.version != range.start_of(&place.id) && place != *read_to {
        return;
    }
    match parts.last_mut() {
        Some(part) if part.id == place.id => part.add([eventless_decision(record)]),
        _ => {
            let mut part = Part::new(place.id, place.version, Vec::new());
            part.add([eventless_decision(record)]);
            parts.push(part);
        }
    }
}

fn eventless_decision(record: CommandRecord) -> PastDecision {
    PastDecision {
        at: record.version,
        record,
        events: 0..0,
    }
}

pub(super) fn place_of(record: &CommandRecord) -> Place {
    Place {
        id: record.stream.id().to_owned(),
        version: record.version,
    }
}

/// Gives the place after a segment.
pub(super) fn end_of(segment: &Segment) -> Place {
    Place {
        id: segment.id.clone(),
        version: segment.after.plus(segment.events.len()),
    }
}
