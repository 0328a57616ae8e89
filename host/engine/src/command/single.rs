//! One command by itself: stored together with others that arrive for its stream meanwhile.

use super::confirm::Grounds;
use super::decision::PreparedCommand;
use super::stop::Stop;
use super::{CommandAnswer, CommandOptions, CommandRequest, Commands, Origin};

impl Commands {
    /// Decides one command on the hot state of its stream, and stores what it decides.
    pub(super) async fn run_single(
        &self,
        request: &CommandRequest,
        origin: &Origin,
        options: CommandOptions,
    ) -> Result<CommandAnswer, Stop> {
        let stream = &request.stream;
        let active = self.decided_by(stream).await.map_err(Stop::refused)?;
        let ledger = self.0.settings.ledger_of(stream);
        let answer = match PreparedCommand::new(active.clone(), request, origin, ledger) {
            Ok(prepared) => {
                let retries = match options.retry_conflicts {
                    true => self.0.settings.conflict_retries,
                    false => 0,
                };
                let hot = &self.0.hot;
                hot.execute(prepared, options.return_state, retries).await
            }
            Err(error) => Err(Stop::unconfirmed(error, None)),
        };
        let stop = match answer {
            Ok(answer) => return Ok(answer),
            Err(stop) => stop,
        };
        let head = match &stop {
            Stop::Unconfirmed { head, .. } => *head,
            _ => None,
        };
        let heads = head.map(|head| (stream, &active, head));
        let grounds = Grounds {
            modules: vec![&active],
            heads: heads.into_iter().collect(),
        };
        Err(self.resolve(stop, grounds).await)
    }
}
