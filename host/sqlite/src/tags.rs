//! The tag index.

use std::collections::BTreeSet;
use std::convert::identity;

use async_trait::async_trait;
use gavel_model::{Namespace, Position};
use gavel_store::toolkit::writes::{CarryOut, GuardTags, IndexHistory};
use gavel_store::{Error, EventKind, HistoryIndex, TagIndex};
use rusqlite::{Connection, Row, params};
use time::OffsetDateTime;

use super::SqliteStore;
use super::error::SqliteError;
use super::generations::Generations;
use super::rows;
use super::tables::Tables;

const GUARD: &str = r#"
INSERT INTO tag_guards (namespace, decider, event, through)
VALUES (?1, ?2, ?3, (SELECT coalesce(max("offset"), 0) FROM events))
ON CONFLICT (namespace, decider, event) DO NOTHING"#;

/// Indexes events of guarded kinds, whoever inserts them. Made with the first guard, in its
/// transaction: a file without guards has no such trigger.
const INDEX_WHAT_IS_INSERTED: &str = r#"
CREATE TRIGGER IF NOT EXISTS events_are_found_by_tags AFTER INSERT ON events
WHEN EXISTS (SELECT 1 FROM tag_guards WHERE namespace = NEW.namespace AND decider = NEW.decider AND event = NEW.event)
BEGIN
    INSERT INTO event_tags (namespace, tag, "offset", decider, event)
    SELECT DISTINCT NEW.namespace, tag.value, NEW."offset", NEW.decider, NEW.event FROM json_each(NEW.tags) AS tag WHERE tag.type = 'text';
END"#;

/// Selects the kinds among `?2` that have a guard, and whether each is complete.
const GUARDED: &str = "
SELECT indexed >= through FROM tag_guards
WHERE namespace = ?1 AND (decider, event) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?2))";

/// Selects the offsets between which history is not indexed completely, if there is any.
const MISSING: &str = "
SELECT min(indexed), max(through) FROM tag_guards WHERE namespace = ?1 AND indexed < through HAVING count(*) > 0";

/// Selects the last offset of the next `?4` events.
const PIECE: &str = r#"
SELECT "offset" FROM events INDEXED BY events_namespace WHERE namespace = ?1 AND "offset" > ?2 AND "offset" <= ?3
ORDER BY "offset" LIMIT 1 OFFSET ?4 - 1"#;

const INDEX: &str = r#"
INSERT INTO event_tags (namespace, tag, "offset", decider, event)
SELECT DISTINCT e.namespace, tag.value, e."offset", e.decider, e.event
FROM events AS e INDEXED BY events_namespace
JOIN tag_guards AS g ON g.namespace = e.namespace AND g.decider = e.decider AND g.event = e.event
JOIN json_each(e.tags) AS tag ON tag.type = 'text'
WHERE e.namespace = ?1 AND e."offset" > ?2 AND e."offset" <= ?3 AND g.indexed < g.through
ON CONFLICT (namespace, tag, "offset") DO NOTHING"#;

const INDEXED: &str = "
UPDATE tag_guards SET indexed = max(indexed, min(through, ?2)) WHERE namespace = ?1 AND indexed < through";

const PLACES: &str = r#"
SELECT "offset" FROM event_tags WHERE namespace = ?1 AND tag = ?3 AND "offset" > ?4 AND "offset" <= ?5
    AND (decider, event) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?2))
ORDER BY "offset" LIMIT ?6"#;

#[async_trait]
impl TagIndex for SqliteStore {
    async fn guard_tags(
        &self,
        namespace: &Namespace,
        kinds: &BTreeSet<EventKind>,
    ) -> Result<(), Error> {
        let (namespace, kinds) = (namespace.clone(), kinds.clone());
        let (wanted, texts) = (kinds.len(), texts(&kinds));
        let name = namespace.to_string();
        let found = self
            .readers
            .read(move |database| rows::all(database, GUARDED, params![name, texts], |_| Ok(())));
        if found.await?.len() == wanted {
            return Ok(());
        }
        let guarded = self.writer.carry_out(GuardTags { namespace, kinds });
        guarded.await.map_err(|error| error.into_error(identity))
    }

    async fn index_history(
        &self,
        namespace: &Namespace,
        limit: u32,
    ) -> Result<HistoryIndex, Error> {
        let name = namespace.clone();
        let missing = self.readers.read(move |database| missing(database, &name));
        if missing.await?.is_none() {
            return Ok(HistoryIndex::Complete);
        }
        let namespace = namespace.clone();
        let indexed = self.writer.carry_out(IndexHistory { namespace, limit });
        indexed.await.map_err(|error| error.into_error(identity))
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
        let (wanted, kinds) = (kinds.len(), texts(kinds));
        let (namespace, tag) = (namespace.to_string(), tag.to_owned());
        let found = self.readers.read(move |database| {
            let is_complete = |row: &Row<'_>| Ok(row.get::<_, bool>(0)?);
            let guards = rows::all(database, GUARDED, params![namespace, kinds], is_complete)?;
            if guards.len() < wanted || guards.contains(&false) {
                return Ok(None);
            }
            let generations = Generations::of(database);
            let (after, through) = (generations.offset(after)?, generations.offset(through)?);
            let values = params![namespace, kinds, tag, after, through, limit];
            let place = |row: &Row<'_>| generations.position(row.get(0)?);
            rows::all(database, PLACES, values, place).map(Some)
        });
        found.await
    }
}

impl CarryOut<GuardTags> for Tables<'_> {
    fn carry_out(&mut self, change: GuardTags, _: OffsetDateTime) -> Result<(), Error> {
        let namespace = change.namespace.as_str();
        for EventKind { decider, event } in &change.kinds {
            self.run(GUARD, params![namespace, decider, event])?;
        }
        self.run(INDEX_WHAT_IS_INSERTED, [])?;
        Ok(())
    }
}

impl CarryOut<IndexHistory> for Tables<'_> {
    fn carry_out(
        &mut self,
        change: IndexHistory,
        _: OffsetDateTime,
    ) -> Result<HistoryIndex, Error> {
        let namespace = &change.namespace;
        let Some((after, last)) = missing(self.database, namespace)? else {
            return Ok(HistoryIndex::Complete);
        };
        let values = params![namespace.as_str(), after, last, change.limit.max(1)];
        let through = rows::one(self.database, PIECE, values, |row| Ok(row.get(0)?))?;
        let through: i64 = through.unwrap_or(last);
        self.run(INDEX, params![namespace.as_str(), after, through])?;
        self.run(INDEXED, params![namespace.as_str(), through])?;
        Ok(match missing(self.database, namespace)? {
            None => HistoryIndex::Complete,
            Some(_) => HistoryIndex::Incomplete,
        })
    }
}

fn missing(
    database: &Connection,
    namespace: &Namespace,
) -> Result<Option<(i64, i64)>, SqliteError> {
    rows::one(database, MISSING, [namespace.as_str()], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })
}

/// Kinds as a JSON array of pairs.
fn texts(kinds: &BTreeSet<EventKind>) -> String {
    let pairs = kinds.iter().map(|kind| [&kind.decider, &kind.event]);
    rows::json_text(&pairs.collect::<Vec<_>>())
}
