//! Views and their rows.

use gavel_engine::views as engine;
use gavel_model::{self as model, Position};
use gavel_store::views as store;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{Active, Event, Limit, position, time};

/// A view, the rows that people read, and how far they are.
#[derive(Debug, Serialize, ToSchema)]
pub struct View<'a> {
    /// The name of the view.
    pub view: &'a str,
    /// The activation that is in force; null after a deactivation.
    pub active: Option<Active<'a>>,
    /// Tells whether the view is paused: its rows stay as they are.
    pub paused: bool,
    /// The rows of the active module; null while there are none to read.
    pub rows: Option<ViewRows>,
    /// The rows of the newest other module that is not a former one; null if there is none.
    pub candidate: Option<ViewRows>,
}

/// The rows of one module.
#[derive(Debug, Serialize, ToSchema)]
pub struct ViewRows {
    /// The module.
    digest: String,
    /// The position of the log that the rows have reached.
    position: String,
    /// The distance to the end of the log.
    lag: ViewLag,
    /// The number of rows.
    rows: u64,
    /// The rows and events that cannot be folded.
    parked: ParkedCounts,
    /// Tells whether the rows were built, so that they can be read.
    built: bool,
    /// The reason for which the rows do not move although there is work; null while they do.
    stalled: Option<String>,
}

/// The distance of rows to the end of the log.
#[derive(Debug, Serialize, ToSchema)]
pub struct ViewLag {
    /// The events that are still to be folded, of at most 1,000 that are looked at.
    events: u64,
    /// The age of the oldest of these events, in seconds.
    seconds: f64,
}

/// The numbers of rows and events that cannot be folded.
#[derive(Debug, Serialize, ToSchema)]
pub struct ParkedCounts {
    /// The number of rows that wait at an event that they cannot fold.
    rows: u64,
    /// The number of events whose rows cannot be told.
    events: u64,
}

impl ViewRows {
    /// Shows a table and its lag.
    pub fn new(table: &store::ViewTable, lag: engine::Lag) -> Self {
        Self {
            digest: table.digest.to_string(),
            position: lag.position.to_string(),
            lag: ViewLag {
                events: lag.events,
                seconds: lag.age.as_secs_f64(),
            },
            rows: table.rows,
            parked: ParkedCounts {
                rows: table.parked_rows,
                events: table.parked_events,
            },
            built: table.is_finished,
            stalled: lag.stalled.map(|stall| stall.reason),
        }
    }
}

/// A selection of views.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ViewListQuery {
    /// Only views whose name sorts after this one.
    #[param(nullable = false)]
    pub after: Option<String>,
    /// The most views on the page. Default: 100.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 1000)]
    pub limit: Limit,
}

/// A page of views, by name.
#[derive(Debug, Serialize, ToSchema)]
pub struct ViewList<'a> {
    /// The views.
    pub views: Vec<View<'a>>,
    /// The value of `after` for the next page; null if there is none.
    pub next: Option<&'a str>,
}

/// A view in full.
#[derive(Debug, Serialize, ToSchema)]
pub struct ViewDetails<'a> {
    /// The view, as it is listed.
    #[serde(flatten)]
    pub view: View<'a>,
    /// The columns of the rows, in the order of their declaration.
    pub columns: Vec<ViewColumn>,
    /// The indexes by which rows are found, without the key.
    pub indexes: Vec<Vec<String>>,
    /// The rows of former modules, which follow the log until they are old.
    pub former: Vec<ViewRows>,
    /// The first rows that cannot be folded further, by key.
    pub parked_rows: Vec<ParkedViewRow>,
    /// The first events whose rows cannot be told.
    pub parked_events: Vec<ParkedViewEvent>,
    /// A page of the activations, newest first.
    pub activations: Vec<Active<'a>>,
    /// The value of `after` for the next page of activations; null if there is none.
    #[schema(minimum = 1)]
    pub next: Option<i64>,
}

/// A column of rows.
#[derive(Debug, Serialize, ToSchema)]
pub struct ViewColumn {
    /// The name of the column, and of the member of the rows.
    name: String,
    /// The type of the values: `integer`, `number`, `boolean`, `text`, `time` or `uuid`.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    kind: store::ColumnType,
}

impl From<&store::Column> for ViewColumn {
    fn from(column: &store::Column) -> Self {
        Self {
            name: column.name.clone(),
            kind: column.kind,
        }
    }
}

/// A row that waits at an event that it cannot fold.
#[derive(Debug, Serialize, ToSchema)]
pub struct ParkedViewRow {
    /// The key of the row.
    key: String,
    /// The position of the event.
    position: String,
    /// The event.
    event_id: Uuid,
    /// The reason, in one sentence.
    reason: String,
    /// The time since which the row waits.
    #[serde(with = "time::serde::rfc3339")]
    since: OffsetDateTime,
}

impl From<store::ParkedRow> for ParkedViewRow {
    fn from(row: store::ParkedRow) -> Self {
        Self {
            key: row.key.to_string(),
            position: row.position.to_string(),
            event_id: row.event_id,
            reason: row.reason,
            since: row.since,
        }
    }
}

/// An event whose rows cannot be told.
#[derive(Debug, Serialize, ToSchema)]
pub struct ParkedViewEvent {
    /// The position of the event.
    position: String,
    /// The event.
    event_id: Uuid,
    /// The reason, in one sentence.
    reason: String,
}

impl From<store::ParkedEvent> for ParkedViewEvent {
    fn from(event: store::ParkedEvent) -> Self {
        Self {
            position: event.position.to_string(),
            event_id: event.event_id,
            reason: event.reason,
        }
    }
}

/// A page of rows.
#[derive(Debug, Serialize, ToSchema)]
pub struct RowList<'a> {
    /// The rows, in their order.
    pub rows: Vec<Row<'a>>,
    /// The value of `_after` for the next page; null if there is none.
    pub next: Option<String>,
}

/// A row and its key.
#[derive(Debug, Serialize, ToSchema)]
pub struct Row<'a> {
    /// The key.
    pub key: &'a str,
    /// The row.
    #[schema(value_type = Object)]
    pub row: &'a RawValue,
}

impl<'a> Row<'a> {
    /// Shows a row.
    pub fn new(key: &'a model::RowKey, row: &'a model::Json) -> Self {
        Self {
            key: key.as_str(),
            row: row.as_raw(),
        }
    }
}

/// The result of another try to fold what a row waits for.
#[derive(Debug, Serialize, ToSchema)]
pub struct RetriedRow {
    /// The key of the row.
    pub key: String,
    /// The fault that the row has now; null if it has none.
    pub parked: Option<ParkedViewRow>,
}

/// A choice of which value of a row is shown.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RowQuery {
    /// The time to show the row at (RFC 3339): the row after its last event created at or before
    /// it.
    #[serde(rename = "_at", deserialize_with = "time")]
    #[param(rename = "_at", value_type = Option<String>, format = "date-time", nullable = false)]
    pub at: Option<OffsetDateTime>,
    /// The digest of the module to fold with.
    #[serde(rename = "_module")]
    #[param(
        rename = "_module",
        pattern = "^sha256:[0-9a-f]{64}$",
        nullable = false
    )]
    pub module: Option<String>,
    /// Shows the row with all that is stored, however far the view has come. Excludes the other
    /// two.
    #[serde(rename = "_fresh")]
    #[param(rename = "_fresh", required = false)]
    pub fresh: bool,
}

/// A part of the events of a row.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RowStepsQuery {
    /// Only events after this position, the `next` of the page before.
    #[serde(deserialize_with = "position")]
    #[param(value_type = Option<String>, nullable = false)]
    pub after: Option<Position>,
    /// The most events on the page. Default: 100.
    #[param(value_type = u32, required = false, minimum = 1, maximum = 1000)]
    pub limit: Limit,
}

/// A page of the events of a row.
#[derive(Debug, Serialize, ToSchema)]
pub struct RowSteps<'a> {
    /// The key of the row.
    key: &'a str,
    /// The events, in the order of the log.
    steps: Vec<RowStep<'a>>,
    /// The fault at the last of the events, which the row cannot fold; null if there is none.
    parked: Option<ParkedViewRow>,
    /// The value of `after` for the next page; null if there is none.
    next: Option<String>,
}

/// An event of a row.
#[derive(Debug, Serialize, ToSchema)]
pub struct RowStep<'a> {
    /// The event.
    event: Event<'a>,
    /// The row after the event; null if it has ended, or not begun.
    #[schema(value_type = Option<Object>)]
    row: Option<&'a RawValue>,
}

impl<'a> RowSteps<'a> {
    /// Shows successive events of a row.
    pub fn new(key: &'a model::RowKey, steps: &'a engine::RowSteps) -> Self {
        Self {
            key: key.as_str(),
            steps: steps
                .steps
                .iter()
                .map(|step| RowStep {
                    event: Event::from(&step.event),
                    row: step.row.as_ref().map(model::Json::as_raw),
                })
                .collect(),
            parked: steps.parked.clone().map(Into::into),
            next: steps.next.map(|next| next.to_string()),
        }
    }
}
