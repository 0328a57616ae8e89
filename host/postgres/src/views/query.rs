//! Questions for rows, as one statement that indexes answer in the order of the rows.

use gavel_model::ViewId;
use gavel_store::toolkit::row_scans::{RowScan, row_scans};
use gavel_store::views::{Cell, Column, RowPage, RowPlace, RowQuery};
use gavel_store::{Error, PAGE_BYTES, Room};
use sqlx::postgres::PgRow;

use super::PostgresViews;
use super::cells::cell;
use super::known::{KnownTable, head_columns};
use super::names::{RowsSchemas, column_of};
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
            .map(|range| table.shape.column(&range.column));
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
    let mut values = vec![limit, Cell::Integer(page_bytes())];
    let first = VALUES_OF_VIEW + values.len() + 1;
    let scans = row_scans(
        asked,
        |column| Ok(column_of(&table.shape.column(column)?.name)),
        |place| format!("${}", first + place),
    )?;
    let mut branches = Vec::with_capacity(scans.len());
    for scan in scans {
        branches.push(branch(table, &scan));
        values.extend(scan.values);
    }
    let branches = branches.join(" UNION ALL ");
    let text = schemas.fill(PAGE, &[("branches", &branches)]);
    Ok(ViewStatement {
        text: text.into(),
        values,
    })
}

fn branch(table: &KnownTable, scan: &RowScan) -> String {
    let RowScan { order, .. } = scan;
    let value = scan.column.as_deref().unwrap_or("NULL::TEXT");
    let condition = scan.condition.as_ref();
    let condition = condition.map(|condition| format!(" WHERE {condition}"));
    format!(
        "(SELECT key, \"row\"::TEXT AS row_text, {value} AS value FROM {} AS s{} ORDER BY {order} LIMIT $3)",
        table.source,
        condition.unwrap_or_default()
    )
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
