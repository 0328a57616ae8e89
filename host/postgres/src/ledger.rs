//! The ledger: the columns of its table, which no other file names, and look-ups of commands, many
//! in one statement.

use std::collections::BTreeMap;

use async_trait::async_trait;
use gavel_model::{
    CommandOutcome, CommandRecord, Fingerprint, Json, LedgerMode, Metadata, Rejection,
};
use gavel_store::Error;
use gavel_store::toolkit::lookup::{Found, Key, Ledger};
use sqlx::postgres::{PgPool, PgRow};
use sqlx::types::Json as SqlJson;
use time::OffsetDateTime;
use uuid::Uuid;

use super::places::{Places, index};
use super::query::{self, Statement};
use super::rows::{self, Read, column, digest, metadata, stream, time, unreadable, version};

/// Makes of a list of columns the arguments of `gavel_append` that have their names with `c_`
/// before them, in its order. The columns that name the stream come with the part.
macro_rules! arguments {
    (|$commands:ident, $command:ident| $($name:ident: $type:ty = $value:expr;)*) => {
        /// The commands of a batch: one list per column, and the lists that some of them have
        /// places in.
        #[derive(Debug, Default)]
        pub(super) struct Commands<'a> {
            part: Vec<i32>,
            $($name: Vec<$type>,)*
            names: Places<&'a str>,
            rejections: Rejections<'a>,
        }

        impl<'a> Commands<'a> {
            /// The number of arguments.
            pub(super) const COUNT: usize = 5 + [$(stringify!($name)),*].len();

            /// Adds the command of the part at this place.
            pub(super) fn push(&mut self, part: i32, $command: &'a CommandRecord) {
                let $commands = self;
                $commands.part.push(part);
                $(let $name = $value; $commands.$name.push($name);)*
            }

            pub(super) fn bind<'q>(&self, statement: Statement<'q>) -> Statement<'q> {
                let rejections = &self.rejections;
                let statement = statement
                    .bind(self.names.list())
                    .bind(&rejections.code)
                    .bind(&rejections.message)
                    .bind(&rejections.data)
                    .bind(&self.part);
                statement$(.bind(&self.$name))*
            }
        }
    };
}

arguments! { |commands, command|
    command_id: Uuid = command.command_id;
    name: i32 = commands.names.of(command.command.as_str());
    data: Option<&'a str> = command.kept_data().map(Json::as_str);
    fingerprint: &'a [u8] = command.fingerprint.as_bytes();
    now: OffsetDateTime = command.now;
    seed: i64 = command.seed.cast_signed();
    actor: Option<&'a str> = command.actor.as_deref();
    metadata: Option<SqlJson<&'a BTreeMap<String, String>>> = entries(&command.metadata);
    version: i64 = command.version.to_sql();
    events: i64 = events(command);
    rejection: i32 = commands.rejections.push(rejection(command));
    fuel: i64 = command.fuel.cast_signed();
}

/// The rejections of a batch, few as a rule.
#[derive(Debug, Default)]
struct Rejections<'a> {
    code: Vec<&'a str>,
    message: Vec<&'a str>,
    data: Vec<Option<&'a str>>,
}

impl<'a> Rejections<'a> {
    /// Adds a rejection, and returns its place; 0 for none.
    fn push(&mut self, rejection: Option<&'a Rejection>) -> i32 {
        let Some(rejection) = rejection else { return 0 };
        self.code.push(&rejection.code);
        self.message.push(&rejection.message);
        self.data.push(rejection.data.as_ref().map(Json::as_str));
        index(self.code.len())
    }
}

/// Metadata as an argument: none instead of no entries.
pub(super) fn entries(metadata: &Metadata) -> Option<SqlJson<&BTreeMap<String, String>>> {
    let entries = metadata.entries();
    (!entries.is_empty()).then_some(SqlJson(entries))
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

/// The columns that [`read`] reads, of the table by its name.
macro_rules! ledger_columns {
    () => {
        "command_id, namespace, decider, decider_id, command, data::TEXT AS data_text, fingerprint, now, seed, actor, metadata, version, \
         coalesce(module, (SELECT a.digest FROM activations AS a WHERE a.namespace = commands.namespace AND a.kind = 'decider' \
             AND a.name = commands.decider AND a.number = commands.activation)) AS module, \
         fuel, outcome, events, rejection_code, rejection_message, rejection_data::TEXT AS rejection_data_text"
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
    " FROM commands WHERE commands.namespace = wanted.namespace AND commands.command_id = wanted.command_id LIMIT 1 \
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
