//! Questions for rows, as statements that an index answers in their order.

use gavel_model::{Json, RowKey, ViewId};
use gavel_store::toolkit::row_scans::{RowScan, row_scans};
use gavel_store::toolkit::view_names::quoted;
use gavel_store::views::{Column, RowPage, RowPlace, RowQuery, TableId, TableShape};
use gavel_store::{Error, PAGE_BYTES, Room};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::cells::{cell, value};
use super::{names, registry, rows};
use crate::cells::{Cells, Reason, reason};
use crate::error::SqliteError;
use crate::query;
use crate::rows::corrupt;

/// A statement with its values, whose rows [`found`] reads.
#[derive(Debug)]
pub(super) struct RowsStatement {
    pub(super) sql: String,
    pub(super) values: Vec<Value>,
}

/// Reads a page of rows of the table that the pointer is at.
pub(super) fn run(
    database: &Connection,
    view: &ViewId,
    asked: &RowQuery,
) -> Result<Option<RowPage>, Error> {
    let Some(head) = rows::head(database, view)? else {
        return Ok(None);
    };
    let shape = registry::shape(database, head.table)?;
    let order = asked
        .range
        .as_ref()
        .map(|range| shape.column(&range.column));
    let order = order.transpose()?;
    let mut room = Room::new(asked.limit, PAGE_BYTES);
    let mut found: Vec<(RowPlace, Json)> = Vec::new();
    for RowsStatement { sql, values } in statements(head.table, &shape, asked)? {
        if room.is_full() {
            break;
        }
        let values = params_from_iter(values);
        query::take(
            database,
            &sql,
            values,
            |row| read(row, order),
            |row| {
                let size = row.0.key.as_str().len() + row.1.as_str().len();
                let is_taken = room.take_bytes(size);
                if is_taken {
                    found.push(row);
                }
                is_taken
            },
        )?;
    }
    let next = found.last().filter(|_| room.is_full());
    let next = next.map(|(place, _)| place.clone());
    let rows: Vec<(RowKey, Json)> = found
        .into_iter()
        .map(|(place, row)| (place.key, row))
        .collect();
    Ok(Some(RowPage { head, rows, next }))
}

/// The statements whose rows, one after the other, are those that are asked for.
pub(super) fn statements(
    table: TableId,
    shape: &TableShape,
    asked: &RowQuery,
) -> Result<Vec<RowsStatement>, Error> {
    let column = |column: &str| Ok(quoted(&shape.column(column)?.name));
    let scans = row_scans(asked, column, |_| "?".to_owned())?.into_iter();
    let statements = scans.map(|scan| statement(table, scan, asked.limit));
    Ok(statements.collect())
}

/// Selects what a scan finds, one row more than is asked for.
fn statement(table: TableId, scan: RowScan, limit: u32) -> RowsStatement {
    let condition = scan
        .condition
        .map(|condition| format!(" WHERE {condition}"));
    let mut values: Vec<Value> = scan.values.iter().map(value).collect();
    values.push(Value::Integer(i64::from(limit) + 1));
    let sql = format!(
        "SELECT key, \"row\", {} FROM {}{} ORDER BY {} LIMIT ?",
        scan.column.as_deref().unwrap_or("NULL"),
        names::rows_of(table),
        condition.unwrap_or_default(),
        scan.order
    );
    RowsStatement { sql, values }
}

fn read(row: &Row<'_>, order: Option<&Column>) -> Result<(RowPlace, Json), SqliteError> {
    let read = |mut cells: Cells<'_>| -> Result<(RowPlace, Json), Reason> {
        let key = cells.take_row_key()?;
        let document = cells.take_json()?;
        let value = match order {
            Some(column) => cell(column.kind, row.get_ref(cells.step()).map_err(reason)?)?,
            None => None,
        };
        Ok((RowPlace { value, key }, document))
    };
    read(Cells::of(row)).map_err(corrupt("row of a view"))
}

#[cfg(test)]
mod tests {
    use std::ops::Bound;

    use gavel_store::views::{Cell, ColumnType, RowRange};

    use super::*;
    use crate::migrations;

    /// A table with the columns `status`, `amount` and `note`, and the indexes of two queries.
    fn shape() -> TableShape {
        let column = |(name, kind): (&str, ColumnType)| Column {
            name: name.to_owned(),
            kind,
        };
        let columns = [
            ("status", ColumnType::Text),
            ("amount", ColumnType::Integer),
            ("note", ColumnType::Text),
        ];
        let indexes = [&["status", "amount"][..], &["amount"]];
        TableShape {
            columns: columns.map(column).into(),
            indexes: indexes
                .map(|fields| fields.iter().map(|&field| field.to_owned()).collect())
                .into(),
        }
    }

    /// The plans of the statements of a query.
    fn plans(asked: &RowQuery) -> Vec<String> {
        let mut database = Connection::open_in_memory().unwrap();
        migrations::VIEWS.run(&mut database).unwrap();
        let new = gavel_store::views::NewTable {
            view: ViewId::new(gavel_model::Namespace::default(), "orders").unwrap(),
            digest: gavel_model::ModuleDigest::of(b"v1"),
            shape: shape(),
        };
        let epoch = time::OffsetDateTime::UNIX_EPOCH;
        let table = registry::create_in_tx(&database, &new, epoch).unwrap();
        for number in 0..2 {
            registry::index_in_tx(&database, table.id, number).unwrap();
        }
        let statements = statements(table.id, &table.shape, asked).unwrap();
        let plans = statements.into_iter().map(|RowsStatement { sql, values }| {
            let mut explain = database
                .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
                .unwrap();
            let steps = explain.query_map(params_from_iter(values), |row| row.get::<_, String>(3));
            let steps: Result<Vec<_>, _> = steps.unwrap().collect();
            steps.unwrap().join("; ")
        });
        plans.collect()
    }

    fn by_amount(lower: Bound<Cell>) -> RowQuery {
        RowQuery {
            range: Some(RowRange {
                column: "amount".to_owned(),
                lower,
                upper: Bound::Unbounded,
            }),
            limit: 10,
            ..RowQuery::default()
        }
    }

    fn after(value: Option<Cell>) -> Option<RowPlace> {
        let key = RowKey::new("k").unwrap();
        Some(RowPlace { value, key })
    }

    #[test]
    fn an_index_finds_the_rows_in_their_order() {
        let open = || vec![("status".to_owned(), Cell::Text("open".to_owned()))];
        let five = || Cell::Integer(5);
        for is_descending in [false, true] {
            let all = RowQuery {
                is_descending,
                ..by_amount(Bound::Unbounded)
            };
            let index = "SEARCH gavel_rows.v_1 USING INDEX gavel_rows.v_1_1";
            let [valued, others] = plans(&all).try_into().unwrap();
            assert_eq!(valued, format!("{index} (amount>?)"));
            assert_eq!(others, format!("{index} (amount=?)"));
            let next = RowQuery {
                after: after(Some(five())),
                ..all.clone()
            };
            let beyond = if is_descending { "<" } else { ">" };
            let [valued, _] = plans(&next).try_into().unwrap();
            assert_eq!(valued, format!("{index} ((amount,key){beyond}(?,?))"));
            let last = RowQuery {
                after: after(None),
                ..all.clone()
            };
            let [others] = plans(&last).try_into().unwrap();
            assert_eq!(others, format!("{index} (amount=? AND key{beyond}?)"));

            let bounded = RowQuery {
                equal: open(),
                is_descending,
                after: after(Some(five())),
                ..by_amount(Bound::Included(Cell::Integer(1)))
            };
            let index = "SEARCH gavel_rows.v_1 USING INDEX gavel_rows.v_1_0";
            let [page] = plans(&bounded).try_into().unwrap();
            assert!(
                page.starts_with(&format!("{index} (status=? AND ")),
                "{page}"
            );
            assert!(page.contains("(amount,key)"), "{page}");
            assert!(!page.contains(';'), "{page}");
        }
        let by_key = RowQuery {
            after: after(None),
            limit: 10,
            ..RowQuery::default()
        };
        let [page] = plans(&by_key).try_into().unwrap();
        assert_eq!(
            page,
            "SEARCH gavel_rows.v_1 USING INDEX sqlite_autoindex_gavel_rows.v_1_1 (key>?)"
        );
    }

    #[test]
    fn a_place_outside_the_bounds_leads_to_the_bound() {
        let shape = shape();
        for (lower, place, expected) in [
            (Bound::Included(Cell::Integer(3)), 2, "\"amount\" >= ?"),
            (
                Bound::Included(Cell::Integer(3)),
                3,
                "(\"amount\", key) > (?, ?)",
            ),
            (Bound::Excluded(Cell::Integer(3)), 3, "\"amount\" > ?"),
            (
                Bound::Excluded(Cell::Integer(3)),
                4,
                "(\"amount\", key) > (?, ?)",
            ),
        ] {
            let asked = RowQuery {
                after: after(Some(Cell::Integer(place))),
                ..by_amount(lower)
            };
            let [statement] = statements(TableId::new(1), &shape, &asked)
                .unwrap()
                .try_into()
                .unwrap();
            let condition = format!("WHERE {expected} ORDER BY");
            assert!(statement.sql.contains(&condition), "{}", statement.sql);
        }
    }
}
