//! The ledger: the columns of its table, which no other file names, and look-ups of commands.

use async_trait::async_trait;
use gavel_model::{
    CommandOutcome, CommandRecord, Fingerprint, Json, LedgerMode, ModuleDigest, Rejection,
};
use gavel_store::Error;
use gavel_store::toolkit::lookup::{Found, Key, Ledger};
use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, Row, params};

use super::cells::{Cells, Reason, reason};
use super::deciding::DecidingModules;
use super::error::SqliteError;
use super::insert::{Insert, insert};
use super::readers::Readers;
use super::rows;

/// The columns, in the order in which [`insert_in_tx`] writes and [`read`] reads them.
macro_rules! ledger_columns {
    () => {
        "command_id, namespace, decider, decider_id, command, data, fingerprint, now, seed, actor, metadata, version, module, fuel, \
         outcome, events, rejection_code, rejection_message, rejection_data, activation"
    };
}
pub(super) use ledger_columns;

const INSERT: Insert = insert!(
    concat!("INSERT INTO commands (", ledger_columns!(), ")"),
    "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
);

const DIGEST: &str = "
SELECT digest FROM activations
WHERE namespace = ?1 AND kind = 'decider' AND name = ?2 AND number = ?3";

pub(super) const FIND: &str = concat!(
    "SELECT ",
    ledger_columns!(),
    " FROM commands WHERE namespace = ?1 AND command_id = ?2"
);

pub(super) fn insert_in_tx(
    tx: &Connection,
    commands: &[CommandRecord],
    deciders: &DecidingModules,
) -> rusqlite::Result<()> {
    INSERT.run_in_tx(tx, commands, CommandRecord::size_bytes, |command, row| {
        let stream = &command.stream;
        let (outcome, events, rejection) = match &command.outcome {
            CommandOutcome::Accepted { events } => ("accepted", *events, None),
            CommandOutcome::Rejected(rejection) => ("rejected", 0, Some(rejection)),
        };
        let decider = deciders.of(stream);
        let decider = decider.filter(|by| by.digest == command.module);
        let metadata = command.metadata.entries();
        let rejection_data = rejection.and_then(|rejection| rejection.data.as_ref());
        row.set(params![
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
            (!metadata.is_empty()).then(|| rows::json_text(metadata)),
            command.version.to_sql(),
            decider.is_none().then(|| command.module.to_string()),
            command.fuel.cast_signed(),
            outcome,
            events,
            rejection.map(|rejection| rejection.code.as_str()),
            rejection.map(|rejection| rejection.message.as_str()),
            rejection_data.map(Json::as_str),
            decider.map(|by| by.number.get()),
        ])
    })
}

/// A command, from a row with the columns of `ledger_columns!`.
pub(super) fn read(database: &Connection, row: &Row<'_>) -> Result<CommandRecord, SqliteError> {
    let active = digest_of_activation(database, row)?;
    read_command(&mut Cells::of(row), active).map_err(rows::corrupt("command"))
}

/// The module of the activation that the row names, if it names one that is there.
fn digest_of_activation(
    database: &Connection,
    row: &Row<'_>,
) -> Result<Option<ModuleDigest>, SqliteError> {
    let Some(number) = row.get::<_, Option<i64>>("activation")? else {
        return Ok(None);
    };
    let name = |column| row.get_ref(column).map(ToSqlOutput::Borrowed);
    let values = params![name("namespace")?, name("decider")?, number];
    let read = |row: &Row<'_>| {
        let digest = Cells::of(row).take_optional_digest();
        digest.map_err(rows::corrupt("activation"))
    };
    Ok(rows::one(database, DIGEST, values, read)?.flatten())
}

fn read_command(
    cells: &mut Cells<'_>,
    active: Option<ModuleDigest>,
) -> Result<CommandRecord, Reason> {
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
        module: (cells.take_optional_digest()?.or(active))
            .ok_or_else(|| "it names neither a module nor an activation that has one".to_owned())?,
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
                Ok(rows::one(database, FIND, values, |row| {
                    read(database, row)
                })?)
            });
            Ok(found.collect())
        })
        .await
    }
}
