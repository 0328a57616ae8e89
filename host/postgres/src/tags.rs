//! The tag index, which `migrations/postgres/0038_tag_index.sql` keeps for every writer.

use std::collections::BTreeSet;

use async_trait::async_trait;
use gavel_model::{Namespace, Position};
use gavel_store::{Error, EventKind, HistoryIndex, TagIndex};
use sqlx::postgres::PgRow;

use super::PostgresStore;
use super::consumers::bind_position;
use super::query::{Statement, run};
use super::rows;

const GUARD: &str = "SELECT gavel_guard_tags($1, $2, $3)";

const INDEX: &str = "SELECT is_complete, is_waiting FROM gavel_index_history($1, $2)";

/// Selects the number of kinds that have a complete guard, and the places of a tag. A row without a
/// place stands for none. `OFFSET 0` makes the guards be looked at once.
const PLACES: &str = "SELECT state.complete, place.* \
     FROM ( \
         SELECT count(*) AS complete, array_agg(g.kind) AS kinds \
         FROM unnest($2::TEXT[], $3::TEXT[]) AS wanted (decider, event) \
         JOIN tag_guards AS g ON g.namespace = $1 AND g.decider = wanted.decider AND g.event = wanted.event \
         WHERE g.indexed >= g.through \
         OFFSET 0 \
     ) AS state \
     LEFT JOIN LATERAL ( \
         SELECT t.generation, t.transaction_id::TEXT AS transaction_text, t.\"offset\" FROM event_tags AS t \
         WHERE state.complete = cardinality($2::TEXT[]) \
           AND t.tag = gavel_tag_hash($1, $4) AND t.kind = ANY (state.kinds) \
           AND (t.generation, t.transaction_id, t.\"offset\") > ($5, $6::TEXT::XID8, $7) \
           AND (t.generation, t.transaction_id, t.\"offset\") <= ($8, $9::TEXT::XID8, $10) \
         ORDER BY t.generation, t.transaction_id, t.\"offset\" LIMIT $11 \
     ) AS place ON TRUE";

/// Binds a namespace and kinds of its events.
fn of_kinds<'q>(
    sql: &'static str,
    namespace: &Namespace,
    kinds: &BTreeSet<EventKind>,
) -> Statement<'q> {
    let names = |of: fn(&EventKind) -> &String| kinds.iter().map(of).cloned().collect::<Vec<_>>();
    sqlx::query(sql)
        .bind(namespace.as_str().to_owned())
        .bind(names(|kind| &kind.decider))
        .bind(names(|kind| &kind.event))
}

#[async_trait]
impl TagIndex for PostgresStore {
    async fn guard_tags(
        &self,
        namespace: &Namespace,
        kinds: &BTreeSet<EventKind>,
    ) -> Result<(), Error> {
        run(&self.pool, of_kinds(GUARD, namespace, kinds)).await?;
        Ok(())
    }

    async fn index_history(
        &self,
        namespace: &Namespace,
        limit: u32,
    ) -> Result<HistoryIndex, Error> {
        let statement = sqlx::query(INDEX)
            .bind(namespace.as_str())
            .bind(i64::from(limit.max(1)));
        let found = run(&self.pool, statement).await?;
        let state = |row: &PgRow| {
            let is_complete = rows::column(row, "is_complete")?;
            let is_waiting = rows::column(row, "is_waiting")?;
            Ok::<_, rows::Unreadable>(match (is_complete, is_waiting) {
                (true, _) => HistoryIndex::Complete,
                (false, true) => HistoryIndex::Waiting,
                (false, false) => HistoryIndex::Incomplete,
            })
        };
        let state = found.first().map(state).transpose();
        let state = state.map_err(|reason| reason.of("tag guard"))?;
        Ok(state.unwrap_or(HistoryIndex::Incomplete))
    }

    async fn places_of_tag(
        &self,
        namespace: &Namespace,
        kinds: &BTreeSet<EventKind>,
        tag: &str,
        after: Position,
        through: Position,
        limit: u32,
    ) -> Result<Option<Vec<Position>>, Error> {
        let statement = || {
            let statement = of_kinds(PLACES, namespace, kinds).bind(tag.to_owned());
            let statement = bind_position(bind_position(statement, after), through);
            statement.bind(i64::from(limit))
        };
        let found = self.read(statement).await?;
        let read = |found: &[PgRow]| {
            let complete = found.first().map(|row| rows::column(row, "complete"));
            let complete: i64 = complete.transpose()?.unwrap_or_default();
            if usize::try_from(complete).is_ok_and(|complete| complete < kinds.len()) {
                return Ok(None);
            }
            let mut places = Vec::with_capacity(found.len());
            for row in found {
                if let Some(offset) = rows::column(row, "offset")? {
                    places.push(rows::position(row, offset)?);
                }
            }
            Ok::<_, rows::Unreadable>(Some(places))
        };
        read(&found).map_err(|reason| reason.of("place of a tag"))
    }
}
