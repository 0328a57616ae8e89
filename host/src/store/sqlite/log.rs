//! Reading the log of a namespace.

use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqlitePool};

use super::error::failed;
use super::rows::{self, log_columns};
use crate::core::{Namespace, Position};
use crate::store::{Error, LogFilter, LogPage};

/// Most rows that are fetched at once.
const CHUNK: u32 = 500;

/// Within a namespace the rowid ascends; hides the other index that begins with it, by which the log would have to be sorted.
const NEWEST: &str = r#"
SELECT "offset" FROM events INDEXED BY events_namespace
WHERE namespace = ?1 ORDER BY "offset" DESC LIMIT 1"#;

/// A page as of the newest event at its start.
///
/// Offsets are given under the write lock and so become visible in their order: what has an offset up to the newest is all there, in the
/// statements after as well, and nothing will be added to it. A malformed event ends the page before it, and fails the one that begins with it.
pub(super) async fn page(
    readers: &SqlitePool,
    namespace: &Namespace,
    after: Position,
    filter: &LogFilter,
    limit: u32,
) -> Result<LogPage, Error> {
    let newest: Option<i64> = sqlx::query_scalar(NEWEST)
        .bind(namespace.as_str())
        .fetch_optional(readers)
        .await
        .map_err(failed)?;
    let newest = newest.unwrap_or_default();
    let mut looked_at = rows::offset(after);
    let mut page = LogPage {
        events: Vec::new(),
        next: after,
        caught_up: false,
    };
    // Patterns are matched here, not by SQLite, which knows none that stops at a dot.
    let chunk = match filter.id_pattern {
        Some(_) => CHUNK,
        None => limit.saturating_add(1).min(CHUNK),
    };
    while looked_at < newest {
        let rows = fetch(readers, namespace, looked_at..newest, filter, chunk).await?;
        for row in &rows {
            if !filter.passes_id(row.try_get("decider_id").map_err(failed)?) {
                continue;
            }
            if u32::try_from(page.events.len()).is_ok_and(|count| count >= limit) {
                return Ok(page);
            }
            match rows::event_of_log(row) {
                Ok(event) => {
                    page.next = event.position;
                    page.events.push(event);
                }
                Err(_) if !page.events.is_empty() => return Ok(page),
                Err(error) => return Err(error),
            }
        }
        looked_at = match rows.last() {
            Some(last) if rows.len() >= chunk as usize => last.try_get("offset").map_err(failed)?,
            _ => newest,
        };
    }
    page.next = after.max(rows::position(newest));
    page.caught_up = true;
    Ok(page)
}

/// The first `limit` rows whose offset is after the start of the range, up to and with its end, without regard to the pattern.
async fn fetch(
    readers: &SqlitePool,
    namespace: &Namespace,
    offsets: std::ops::Range<i64>,
    filter: &LogFilter,
    limit: u32,
) -> Result<Vec<SqliteRow>, Error> {
    let mut select = QueryBuilder::<Sqlite>::new(concat!(
        "SELECT ",
        log_columns!(),
        " FROM events INDEXED BY events_namespace WHERE namespace = "
    ));
    select
        .push_bind(namespace.as_str())
        .push(r#" AND "offset" > "#)
        .push_bind(offsets.start)
        .push(r#" AND "offset" <= "#)
        .push_bind(offsets.end);
    for (column, wanted) in [("decider", &filter.deciders), ("event", &filter.events)] {
        if !wanted.is_empty() {
            select
                .push(format_args!(
                    " AND {column} IN (SELECT value FROM json_each("
                ))
                .push_bind(rows::json_text(wanted))
                .push("))");
        }
    }
    select.push(r#" ORDER BY "offset" LIMIT "#).push_bind(limit);
    select.build().fetch_all(readers).await.map_err(failed)
}
