//! Rehearsals in the file.

use std::convert::identity;

use async_trait::async_trait;
use gavel_model::{ActivationKey, Namespace, RehearsalId};
use gavel_store::toolkit::writes::{AdoptRehearsal, CarryOut, PutRehearsal};
use gavel_store::{
    Beat, Error, REHEARSALS_KEPT, REHEARSALS_WATCHED, RehearsalRecord, RehearsalStore,
};
use rusqlite::params;
use time::OffsetDateTime;

use super::SqliteStore;
use super::rows::{self, rehearsal_columns};
use super::tables::Tables;

/// Makes room for a rehearsal of the same key that is new.
const FORGET: &str = "
DELETE FROM rehearsals
WHERE namespace = ?1 AND kind = ?2 AND name = ?3 AND is_over = 1 AND id <= (
        SELECT id FROM rehearsals WHERE namespace = ?1 AND kind = ?2 AND name = ?3 AND is_over = 1 ORDER BY id DESC LIMIT 1 OFFSET ?5
    )
    AND NOT EXISTS (SELECT 1 FROM rehearsals WHERE namespace = ?1 AND id = ?4)";

const PUT: &str = concat!(
    "INSERT INTO rehearsals AS kept (",
    rehearsal_columns!(),
    ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
    ON CONFLICT (namespace, id) DO UPDATE
        SET kind = excluded.kind, name = excluded.name, digest = excluded.digest, is_over = excluded.is_over, seen_at = excluded.seen_at,
            document = excluded.document
        WHERE excluded.is_over >= kept.is_over"
);

const FIND: &str = concat!(
    "SELECT ",
    rehearsal_columns!(),
    " FROM rehearsals WHERE namespace = ?1 AND id = ?2"
);

const LIST: &str = concat!(
    "SELECT ",
    rehearsal_columns!(),
    " FROM rehearsals WHERE namespace = ?1 AND kind = ?2 AND name = ?3 ORDER BY id DESC LIMIT ?4"
);

const UNFINISHED: &str =
    "SELECT namespace, id, seen_at FROM rehearsals WHERE is_over = 0 ORDER BY id LIMIT ?1";

const ADOPT: &str = concat!(
    "UPDATE rehearsals SET seen_at = ?4
    WHERE namespace = ?1 AND id = ?2 AND is_over = 0 AND seen_at = ?3
    RETURNING ",
    rehearsal_columns!()
);

#[async_trait]
impl RehearsalStore for SqliteStore {
    async fn put_rehearsal(&self, rehearsal: RehearsalRecord) -> Result<bool, Error> {
        let written = self.writer.carry_out(PutRehearsal { rehearsal });
        written.await.map_err(|error| error.into_error(identity))
    }

    async fn rehearsal(
        &self,
        namespace: &Namespace,
        id: RehearsalId,
    ) -> Result<Option<RehearsalRecord>, Error> {
        let namespace = namespace.clone();
        let found = self.readers.read(move |database| {
            let values = params![namespace.as_str(), id.as_bytes()];
            rows::one(database, FIND, values, rows::rehearsal)
        });
        found.await
    }

    async fn rehearsals(
        &self,
        key: &ActivationKey,
        limit: u32,
    ) -> Result<Vec<RehearsalRecord>, Error> {
        let key = key.clone();
        let found = self.readers.read(move |database| {
            let [namespace, kind, name] = rows::key(&key);
            let values = params![namespace, kind, name, limit];
            rows::all(database, LIST, values, rows::rehearsal)
        });
        found.await
    }

    async fn unfinished_rehearsals(&self) -> Result<Vec<Beat>, Error> {
        let found = self.readers.read(|database| {
            let values = params![REHEARSALS_WATCHED];
            rows::all(database, UNFINISHED, values, rows::beat)
        });
        found.await
    }

    async fn adopt_rehearsal(
        &self,
        last: &Beat,
        now: OffsetDateTime,
    ) -> Result<Option<RehearsalRecord>, Error> {
        let (last, seen_at) = (last.clone(), now);
        let adopted = self.writer.carry_out(AdoptRehearsal { last, seen_at });
        adopted.await.map_err(|error| error.into_error(identity))
    }
}

impl CarryOut<PutRehearsal> for Tables<'_> {
    fn carry_out(&mut self, change: PutRehearsal, _: OffsetDateTime) -> Result<bool, Error> {
        let rehearsal = change.rehearsal;
        let [namespace, kind, name] = rows::key(&rehearsal.key);
        let id = rehearsal.id.as_bytes();
        let values = params![namespace, kind, name, id, REHEARSALS_KEPT];
        self.run(FORGET, values)?;
        let values = params![
            id,
            namespace,
            kind,
            name,
            rehearsal.digest.to_string(),
            rehearsal.is_over,
            rows::milliseconds(rehearsal.seen_at),
            rehearsal.document.as_str(),
        ];
        Ok(self.run(PUT, values)? == 1)
    }
}

impl CarryOut<AdoptRehearsal> for Tables<'_> {
    fn carry_out(
        &mut self,
        AdoptRehearsal { last, seen_at }: AdoptRehearsal,
        _: OffsetDateTime,
    ) -> Result<Option<RehearsalRecord>, Error> {
        let (namespace, id) = (last.namespace.as_str(), last.id.as_bytes());
        let [last, seen_at] = [last.seen_at, seen_at].map(rows::milliseconds);
        let values = params![namespace, id, last, seen_at];
        Ok(rows::one(self.database, ADOPT, values, rows::rehearsal)?)
    }
}
