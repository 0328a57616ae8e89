//! `/v1/views`: views, and the rows that were folded from events.

mod feed;
pub(crate) mod history;
pub(crate) mod openapi;
pub(crate) mod pause;

use axum::Json;
use axum::extract::State;
use axum::http::header::{ETAG, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use gavel_api::{
    Active, DeciderQuery, ParkedViewRow, RetriedRow, Row, RowList, RowQuery, View, ViewColumn,
    ViewDetails, ViewList, ViewListQuery, ViewRows,
};
use gavel_engine::views::ViewStatus;
use gavel_model::{Activation, ActivationKey, ActivationNumber, ModuleKind, ViewId};
use gavel_store::ActivationFilter;
use gavel_store::views::{TableHead, ViewTable};
use sha2::{Digest as _, Sha256};

use self::history::RowChoice;
use crate::error::{Code, Location, Problem, malformed};
use crate::extract::{
    AfterHeader, KnownModules, NamespaceHeader, Preconditions, Query, RowPath, RowsQuery, ViewPath,
    write_place,
};
use crate::log::{self, follow::Format};
use crate::state::AppState;

const POSITION: HeaderName = HeaderName::from_static("gavel-position");
const MODULE: HeaderName = HeaderName::from_static("gavel-module");
const FRESH: HeaderName = HeaderName::from_static("gavel-fresh");
const PARKED: HeaderName = HeaderName::from_static("gavel-parked");
const INCOMPLETE: HeaderName = HeaderName::from_static("gavel-incomplete");

/// Lists views
///
/// All views that have or had an active module, by name.
#[utoipa::path(
    get, path = "/v1/views", tag = "views", params(ViewListQuery),
    responses((status = 200, description = "A page of views.", body = ViewList))
)]
pub(crate) async fn list_views(
    State(state): State<AppState>,
    NamespaceHeader(namespace): NamespaceHeader,
    Query(query): Query<ViewListQuery>,
) -> Result<Response, Problem> {
    let after = query.after.filter(|after| !after.is_empty());
    let after = after.map(|after| {
        ActivationKey::new(namespace.clone(), ModuleKind::View, after)
            .map_err(|error| malformed(Location::parameter("after"), error.to_string()))
    });
    let after = after.transpose()?;
    let filter = ActivationFilter {
        namespace: Some(namespace.clone()),
        kind: Some(ModuleKind::View),
    };
    let limit = query.limit.get();
    let modules = &state.services.modules;
    let page = modules.list_active(&filter, after.as_ref(), limit).await?;
    let statuses = state.services.views.list(&namespace).await?;
    let mut views = Vec::with_capacity(page.items.len());
    for newest in &page.items {
        let status = statuses
            .iter()
            .find(|status| status.view.name() == newest.key.name());
        views.push(shown(&state, newest, status).await?);
    }
    let last = page.items.last().filter(|_| page.has_more);
    Ok(Json(ViewList {
        views,
        next: last.map(|last| last.key.name().as_str()),
    })
    .into_response())
}

/// Shows a view
///
/// The view with its columns and indexes, what it cannot fold, and its activations, newest first,
/// in pages.
#[utoipa::path(
    get, path = "/v1/views/{view}", tag = "views", params(DeciderQuery),
    responses(
        (status = 200, description = "The view.", body = ViewDetails),
        (status = 404, description = "`view-not-found`"),
    )
)]
pub(crate) async fn get_view(
    State(state): State<AppState>,
    ViewPath(view): ViewPath,
    Query(query): Query<DeciderQuery>,
) -> Result<Response, Problem> {
    let key = view.key();
    let newest = state.services.store.active(&key).await?;
    let newest = newest.ok_or_else(|| view_not_found(&view))?;
    let views = &state.services.views;
    let status = views.status(&view).await?;
    let table = status.as_ref().and_then(|status| status.active.as_ref());
    let (mut parked_rows, mut parked_events) = (Vec::new(), Vec::new());
    if let Some(table) = table {
        parked_rows = views.parked_rows(table, None).await?.items;
        parked_events = views.parked_events(table).await?;
    }
    let mut former = Vec::new();
    for table in status.iter().flat_map(former_of) {
        former.push(rows(&state, table).await?);
    }
    let shape = table.map(|table| &table.shape);
    let after = query.after.map(ActivationNumber::new);
    let modules = &state.services.modules;
    let page = modules.activations(&key, after, query.limit.get()).await?;
    let last = page.items.last().filter(|_| page.has_more);
    Ok(Json(ViewDetails {
        view: shown(&state, &newest, status.as_ref()).await?,
        columns: shape.map_or_else(Vec::new, |shape| {
            shape.columns.iter().map(ViewColumn::from).collect()
        }),
        indexes: shape.map_or_else(Vec::new, |shape| shape.indexes.clone()),
        former,
        parked_rows: parked_rows.into_iter().map(Into::into).collect(),
        parked_events: parked_events.into_iter().map(Into::into).collect(),
        activations: page.items.iter().map(Active::from).collect(),
        next: last.map(|last| last.number.get()),
    })
    .into_response())
}

async fn shown<'a>(
    state: &AppState,
    newest: &'a Activation,
    status: Option<&ViewStatus>,
) -> Result<View<'a>, Problem> {
    let table = status.and_then(|status| status.active.as_ref());
    let candidate = status.and_then(ViewStatus::candidate);
    Ok(View {
        view: newest.key.name().as_str(),
        active: Active::in_force(newest),
        paused: table.is_some_and(|table| table.is_paused),
        rows: match table {
            Some(table) => Some(rows(state, table).await?),
            None => None,
        },
        candidate: match candidate {
            Some(table) => Some(rows(state, table).await?),
            None => None,
        },
    })
}

async fn rows(state: &AppState, table: &ViewTable) -> Result<ViewRows, Problem> {
    Ok(ViewRows::new(table, state.services.views.lag(table).await?))
}

fn former_of(status: &ViewStatus) -> impl Iterator<Item = &ViewTable> {
    let candidate = status.candidate().map(|table| table.id);
    let others = status.others.iter();
    others.filter(move |table| Some(table.id) != candidate)
}

/// Shows a row
///
/// The row as the active module has folded it. A row that waits at an event which it cannot fold is
/// answered as it was before, with `Gavel-Parked`.
///
/// Where the module says which events a row follows from (`sources`), the row is also shown as it
/// was at a time (`_at`), as another module folds it (`_module`), both from what the view has at
/// `Gavel-Position`; and right now (`_fresh`), with all that is stored.
#[utoipa::path(
    get, path = "/v1/views/{view}/rows/{key}", tag = "views",
    params(
        RowQuery,
        ("Gavel-After" = Option<String>, Header, description = "A position of the log that the row has to show: the answer waits for it."),
        ("If-None-Match" = Option<String>, Header, description = "ETags of rows that need not be sent again."),
    ),
    responses(
        (status = 200, description = "The row.", body = Object, headers(
            ("ETag" = String, description = "A hash of the row."),
            ("Gavel-Position" = String, description = "The position of the log that the view has reached. Not with `_fresh`: nothing resumes from such an answer."),
            ("Gavel-Fresh" = String, description = "`true` with `_fresh`."),
            ("Gavel-Module" = String, description = "The module that has folded the row."),
            ("Gavel-Parked" = String, description = "The position of the event that the row cannot fold."),
            ("Gavel-Incomplete" = String, description = "1 if there are events whose rows cannot be told."),
        )),
        (status = 304, description = "The row has an `ETag` of `If-None-Match`."),
        (status = 404, description = "`view-not-found`, `row-not-found`, `module-not-found`"),
        (status = 409, description = "`module-outdated`: the module must be built with the present SDK"),
        (status = 422, description = "`sources-missing`; `history-too-long`, with the `limit`; `invalid-module`"),
        (status = 500, description = "`module-trapped`, `module-broke-contract`, with the `module`; `internal`"),
        (status = 503, description = "`view-behind`; with `Gavel-After` or `_fresh` also `row-parked`; `store-unavailable`, `overloaded`, `draining`"),
        (status = 504, description = "`module-deadline`, `module-out-of-fuel`, `module-out-of-memory`, with the `limit`"),
    )
)]
pub(crate) async fn get_row(
    State(state): State<AppState>,
    RowPath { view, key }: RowPath,
    Query(query): Query<RowQuery>,
    AfterHeader(after): AfterHeader,
    known: KnownModules,
    preconditions: Preconditions,
) -> Result<Response, Problem> {
    let choice = RowChoice::of(&state, query, &known).await?;
    let read = choice.read(&state, &view, &key, after).await?;
    let mut headers = headers_of(&read.head);
    if choice == RowChoice::Fresh {
        headers.remove(POSITION);
        headers.insert(FRESH, HeaderValue::from_static("true"));
    }
    if let Some(parked) = &read.parked {
        if after.is_some() || choice == RowChoice::Fresh {
            let detail = format!(
                "The row `{key}` waits at an event that it cannot fold: {}.",
                parked.reason
            );
            let parked = ParkedViewRow::from(parked.clone());
            return Err(Problem::new(Code::RowParked, detail).with("parked", parked));
        }
        headers.insert(PARKED, header(&parked.position.to_string()));
    }
    let Some(row) = read.value else {
        let detail = format!("The view `{}` has no row `{key}`.", view.name());
        let problem = Problem::new(Code::RowNotFound, detail).with("key", key.as_str());
        return Ok((headers, problem).into_response());
    };
    let tag = hex::encode(&Sha256::digest(row.as_str().as_bytes())[..16]);
    headers.insert(ETAG, header(&format!("\"{tag}\"")));
    if preconditions.is_known(&tag)? {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    Ok((headers, Json(row.as_raw())).into_response())
}

/// Lists rows
///
/// Rows by key, or those that fulfil conditions on the members of an index: `status=open`,
/// `created_at.gte=…` (and `gt`, `lt`, `lte`), ordered by `_order=created_at` or `-created_at`. An
/// index answers conditions for equality on its first members, and bounds or an order on the next.
/// A page ends early when its rows take up about 512 KiB.
///
/// With `Accept: text/event-stream`, the answer is a feed: all of these rows, and then each that
/// events change, as server-sent events. `upsert` is a row that fulfils the conditions, as it is
/// now: `{"key", "row"}`; `delete` is a key without such a row, which need not have been sent:
/// `{"key"}`; `caught-up` means that this is all for now. Rows in the order of the query come
/// first, changes in no order of keys. `resync` means that all rows sent before are void, and that
/// those there are follow: `reason` says whether people read those of another `module`, whether
/// `rows` were changed otherwise than by events (a parked row was retried, or all were built anew),
/// whether the client was more than `views.feed_events` `behind`, or the log has `lost` events. A
/// row that is parked is sent as it was. A client that connects again to the same query sends the
/// last `id`, and misses nothing. There is a comment at least every 15 seconds. A feed has no
/// `_limit` and no `_after`, and ends when the view is deactivated, or its module has no index for
/// the query any more.
#[utoipa::path(
    get, path = "/v1/views/{view}/rows", tag = "views",
    params(
        ("_order" = Option<String>, Query, description = "The member by which rows are ordered, with `-` before it from the greatest on. Default: `key`."),
        ("_limit" = Option<u32>, Query, description = "The most rows on the page, 1 to 1,000. Default: 100."),
        ("_after" = Option<String>, Query, description = "The `next` of the page before."),
        ("Gavel-After" = Option<String>, Header, description = "A position of the log that the rows have to show: the answer waits for it."),
        ("Last-Event-ID" = Option<String>, Header, description = "The last `id` of a feed, to go on from."),
    ),
    responses(
        (status = 200, description = "A page of rows, or a feed of them.", headers(
            ("Gavel-Position" = String, description = "The position of the log that the view has reached; not in a feed."),
            ("Gavel-Module" = String, description = "The module that has folded the rows; not in a feed."),
            ("Gavel-Incomplete" = String, description = "1 if there are events whose rows cannot be told; not in a feed."),
        ), content(
            (RowList = "application/json"),
            (String = "text/event-stream"),
        )),
        (status = 404, description = "`view-not-found`"),
        (status = 422, description = "`index-missing`, with the `indexes` that there are"),
        (status = 503, description = "`view-behind`; `store-unavailable`, `overloaded`, `draining`"),
    )
)]
pub(crate) async fn list_rows(
    State(state): State<AppState>,
    ViewPath(view): ViewPath,
    AfterHeader(after): AfterHeader,
    headers: HeaderMap,
    query: RowsQuery,
) -> Result<Response, Problem> {
    let views = &state.services.views;
    if let Some(after) = after {
        views.wait_for(&view, after).await?;
    }
    if log::format(&headers) == Some(Format::ServerSentEvents) {
        return feed::open(&state, view, query, &headers).await;
    }
    let order = query.order.as_ref();
    let order = order.map(|(field, is_descending)| (field.as_str(), *is_descending));
    let place = query.after.as_ref();
    let place = place.map(|(value, key)| (value.as_deref(), key.clone()));
    let limit = query.limit.get();
    let page = views
        .find(&view, &query.filters, order, place, limit)
        .await?;
    let body = Json(RowList {
        rows: page
            .rows
            .iter()
            .map(|(key, row)| Row::new(key, row))
            .collect(),
        next: page.next.as_ref().map(write_place),
    });
    Ok((headers_of(&page.head), body).into_response())
}

/// Tries a parked row again
///
/// Folds the event that the row waits at, and all that have come since.
#[utoipa::path(
    post, path = "/v1/views/{view}/rows/{key}/retry", tag = "views",
    responses(
        (status = 200, description = "Folded, or parked again: then with the fault.", body = RetriedRow),
        (status = 404, description = "`view-not-found`; `row-not-found` when the row is not parked"),
        (status = 503, description = "`view-behind`; `store-unavailable`, `overloaded`, `draining`"),
    )
)]
pub(crate) async fn retry_row(
    State(state): State<AppState>,
    RowPath { view, key }: RowPath,
) -> Result<Response, Problem> {
    let parked = state.services.views.retry(&view, &key).await?;
    Ok(Json(RetriedRow {
        key: key.to_string(),
        parked: parked.map(Into::into),
    })
    .into_response())
}

fn headers_of(head: &TableHead) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(POSITION, header(&head.position.to_string()));
    headers.insert(MODULE, header(&head.digest.to_string()));
    if head.parked_events > 0 {
        headers.insert(INCOMPLETE, HeaderValue::from_static("1"));
    }
    headers
}

/// A header of ours: digits and letters.
fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

pub(crate) fn view_not_found(view: &ViewId) -> Problem {
    let detail = format!(
        "The view `{}` has no active module in this namespace.",
        view.name()
    );
    Problem::new(Code::ViewNotFound, detail).with("view", view.name().as_str())
}
