//! `GET /v1/views/{view}/rows` without an end: rows, and then what becomes of them, as server-sent
//! events.
//!
//! The connection pulls, as it does where the log is followed: the next part is read when the
//! socket has taken the one before.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::response::Response;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream;
use gavel_api::{CaughtUp, DeletedRow, Resync, Row};
use gavel_engine::views::{FeedPart, FeedPlace, FeedResume, FeedStage, RowFeed, RowsVersion};
use gavel_model::ViewId;
use gavel_store::views::TableId;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::error::{Location, Problem, malformed};
use crate::extract::{RowsQuery, read_place, write_place};
use crate::log::follow::{Format, SubscriptionPermit, streamed, write_head, write_line};
use crate::state::AppState;

const SSE: Format = Format::ServerSentEvents;
/// The place in an id of a feed that has sent no row yet: no text of a place.
const FIRST_ROW: &str = "0";

/// The rest of a feed for one reader.
struct RowEvents {
    /// The next part, with the feed that it is of.
    part: BoxFuture<'static, Option<(FeedPart, RowFeed)>>,
    /// The id from which another feed would go on; none before there is anything.
    id: Option<String>,
    keep_alive: Duration,
    drain: CancellationToken,
    _place: SubscriptionPermit,
}

/// Answers with a feed of the rows that a query is about.
pub(super) async fn open(
    state: &AppState,
    view: ViewId,
    query: RowsQuery,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    if let Some(parameter) = query.page {
        let reason = "a feed is of all rows that fulfil the conditions";
        return Err(malformed(Location::parameter(parameter), reason));
    }
    let from = last_event_id(headers)?;
    let place = SubscriptionPermit::take(&state.subscriptions, SSE)?;
    let views = &state.services.views;
    let feed = views.feed(view, query.filters, query.order, from).await?;
    let events = RowEvents {
        part: next_part(feed),
        id: None,
        keep_alive: state.settings.keep_alive,
        drain: state.drain.clone(),
        _place: place,
    };
    Ok(streamed(SSE, stream::unfold(events, RowEvents::next)))
}

fn next_part(mut feed: RowFeed) -> BoxFuture<'static, Option<(FeedPart, RowFeed)>> {
    async move { feed.next().await.map(|part| (part, feed)) }.boxed()
}

impl RowEvents {
    /// The next chunk, as soon as there is one; none at the end.
    async fn next(mut self) -> Option<(Bytes, Self)> {
        let end = Instant::now() + self.keep_alive;
        let mut chunk = Vec::new();
        while chunk.is_empty() {
            // A part that takes long is not begun again for a sign of life.
            let part = tokio::select! {
                biased;
                () = self.drain.cancelled() => return None,
                part = timeout_at(end, &mut self.part) => part,
            };
            match part {
                Ok(part) => {
                    let (part, feed) = part?;
                    self.part = next_part(feed);
                    let after = write_id(&part.after);
                    write_part(&mut chunk, &part, &after);
                    self.id = Some(after);
                }
                Err(_) => match &self.id {
                    Some(id) => SSE.write_keep_alive(&mut chunk, id),
                    None => chunk.extend_from_slice(b":\n\n"),
                },
            }
        }
        Some((chunk.into(), self))
    }
}

/// Writes what a part has to say: nothing, if it only says how far the feed is. Whoever has not
/// taken all of a part is sent the whole of it again.
fn write_part(chunk: &mut Vec<u8>, part: &FeedPart, after: &str) {
    let before = write_id(&part.before);
    if let Some(reason) = part.resync {
        write_head(chunk, &before, Some("resync"));
        write_line(chunk, &Resync::new(reason, part.module));
        chunk.push(b'\n');
    }
    for (place, (key, row)) in (1..).zip(&part.changes) {
        let id = if place == part.changes.len() {
            after
        } else {
            &before
        };
        match row {
            Some(row) => {
                write_head(chunk, id, Some("upsert"));
                write_line(chunk, &Row::new(key, row));
            }
            None => {
                write_head(chunk, id, Some("delete"));
                write_line(chunk, &DeletedRow::from(key));
            }
        }
        chunk.push(b'\n');
    }
    if part.is_caught_up {
        write_head(chunk, after, Some("caught-up"));
        let position = part.after.position.to_string();
        write_line(chunk, &CaughtUp { position });
        chunk.push(b'\n');
    }
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<FeedResume>, Problem> {
    let Some(value) = headers
        .get("last-event-id")
        .filter(|value| !value.is_empty())
    else {
        return Ok(None);
    };
    let place = value.to_str().ok().and_then(read_id);
    let wrong = || malformed(Location::Header("Last-Event-ID"), "it is no id of a feed");
    place.map(Some).ok_or_else(wrong)
}

/// Writes a place in a feed, opaque to clients.
fn write_id(place: &FeedPlace) -> String {
    let FeedPlace {
        version: RowsVersion { table, revision },
        position,
        seen,
        stage,
    } = place;
    let id = format!("{position}.{seen}.{table}.{revision}");
    match stage {
        FeedStage::Changes => id,
        FeedStage::Rows(None) => format!("{id}.{FIRST_ROW}"),
        FeedStage::Rows(Some(row)) => format!("{id}.{}", write_place(row)),
    }
}

fn read_id(text: &str) -> Option<FeedResume> {
    let mut parts = text.split('.');
    let mut next = || parts.next();
    let (position, seen) = (next()?.parse().ok()?, next()?.parse().ok()?);
    let version = RowsVersion {
        table: TableId::new(next()?.parse().ok()?),
        revision: next()?.parse().ok()?,
    };
    let stage = match next() {
        None => FeedStage::Changes,
        Some(FIRST_ROW) => FeedStage::Rows(None),
        Some(place) => FeedStage::Rows(Some(read_place(place)?)),
    };
    let is_all = next().is_none();
    is_all.then_some(FeedPlace {
        version,
        position,
        seen,
        stage,
    })
}

#[cfg(test)]
mod tests {
    use gavel_model::{Json, ModuleDigest, Position, RowKey};
    use gavel_store::views::{Cell, RowPlace};

    use super::*;

    fn key(text: &str) -> RowKey {
        RowKey::new(text).unwrap()
    }

    fn place(stage: FeedStage<RowPlace>) -> FeedPlace {
        FeedPlace {
            version: RowsVersion {
                table: TableId::new(7),
                revision: 2,
            },
            position: Position::new(1, 0, 1),
            seen: Position::new(1, 0, 2),
            stage,
        }
    }

    #[test]
    fn a_place_is_read_as_it_was_written_and_nothing_else_is_one() {
        let row = RowPlace {
            value: Some(Cell::Integer(-7)),
            key: key("日.本"),
        };
        for stage in [
            FeedStage::Changes,
            FeedStage::Rows(None),
            FeedStage::Rows(Some(row)),
        ] {
            let place = place(stage);
            let read = read_id(&write_id(&place)).unwrap();
            assert_eq!((read.version, read.seen), (place.version, place.seen));
            assert_eq!(read.position, place.position);
            let expected = match place.stage {
                FeedStage::Changes => FeedStage::Changes,
                FeedStage::Rows(None) => FeedStage::Rows(None),
                FeedStage::Rows(Some(row)) => {
                    FeedStage::Rows(Some((Some("-7".to_owned()), row.key)))
                }
            };
            assert_eq!(read.stage, expected);
        }
        for text in [
            "",
            "000",
            "000.000.7",
            "000.000.7.-1",
            "000.000.x.0",
            "000.000.7.0.zz",
            "000.000.7.0.0.0",
            "000.7x.7.0",
        ] {
            assert_eq!(read_id(text), None, "{text}");
        }
    }

    #[test]
    fn all_but_the_last_of_a_part_lead_back_to_its_beginning() {
        let (before, after) = (place(FeedStage::Rows(None)), place(FeedStage::Changes));
        let row = Json::parse("{\"a\":1}").unwrap();
        let part = FeedPart {
            resync: Some(gavel_engine::views::ResyncReason::Behind),
            module: ModuleDigest::of(b"v1"),
            changes: vec![(key("a"), Some(row)), (key("b"), None)],
            is_caught_up: true,
            before,
            after,
        };
        let mut chunk = Vec::new();
        write_part(&mut chunk, &part, &write_id(&part.after));
        let text = String::from_utf8(chunk).unwrap();
        let (module, id) = (part.module, "11011.11012.7.2");
        let expected = format!(
            "id: {id}.0\nevent: resync\ndata: {{\"reason\":\"behind\",\"module\":\"{module}\"}}\n\n\
             id: {id}.0\nevent: upsert\ndata: {{\"key\":\"a\",\"row\":{{\"a\": 1}}}}\n\n\
             id: {id}\nevent: delete\ndata: {{\"key\":\"b\"}}\n\n\
             id: {id}\nevent: caught-up\ndata: {{\"position\":\"11011\"}}\n\n"
        );
        assert_eq!(text, expected);
    }
}
