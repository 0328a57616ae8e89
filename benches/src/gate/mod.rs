//! `gate`: the speed of rehearsals on stored events, and their cost for commands meanwhile.

mod deploy;
mod live;
mod long_history;
mod rehearsal;

use anyhow::Result;

use crate::lab::{self, Backend, Installation, Lab, variant};
use crate::parts::run_parts;
use crate::report::Report;

/// Runs the parts that were asked for.
///
/// # Errors
///
/// When a host cannot be started or prepared, or a rehearsal does not pass.
pub async fn run(lab: &Lab) -> Result<Report> {
    let mut report = Report::new("gate");
    lab::describe(lab, &mut report).await?;
    run_parts! { lab, report;
        "rehearsal": rehearsal::of_many_streams,
        "long-history": long_history::of_long_streams,
        "live": live::commands_beside_rehearsals,
        "deploy": deploy::with_and_without_a_rehearsal,
    }
    Ok(report)
}

/// The decider whose modules are rehearsed.
const DECIDER: &str = "deciders/account";
/// Events of a stream that commands have made, about.
const STREAM: u64 = 10;

/// A host on which accounts were opened and used by commands.
#[derive(Debug)]
struct Past {
    host: Installation,
    accounts: u64,
    /// Stored events, each of which follows from a command of its own.
    events: u64,
}

impl Past {
    /// Makes one of the size that was asked for.
    ///
    /// # Errors
    ///
    /// When the host does not start or refuses a command.
    async fn make(lab: &Lab, backend: Backend) -> Result<Self> {
        let events = lab.options.gate_events.unwrap_or(lab.pick(200_000, 10_000));
        // Accounts are opened by the hundred.
        let accounts = (events / STREAM).next_multiple_of(100);
        let host = Installation::with_accounts(lab, backend, 0).await?;
        let events = host.make_log(accounts, STREAM).await?;
        Ok(Self {
            host,
            accounts,
            events,
        })
    }
}

/// Uploads a module that does what the active one does, and is another one nevertheless. Returns
/// its digest.
async fn candidate(lab: &Lab, host: &Installation, number: u32) -> Result<String> {
    host.upload(variant(&lab.module("account")?, number)).await
}
