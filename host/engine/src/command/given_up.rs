//! Commands that are never carried out: rows of the ledger that keep refused commands from being
//! stored later.
//!
//! Two kinds of commands get such rows: the other commands of an atomic batch in which one was
//! rejected, and commands that are refused while an append of theirs is in doubt. The row has the
//! command's id, so that the append in doubt fails by it; no module has decided the row, so that
//! nobody decides it again.

use gavel_model::{
    CommandOutcome, CommandRecord, ExpectedVersion, Json, LedgerMode, ModuleDigest, Rejection,
    Version, new_id,
};
use gavel_store::{Append, StreamAppend};
use time::OffsetDateTime;

use super::decision::fingerprint;
use super::{CommandRequest, Commands, Error, Origin};

/// The code of the rows of the other commands in an atomic batch of which one was rejected.
const BATCH_REJECTED: &str = "batch-rejected";
/// Code of the row of a command that was refused while its outcome was in doubt.
const GIVEN_UP: &str = "given-up";

/// A reason for which a command is never carried out.
#[derive(Debug, Clone, Copy)]
pub(super) enum GivenUpReason {
    /// The command at this place of its atomic batch was rejected.
    BatchRejected(usize),
    /// The command was refused while its outcome was in doubt.
    Doubt,
}

impl GivenUpReason {
    fn rejection(self) -> Rejection {
        let (code, message) = match self {
            Self::BatchRejected(index) => (
                BATCH_REJECTED,
                format!("the command at place {index} of the same atomic batch was rejected"),
            ),
            Self::Doubt => (
                GIVEN_UP,
                "the command was refused before and is not carried out under this id any more"
                    .to_owned(),
            ),
        };
        Rejection {
            code: code.to_owned(),
            message,
            data: None,
        }
    }
}

/// Tells whether the row belongs to a command of an atomic batch in which another command was
/// rejected.
pub(super) fn is_beside_rejection(record: &CommandRecord) -> bool {
    !record.is_decided()
        && matches!(&record.outcome, CommandOutcome::Rejected(rejection) if rejection.code == BATCH_REJECTED)
}

/// Makes the part of an append that keeps the id of `request` from being used; `module` is the
/// one that would have decided.
pub(super) fn never(
    request: &CommandRequest,
    module: ModuleDigest,
    origin: &Origin,
    reason: GivenUpReason,
    now: OffsetDateTime,
) -> StreamAppend {
    StreamAppend {
        stream: request.stream.clone(),
        expected: ExpectedVersion::Any,
        expected_previous_id: None,
        events: Vec::new(),
        command: Some(CommandRecord {
            command_id: request.command_id.unwrap_or_else(new_id),
            stream: request.stream.clone(),
            command: request.command.clone(),
            data: Json::null(),
            ledger: LedgerMode::Keys,
            fingerprint: fingerprint(request),
            now,
            seed: 0,
            actor: origin.actor.clone(),
            metadata: request.metadata.clone(),
            version: Version::EMPTY,
            module,
            outcome: CommandOutcome::Rejected(reason.rejection()),
            fuel: 0,
        }),
        fence: None,
    }
}

impl Commands {
    /// Makes sure that nothing of the commands is stored later, whatever becomes of an append in
    /// doubt.
    ///
    /// False when the ledger has one of them by now, or when it cannot be made sure.
    pub(super) async fn give_up(
        &self,
        requests: &[CommandRequest],
        origin: &Origin,
    ) -> Result<bool, Error> {
        let mut parts = Vec::with_capacity(requests.len());
        for request in requests {
            let stream = &request.stream;
            let active = self
                .0
                .modules
                .known_active(stream.namespace(), stream.decider())
                .await
                .map_err(Error::Module)?;
            let Some(active) = active else {
                return Ok(false);
            };
            let module = active.decider.digest();
            let (reason, now) = (GivenUpReason::Doubt, self.0.clock.now());
            parts.push(never(request, module, origin, reason, now));
        }
        Ok(self.0.store.append(Append { parts }).await.is_ok())
    }
}
