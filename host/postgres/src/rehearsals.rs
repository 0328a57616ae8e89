//! Rehearsals.

use async_trait::async_trait;
use gavel_model::{ActivationKey, Namespace, RehearsalId};
use gavel_store::{
    Beat, Error, REHEARSALS_KEPT, REHEARSALS_WATCHED, RehearsalRecord, RehearsalStore,
};
use sqlx::postgres::PgRow;
use time::OffsetDateTime;

use super::PostgresStore;
use super::modules::bind_key;
use super::query::run;
use super::rows::{self, rehearsal_columns};

/// Replaces a rehearsal, and forgets old ones. Both parts see the rows of before: a forgotten row
/// makes room for a new one.
const PUT: &str = "WITH forgotten AS ( \
         DELETE FROM rehearsals \
         WHERE namespace = $1 AND kind = $2 AND name = $3 AND is_over AND id <= ( \
                 SELECT id FROM rehearsals WHERE namespace = $1 AND kind = $2 AND name = $3 AND is_over ORDER BY id DESC LIMIT 1 OFFSET $9 \
             ) \
             AND NOT EXISTS (SELECT FROM rehearsals WHERE namespace = $1 AND id = $4) \
     ) \
     INSERT INTO rehearsals AS kept (namespace, kind, name, id, digest, is_over, seen_at, document) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8::TEXT::JSON) \
     ON CONFLICT ON CONSTRAINT rehearsals_pkey DO UPDATE \
         SET kind = excluded.kind, name = excluded.name, digest = excluded.digest, is_over = excluded.is_over, seen_at = excluded.seen_at, \
             document = excluded.document \
         WHERE excluded.is_over >= kept.is_over \
     RETURNING TRUE";

const FIND: &str = concat!(
    "SELECT ",
    rehearsal_columns!(),
    " FROM rehearsals WHERE namespace = $1 AND id = $2"
);

const LIST: &str = concat!(
    "SELECT ",
    rehearsal_columns!(),
    " FROM rehearsals WHERE namespace = $1 AND kind = $2 AND name = $3 ORDER BY id DESC LIMIT $4"
);

const UNFINISHED: &str =
    "SELECT namespace, id, seen_at FROM rehearsals WHERE NOT is_over ORDER BY id LIMIT $1";

const ADOPT: &str = concat!(
    "UPDATE rehearsals SET seen_at = $4 \
     WHERE namespace = $1 AND id = $2 AND NOT is_over AND seen_at = $3 \
     RETURNING ",
    rehearsal_columns!()
);

fn rehearsals(found: &[PgRow]) -> Result<Vec<RehearsalRecord>, Error> {
    let rehearsals: Result<_, _> = found.iter().map(rows::rehearsal).collect();
    rehearsals.map_err(|reason| reason.of("rehearsal"))
}

#[async_trait]
impl RehearsalStore for PostgresStore {
    async fn put_rehearsal(&self, rehearsal: RehearsalRecord) -> Result<bool, Error> {
        let statement = bind_key(sqlx::query(PUT), &rehearsal.key)
            .bind(rehearsal.id)
            .bind(rehearsal.digest.to_string())
            .bind(rehearsal.is_over)
            .bind(rehearsal.seen_at)
            .bind(rehearsal.document.as_str())
            .bind(i64::from(REHEARSALS_KEPT));
        Ok(!run(&self.pool, statement).await?.is_empty())
    }

    async fn rehearsal(
        &self,
        namespace: &Namespace,
        id: RehearsalId,
    ) -> Result<Option<RehearsalRecord>, Error> {
        let statement = || sqlx::query(FIND).bind(namespace.as_str()).bind(id);
        Ok(rehearsals(&self.read(statement).await?)?.pop())
    }

    async fn rehearsals(
        &self,
        key: &ActivationKey,
        limit: u32,
    ) -> Result<Vec<RehearsalRecord>, Error> {
        let statement = || bind_key(sqlx::query(LIST), key).bind(i64::from(limit));
        rehearsals(&self.read(statement).await?)
    }

    async fn unfinished_rehearsals(&self) -> Result<Vec<Beat>, Error> {
        let statement = || sqlx::query(UNFINISHED).bind(i64::from(REHEARSALS_WATCHED));
        let found = self.read(statement).await?;
        let beats: Result<_, _> = found.iter().map(rows::beat).collect();
        beats.map_err(|reason| reason.of("rehearsal"))
    }

    async fn adopt_rehearsal(
        &self,
        last: &Beat,
        now: OffsetDateTime,
    ) -> Result<Option<RehearsalRecord>, Error> {
        let statement = sqlx::query(ADOPT)
            .bind(last.namespace.as_str())
            .bind(last.id)
            .bind(last.seen_at)
            .bind(now);
        Ok(rehearsals(&run(&self.pool, statement).await?)?.pop())
    }
}
