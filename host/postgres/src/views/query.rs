//! Questions for rows, as one statement that indexes answer in the order of the rows.

use std::cmp::Ordering;
use std::ops::Bound;

use gavel_model::{RowKey, ViewId};
use gavel_store::views::{Cell, Column, RowPage, RowPlace, RowQuery, RowRange};
use gavel_store::{Error, PAGE_BYTES, Room};
use sqlx::postgres::PgRow;

use super::PostgresViews;
use super::cells::cell;
use super::known::{KnownTable, head_columns};
use super::names::{self, RowsSchemas, column_of};
use super::registry::{head, row_key};
use super::rows::{VALUES_OF_VIEW, ViewStatement, json, page_bytes};
use crate::rows::Read;

/// Reads the table that the pointer is at, and the rows, in one statement. Those come with the
/// sizes of the rows before them, so that the server sends no more than there is room for, and the
/// first that has none.
const PAGE: &str = concat!(
    "SELECT ",
    head_columns!(),
    ", r.key, r.row_text, r.value FROM {rows}.pointers AS p JOIN {rows}.tables AS t ON t.id = p.table_id LEFT JOIN ( \
        SELECT * FROM ( \
            SELECT *, sum(octet_length(row_text) + octet_length(key)) \
                OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before \
            FROM (SELECT * FROM ({branches}) AS found LIMIT $3) AS wanted \
        ) AS sized WHERE coalesce(bytes_before, 0) <= $4 \
    ) AS r ON TRUE WHERE p.namespace = $1 AND p.view = $2"
);

impl PostgresViews {
    pub(super) async fn run_query(
        &self,
        view: &ViewId,
        asked: &RowQuery,
    ) -> Result<Option<RowPage>, Error> {
        let statement = |table: &KnownTable| page_statement(&self.schemas, table, asked);
        let Some((table, found)) = self.follow(view, statement).await? else {
            return Ok(None);
        };
        let order = asked
            .range
            .as_ref()
            .map(|range| names::find(&table.shape, &range.column));
        let order = order.transpose()?;
        let page = read_page(&found, asked.limit, order);
        page.map_err(|reason| reason.of("row of a view"))
    }
}

/// The statement of a query.
pub(super) fn page_statement(
    schemas: &RowsSchemas,
    table: &KnownTable,
    asked: &RowQuery,
) -> Result<ViewStatement, Error> {
    let limit = Cell::Integer(i64::from(asked.limit) + 1);
    let mut conditions = BranchConditions {
        all: Vec::new(),
        values: vec![limit, Cell::Integer(page_bytes())],
    };
    for (column, wanted) in &asked.equal {
        let column = column_of(&names::find(&table.shape, column)?.name);
        let place = conditions.bind(wanted);
        conditions.all.push(format!("{column} = {place}"));
    }
    let branches = match &asked.range {
        None => {
            let after = asked.after.as_ref().map(|after| &after.key);
            by_key(table, &mut conditions, None, asked, after)
        }
        Some(range) => in_order(table, &mut conditions, range, asked)?,
    };
    let text = schemas.fill(PAGE, &[("branches", &branches)]);
    Ok(ViewStatement {
        text: text.into(),
        values: conditions.values,
    })
}

/// Selects first the rows that have a value in the order's column, and then the others.
fn in_order(
    table: &KnownTable,
    conditions: &mut BranchConditions,
    range: &RowRange,
    asked: &RowQuery,
) -> Result<String, Error> {
    let column = column_of(&names::find(&table.shape, &range.column)?.name);
    let equal = conditions.all.clone();
    let after = asked.after.as_ref();
    let value_after = after.and_then(|after| Some((after.value.as_ref()?, &after.key)));
    let mut branches = Vec::new();
    if after.is_none() || value_after.is_some() {
        branches.push(by_value(
            table,
            conditions,
            &column,
            range,
            asked,
            value_after,
        ));
    }
    if !range.is_bounded() {
        let after = after.filter(|after| after.value.is_none());
        conditions.all = equal;
        conditions.all.push(format!("{column} IS NULL"));
        let after = after.map(|after| &after.key);
        branches.push(by_key(table, conditions, Some(&column), asked, after));
    }
    Ok(branches.join(" UNION ALL "))
}

/// The conditions of a branch, and the values of all.
struct BranchConditions {
    all: Vec<String>,
    values: Vec<Cell>,
}

impl BranchConditions {
    /// Notes a value, and gives its place in the statement.
    fn bind(&mut self, value: &Cell) -> String {
        self.values.push(value.clone());
        format!("${}", VALUES_OF_VIEW + self.values.len())
    }

    fn bound(&mut self, column: &str, bound: &Bound<Cell>, side: &str) {
        let (value, or_equal) = match bound {
            Bound::Unbounded => return,
            Bound::Included(value) => (value, "="),
            Bound::Excluded(value) => (value, ""),
        };
        let place = self.bind(value);
        self.all.push(format!("{column} {side}{or_equal} {place}"));
    }

    fn select(&self, table: &KnownTable, value: &str, order: &str) -> String {
        let conditions = match self.all.as_slice() {
            [] => String::new(),
            conditions => format!(" WHERE {}", conditions.join(" AND ")),
        };
        format!(
            "(SELECT key, \"row\"::TEXT AS row_text, {value} AS value FROM {} AS s{conditions} ORDER BY {order} LIMIT $3)",
            table.source
        )
    }
}

/// Selects rows by their keys; with `column` those that have no value there, which are ordered by
/// it as well: only so does the index on it give them in their order.
fn by_key(
    table: &KnownTable,
    conditions: &mut BranchConditions,
    column: Option<&str>,
    asked: &RowQuery,
    after: Option<&RowKey>,
) -> String {
    let (beyond, direction) = direction(asked);
    if let Some(after) = after {
        let place = conditions.bind(&text_of(after));
        conditions.all.push(format!("key {beyond} {place}"));
    }
    let by_key = format!("key{direction}");
    match column {
        None => conditions.select(table, "NULL::TEXT", &by_key),
        Some(column) => {
            let order = format!("{column}{direction}, {by_key}");
            conditions.select(table, column, &order)
        }
    }
}

fn by_value(
    table: &KnownTable,
    conditions: &mut BranchConditions,
    column: &str,
    range: &RowRange,
    asked: &RowQuery,
    after: Option<(&Cell, &RowKey)>,
) -> String {
    let (beyond, direction) = direction(asked);
    let (lower, upper) = (&range.lower, &range.upper);
    let (first, last, from_first, to_last) = match asked.is_descending {
        true => (upper, lower, "<", ">"),
        false => (lower, upper, ">", "<"),
    };
    // Of the place and the bound at which the page may begin the tighter one leads into the index.
    let after = after.filter(|(value, _)| is_within(value, first, asked.is_descending));
    conditions.bound(column, last, to_last);
    if after.is_none() {
        conditions.bound(column, first, from_first);
    }
    if let Some((value, key)) = after {
        let (value, key) = (conditions.bind(value), conditions.bind(&text_of(key)));
        let condition = format!("({column}, key) {beyond} ({value}, {key})");
        conditions.all.push(condition);
    } else if !range.is_bounded() {
        conditions.all.push(format!("{column} IS NOT NULL"));
    }
    let order = format!("{column}{direction}, key{direction}");
    conditions.select(table, column, &order)
}

/// Tells whether a value is not before the bound at which an order begins.
fn is_within(value: &Cell, first: &Bound<Cell>, is_descending: bool) -> bool {
    let inside = match is_descending {
        true => Ordering::Less,
        false => Ordering::Greater,
    };
    match first {
        Bound::Unbounded => true,
        Bound::Included(bound) => value.compare(bound) != Some(inside.reverse()),
        Bound::Excluded(bound) => value.compare(bound) == Some(inside),
    }
}

fn text_of(key: &RowKey) -> Cell {
    Cell::Text(key.as_str().to_owned())
}

/// The comparison with the place after which rows are wanted, and the direction of the order.
fn direction(asked: &RowQuery) -> (&'static str, &'static str) {
    match asked.is_descending {
        true => ("<", " DESC"),
        false => (">", ""),
    }
}

fn read_page(found: &[PgRow], limit: u32, order: Option<&Column>) -> Read<Option<RowPage>> {
    let Some(first) = found.first() else {
        return Ok(None);
    };
    let head = head(first)?;
    let mut room = Room::new(limit, PAGE_BYTES);
    let (mut rows, mut last) = (Vec::new(), None);
    for row in found {
        let Some(document) = json(row)? else {
            continue;
        };
        let key = row_key(row)?;
        if !room.take_bytes(key.as_str().len() + document.as_str().len()) {
            break;
        }
        last = Some(row);
        rows.push((key, document));
    }
    let next = last
        .filter(|_| room.is_full())
        .map(|row| -> Read<RowPlace> {
            let value = order
                .map(|order| cell(row, "value", order.kind))
                .transpose()?;
            let (value, key) = (value.flatten(), row_key(row)?);
            Ok(RowPlace { value, key })
        });
    let next = next.transpose()?;
    Ok(Some(RowPage { head, rows, next }))
}
