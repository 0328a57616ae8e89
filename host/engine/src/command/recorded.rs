//! Answers that the ledger has already, and refusals that are checked against the ledger first.

use futures::future::join_all;
use gavel_model::{CommandOutcome, CommandRecord};
use gavel_store::{Direction, StreamRange};

use super::decision::fingerprint;
use super::execute::{is_outage, outcome_unknown};
use super::given_up::is_beside_rejection;
use super::{BatchError, CommandAnswer, CommandOptions, CommandRequest, Commands, Error, Origin};

impl Commands {
    /// Refuses commands because of the head of their stream, unless these very commands have moved
    /// it: another host may have carried them out since the ledger was asked.
    pub(super) async fn unless_recorded(
        &self,
        requests: &[CommandRequest],
        options: CommandOptions,
        refusal: BatchError,
    ) -> Result<Vec<CommandAnswer>, BatchError> {
        let recorded = self.recorded(requests, options, true).await?;
        recorded.ok_or(refusal)
    }

    /// Refuses commands of which an append is in doubt, once it is certain that nothing of them is
    /// stored later. A reason to refuse may itself be the trace of an earlier turn that was stored
    /// after all, or will be; then the recorded outcome is the answer.
    pub(super) async fn refuse_in_doubt(
        &self,
        requests: &[CommandRequest],
        origin: &Origin,
        options: CommandOptions,
        reason: BatchError,
    ) -> Result<Vec<CommandAnswer>, BatchError> {
        let unknown = || Err(outcome_unknown(requests));
        match self.recorded(requests, options, false).await {
            Ok(Some(answers)) => return Ok(answers),
            Ok(None) if is_outage(&reason.error) => return unknown(),
            Ok(None) => {}
            Err(again) if is_outage(&again.error) => return unknown(),
            Err(recorded) => return Err(recorded),
        }
        match self.give_up(requests, origin).await {
            Ok(true) => Err(reason),
            Ok(false) | Err(_) => unknown(),
        }
    }

    /// Gives the outcomes of commands that the ledger has already; none when it has none of them.
    pub(super) async fn recorded(
        &self,
        requests: &[CommandRequest],
        options: CommandOptions,
        replayed: bool,
    ) -> Result<Option<Vec<CommandAnswer>>, BatchError> {
        let with_ids = requests.iter().enumerate();
        let with_ids = with_ids.filter_map(|(index, request)| {
            let command_id = request.command_id?;
            Some((index, request, command_id))
        });
        let looking_up = with_ids.clone().map(|(_, request, command_id)| {
            let namespace = request.stream.namespace();
            self.0.store.command(namespace, command_id)
        });
        let found = join_all(looking_up).await;
        let mut records: Vec<CommandRecord> = Vec::new();
        for ((index, request, command_id), found) in with_ids.zip(found) {
            let failed = |error| BatchError::new(index, error);
            match found.map_err(Error::Store).map_err(failed)? {
                // A batch is recorded as a whole: a part of it under the same ids is another batch.
                None if records.is_empty() => {}
                Some(record)
                    if records.len() == index && record.fingerprint == fingerprint(request) =>
                {
                    records.push(record);
                }
                None | Some(_) => return Err(failed(Error::KeyReused { command_id })),
            }
        }
        let is_whole = records.is_empty() || !records.iter().all(is_beside_rejection);
        if let (false, Some(record)) = (is_whole, records.first()) {
            // The command that was rejected is not among them: it was another batch.
            let command_id = record.command_id;
            return Err(BatchError::new(0, Error::KeyReused { command_id }));
        }
        let mut answers = Vec::with_capacity(records.len());
        for (index, record) in records.into_iter().enumerate() {
            if is_beside_rejection(&record) {
                continue;
            }
            // Rare, and large: in a box it is no part of the future of each command.
            let answer = Box::pin(self.replay(record, options, replayed)).await;
            answers.push(answer.map_err(|error| BatchError::new(index, error))?);
        }
        Ok((!answers.is_empty()).then_some(answers))
    }

    /// Gives the first outcome of a command once more. The module is not asked again.
    async fn replay(
        &self,
        record: CommandRecord,
        options: CommandOptions,
        replayed: bool,
    ) -> Result<CommandAnswer, Error> {
        let CommandRecord {
            command_id,
            stream,
            version,
            module,
            ..
        } = record;
        let events = match record.outcome {
            CommandOutcome::Rejected(rejection) => {
                return Err(Error::Rejected {
                    rejection,
                    command_id,
                    version,
                    module,
                    replayed,
                });
            }
            CommandOutcome::Accepted { events: 0 } => Vec::new(),
            CommandOutcome::Accepted { events } => {
                let range = StreamRange {
                    after: version,
                    through: None,
                    limit: events,
                    bytes: usize::MAX,
                    direction: Direction::Forward,
                };
                self.0
                    .store
                    .read_stream(&stream, range)
                    .await
                    .map_err(Error::Store)?
            }
        };
        let version = version.plus(events.len());
        let state = if options.return_state {
            let decider = self
                .0
                .modules
                .decider(module)
                .await
                .map_err(Error::Module)?;
            let folded = self.fold(decider, &stream, Some(version)).await?;
            Some(folded.show().await?)
        } else {
            None
        };
        Ok(CommandAnswer {
            command_id,
            stream,
            version,
            replayed,
            module,
            events,
            state,
        })
    }
}
