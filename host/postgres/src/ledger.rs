//! The ledger: the columns of its table, which no other file names, and look-ups of commands, many
//! in one statement.

use std::collections::BTreeMap;

use async_trait::async_trait;
use gavel_model::{CommandOutcome, CommandRecord, Fingerprint, Json, LedgerMode, Rejection};
use gavel_store::Error;
use gavel_store::toolkit::lookup::{Found, Key, Ledger};
use sqlx::postgres::{PgPool, PgRow};
use sqlx::types::Json as SqlJson;
use time::OffsetDateTime;
use uuid::Uuid;

use super::query::{self, Statement};
use super::rows::{self, Read, column, digest, metadata, stream, time, unreadable, version};

/// Makes of a list of columns the arguments of `gavel_append` that have their names with `c_`
/// before them, in its order. The columns that name the stream come with the part.
macro_rules! arguments {
    ($($name:ident: $type:ty = $value:expr;)*) => {
        /// One list per column, with a row for each part of a batch; all of it is NULL where the
        /// part has no command.
        #[derive(Debug, Default)]
        pub(super) struct Commands<'a> {
            $($name: Vec<Option<$type>>,)*
        }

        impl<'a> Commands<'a> {
            pub(super) const COUNT: usize = [$(stringify!($name)),*].len();

            pub(super) fn push(&mut self, command: Option<&'a CommandRecord>) {
                $(self.$name.push(command.and_then($value));)*
            }

            pub(super) fn bind<'q>(&self, statement: Statement<'q>) -> Statement<'q> {
                statement$(.bind(&self.$name))*
            }
        }
    };
}

arguments! {
    command_id: Uuid = |command| Some(command.command_id);
    command: &'a str = |command| Some(command.command.as_str());
    data: &'a str = |command| command.kept_data().map(Json::as_str);
    fingerprint: &'a [u8] = |command| Some(command.fingerprint.as_bytes());
    now: OffsetDateTime = |command| Some(command.now);
    seed: i64 = |command| Some(command.seed.cast_signed());
    actor: &'a str = |command| command.actor.as_deref();
    metadata: SqlJson<&'a BTreeMap<String, String>> = |command| Some(SqlJson(command.metadata.entries()));
    version: i64 = |command| Some(command.version.to_sql());
    module: String = |command| Some(command.module.to_string());
    outcome: &'a str = |command| Some(rejection(command).map_or("accepted", |_| "rejected"));
    events: i64 = |command| Some(events(command));
    rejection_code: &'a str = |command| rejection(command).map(|rejection| rejection.code.as_str());
    rejection_message: &'a str = |command| rejection(command).map(|rejection| rejection.message.as_str());
    rejection_data: &'a str = |command| rejection(command)?.data.as_ref().map(Json::as_str);
    fuel: i64 = |command| Some(command.fuel.cast_signed());
}

fn events(command: &CommandRecord) -> i64 {
    match &command.outcome {
        CommandOutcome::Accepted { events } => i64::from(*events),
        CommandOutcome::Rejected(_) => 0,
    }
}

fn rejection(command: &CommandRecord) -> Option<&Rejection> {
    match &command.outcome {
        CommandOutcome::Accepted { .. } => None,
        CommandOutcome::Rejected(rejection) => Some(rejection),
    }
}

/// The columns that [`read`] reads.
macro_rules! ledger_columns {
    () => {
        "command_id, namespace, decider, decider_id, command, data::TEXT AS data_text, fingerprint, now, seed, actor, metadata, version, \
         module, fuel, outcome, events, rejection_code, rejection_message, rejection_data::TEXT AS rejection_data_text"
    };
}
pub(super) use ledger_columns;

/// A command, from a row with the columns of `ledger_columns!`.
pub(super) fn read(row: &PgRow) -> Read<CommandRecord> {
    let outcome = match column(row, "outcome")? {
        "accepted" => CommandOutcome::Accepted {
            events: column::<i64>(row, "events")?
                .try_into()
                .map_err(unreadable)?,
        },
        "rejected" => {
            let data: Option<String> = column(row, "rejection_data_text")?;
            CommandOutcome::Rejected(Rejection {
                code: column(row, "rejection_code")?,
                message: column(row, "rejection_message")?,
                data: data
                    .map(Json::from_stored)
                    .transpose()
                    .map_err(unreadable)?,
            })
        }
        other => return Err(unreadable(format!("unknown outcome `{other}`"))),
    };
    let fingerprint = Fingerprint::from_stored(column(row, "fingerprint")?);
    let data = column::<Option<String>>(row, "data_text")?.map(Json::as_recorded);
    let (ledger, data) = LedgerMode::of_row(data.transpose().map_err(unreadable)?);
    Ok(CommandRecord {
        command_id: column(row, "command_id")?,
        stream: stream(row)?,
        command: column(row, "command")?,
        data,
        ledger,
        fingerprint: fingerprint.ok_or_else(|| unreadable("fingerprint is not 32 bytes"))?,
        now: time(row, "now")?,
        seed: column::<i64>(row, "seed")?.cast_unsigned(),
        actor: column(row, "actor")?,
        metadata: metadata(row)?,
        version: version(row, "version")?,
        module: digest(column(row, "module")?)?,
        outcome,
        fuel: column::<i64>(row, "fuel")?.cast_unsigned(),
    })
}

/// Finds commands, each in one step into the index, whatever the planner thinks of the table: that
/// is why there is a LIMIT. Statements are planned once, when the table may have been small. A
/// command that is not in the ledger, as most are not, gives no row.
const FIND: &str = concat!(
    "SELECT wanted.place, command.* FROM unnest($1::TEXT[], $2::UUID[]) WITH ORDINALITY AS wanted (namespace, command_id, place) \
     CROSS JOIN LATERAL ( \
         SELECT ",
    ledger_columns!(),
    " FROM commands AS c WHERE c.namespace = wanted.namespace AND c.command_id = wanted.command_id LIMIT 1 \
     ) AS command"
);

/// The ledger, by way of the pool.
#[derive(Debug)]
pub(super) struct PostgresLedger(pub(super) PgPool);

#[async_trait]
impl Ledger for PostgresLedger {
    async fn find(&self, wanted: Vec<Key>) -> Result<Vec<Found>, Error> {
        let namespaces: Vec<&str> = wanted
            .iter()
            .map(|(namespace, _)| namespace.as_str())
            .collect();
        let ids: Vec<_> = wanted.iter().map(|(_, id)| *id).collect();
        let rows = query::read(&self.0, || sqlx::query(FIND).bind(&namespaces).bind(&ids)).await?;
        let mut found: Vec<Found> = wanted.iter().map(|_| Ok(None)).collect();
        for row in &rows {
            let place = rows::place(row).map_err(|reason| reason.of("command"))?;
            if let Some(found) = found.get_mut(place) {
                *found = read(row).map(Some).map_err(|reason| reason.of("command"));
            }
        }
        Ok(found)
    }
}
