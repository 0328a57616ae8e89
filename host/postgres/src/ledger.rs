//! Looking commands up, many in one statement.

use async_trait::async_trait;
use gavel_store::Error;
use gavel_store::toolkit::lookup::{Found, Key, Ledger};
use sqlx::postgres::PgPool;

use super::query::read;
use super::rows::{self, command_columns};

/// LIMIT keeps it at one step into the index for each, whatever the planner thinks of the table: statements are planned once, when it may
/// have been small. Of commands that are not there, which is most of them, there is no row.
const FIND: &str = concat!(
    "SELECT wanted.place, command.* FROM unnest($1::TEXT[], $2::UUID[]) WITH ORDINALITY AS wanted (namespace, command_id, place) \
     CROSS JOIN LATERAL ( \
         SELECT ",
    command_columns!(),
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
        let rows = read(&self.0, || sqlx::query(FIND).bind(&namespaces).bind(&ids)).await?;
        let mut found: Vec<Found> = wanted.iter().map(|_| Ok(None)).collect();
        for row in &rows {
            let place = rows::place(row).map_err(|reason| reason.of("command"))?;
            if let Some(found) = found.get_mut(place) {
                *found = rows::command(row)
                    .map(Some)
                    .map_err(|reason| reason.of("command"));
            }
        }
        Ok(found)
    }
}
