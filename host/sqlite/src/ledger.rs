//! The ledger: the columns of its table, which no other file names, and look-ups of commands.

use async_trait::async_trait;
use gavel_model::{CommandOutcome, CommandRecord, Fingerprint, Json, LedgerMode, Rejection};
use gavel_store::Error;
use gavel_store::toolkit::lookup::{Found, Key, Ledger};
use rusqlite::{Connection, Row, params};

use super::cells::{Cells, Reason, reason};
use super::error::SqliteError;
use super::readers::Readers;
use super::rows;

/// The columns, in the order in which [`insert_in_tx`] writes and [`read`] reads them.
macro_rules! ledger_columns {
    () => {
        "command_id, namespace, decider, decider_id, command, data, fingerprint, now, seed, actor, metadata, version, module, fuel, \
         outcome, events, rejection_code, rejection_message, rejection_data"
    };
}
pub(super) use ledger_columns;

const INSERT: &str = concat!(
    "INSERT INTO commands (",
    ledger_columns!(),
    ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)"
);

pub(super) const FIND: &str = concat!(
    "SELECT ",
    ledger_columns!(),
    " FROM commands WHERE namespace = ?1 AND command_id = ?2"
);

pub(super) fn insert_in_tx(tx: &Connection, commands: &[CommandRecord]) -> rusqlite::Result<()> {
    let mut insert = tx.prepare_cached(INSERT)?;
    for command in commands {
        let stream = &command.stream;
        let (outcome, events, rejection) = match &command.outcome {
            CommandOutcome::Accepted { events } => ("accepted", *events, None),
            CommandOutcome::Rejected(rejection) => ("rejected", 0, Some(rejection)),
        };
        let rejection_data = rejection.and_then(|rejection| rejection.data.as_ref());
        insert.execute(params![
            command.command_id.as_bytes(),
            stream.namespace().as_str(),
            stream.decider().as_str(),
            stream.id(),
            command.command.as_str(),
            command.kept_data().map(Json::as_str),
            command.fingerprint.as_bytes(),
            rows::milliseconds(command.now),
            command.seed.cast_signed(),
            command.actor,
            rows::json_text(command.metadata.entries()),
            command.version.to_sql(),
            command.module.to_string(),
            command.fuel.cast_signed(),
            outcome,
            events,
            rejection.map(|rejection| rejection.code.as_str()),
            rejection.map(|rejection| rejection.message.as_str()),
            rejection_data.map(Json::as_str),
        ])?;
    }
    Ok(())
}

/// A command, from a row with the columns of `ledger_columns!`.
pub(super) fn read(row: &Row<'_>) -> Result<CommandRecord, SqliteError> {
    read_command(&mut Cells::of(row)).map_err(rows::corrupt("command"))
}

fn read_command(cells: &mut Cells<'_>) -> Result<CommandRecord, Reason> {
    let (command_id, stream) = (cells.take_id()?, cells.take_stream()?);
    let command = cells.take()?;
    let data = cells.take::<Option<String>>()?.map(Json::as_recorded);
    let (ledger, data) = LedgerMode::of_row(data.transpose().map_err(reason)?);
    Ok(CommandRecord {
        command_id,
        stream,
        command,
        data,
        ledger,
        fingerprint: Fingerprint::from_stored(&cells.take::<Vec<u8>>()?)
            .ok_or_else(|| "a fingerprint has not 32 bytes".to_owned())?,
        now: cells.take_time()?,
        seed: cells.take::<i64>()?.cast_unsigned(),
        actor: cells.take()?,
        metadata: cells.take_metadata()?,
        version: cells.take_version()?,
        module: cells.take_digest()?,
        fuel: cells.take::<i64>()?.cast_unsigned(),
        outcome: read_outcome(cells)?,
    })
}

/// Takes all columns of an outcome, whichever it is: others may follow.
fn read_outcome(cells: &mut Cells<'_>) -> Result<CommandOutcome, Reason> {
    let (outcome, events) = (cells.take_text()?, cells.take_u32()?);
    let (code, message) = (cells.take()?, cells.take()?);
    let data = cells.take::<Option<String>>()?.map(Json::from_stored);
    match (outcome, code, message) {
        ("accepted", None, None) => Ok(CommandOutcome::Accepted { events }),
        ("rejected", Some(code), Some(message)) => Ok(CommandOutcome::Rejected(Rejection {
            code,
            message,
            data: data.transpose().map_err(reason)?,
        })),
        (unknown, ..) => Err(format!("`{unknown}` is no outcome, or not a whole one")),
    }
}

#[async_trait]
impl Ledger for Readers {
    async fn find(&self, wanted: Vec<Key>) -> Result<Vec<Found>, Error> {
        self.read(move |database| {
            let found = wanted.iter().map(|(namespace, command_id)| {
                let values = params![namespace.as_str(), command_id.as_bytes()];
                Ok(rows::one(database, FIND, values, read)?)
            });
            Ok(found.collect())
        })
        .await
    }
}
