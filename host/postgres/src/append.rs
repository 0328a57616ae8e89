//! The answers of `gavel_append`, as outcomes of appends.

use gavel_model::{ActivationNumber, Position, RecordedEvent, Version};
use gavel_store::toolkit::group::{Outcome, Verdict};
use gavel_store::{Append, AppendError, Appended, Fence, StreamAppend};

use super::rows::{AppendRefusal, BatchOutcome, PartOutcome};

/// The verdicts of a batch that was answered with `answer`.
pub(super) fn verdicts(batch: &[Append], answer: BatchOutcome) -> Vec<Verdict> {
    let mut parts = answer.parts.into_iter();
    let mut positions = answer.positions.into_iter();
    let verdicts = batch.iter().map(|append| {
        let parts: Vec<PartOutcome> = parts.by_ref().take(append.parts.len()).collect();
        if parts
            .iter()
            .any(|part| part.refused == Some(AppendRefusal::Held))
        {
            return Verdict::Held;
        }
        Verdict::Settled(outcome(append, &parts, &mut positions))
    });
    verdicts.collect()
}

/// The outcome of an append, from the answers for its parts and the positions of events from its
/// first on.
fn outcome(
    append: &Append,
    parts: &[PartOutcome],
    positions: &mut impl Iterator<Item = Position>,
) -> Outcome {
    let both = || append.parts.iter().zip(parts);
    // Checks come in the order of `AppendRefusal`, each over all parts.
    let refused = both().filter_map(|(part, found)| Some((found.refused?, part, found)));
    if let Some((why, part, found)) = refused.min_by_key(|(why, ..)| *why) {
        return Err(refusal(why, part, found));
    }
    let answers: Vec<Appended> = both()
        .map(|(part, found)| appended(part, found, positions))
        .collect();
    let is_whole = answers.len() == append.parts.len()
        && both()
            .zip(&answers)
            .all(|((part, _), answer)| part.events.len() == answer.events.len());
    if !is_whole {
        let reason = "the answer has fewer parts or positions than the append";
        return Err(AppendError::OutcomeUnknown(reason.into()));
    }
    Ok(answers)
}

fn refusal(why: AppendRefusal, part: &StreamAppend, found: &PartOutcome) -> AppendError {
    let stream = part.stream.clone();
    let version = Version::from_sql(found.number.unwrap_or_default()).unwrap_or_default();
    let event_id = found.id.unwrap_or_default();
    match why {
        // The committer has had it run on its own before it comes here.
        AppendRefusal::Held => AppendError::Unavailable("the stream is locked".into()),
        AppendRefusal::Fenced => AppendError::Fenced {
            decider: stream.decider().clone(),
            fence: part
                .fence
                .unwrap_or(Fence::of_decider(ActivationNumber::NONE)),
            current: ActivationNumber::new(found.number.unwrap_or_default()),
        },
        AppendRefusal::DuplicateCommand => AppendError::DuplicateCommand {
            command_id: part
                .command
                .as_ref()
                .map(|command| command.command_id)
                .unwrap_or_default(),
        },
        AppendRefusal::Final => AppendError::StreamFinal { stream, version },
        AppendRefusal::Conflict => AppendError::VersionConflict {
            stream,
            expected: part.expected.version().unwrap_or_default(),
            current: version,
        },
        AppendRefusal::WrongPreviousId => AppendError::WrongPreviousId {
            stream,
            current: found.id,
        },
        AppendRefusal::Unregistered => {
            let event = part.events.iter().find(|event| event.event_id == event_id);
            AppendError::EventUnregistered {
                decider: stream.decider().clone(),
                event: event.map(|event| event.event.clone()).unwrap_or_default(),
                schema_version: event.map(|event| event.schema_version).unwrap_or_default(),
            }
        }
        AppendRefusal::DuplicateEvent => AppendError::DuplicateEventId { event_id },
    }
}

fn appended(
    part: &StreamAppend,
    found: &PartOutcome,
    positions: &mut impl Iterator<Item = Position>,
) -> Appended {
    let (mut version, mut previous_id) = (found.version, found.previous_id);
    let events = part.events.iter().zip(positions).map(|(event, position)| {
        version = version.next();
        RecordedEvent {
            stream: part.stream.clone(),
            version,
            position,
            previous_id: previous_id.replace(event.event_id),
            created_at: found.created_at,
            event: event.clone(),
        }
    });
    let events = events.collect();
    Appended { version, events }
}
