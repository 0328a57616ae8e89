//! The question of a feed: the rows that it is about.

use std::cmp::Ordering;
use std::collections::HashMap;

use gavel_model::{Json, RowKey};
use gavel_store::views::{Cell, RowPlace, RowQuery, TableShape};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::views::query::{self, Filter, Misquery};

/// Conditions on rows, and an order.
#[derive(Debug)]
pub(super) struct FeedQuery {
    pub(super) filters: Vec<Filter>,
    /// The member by which rows are ordered, and whether the greatest comes first.
    pub(super) order: Option<(String, bool)>,
}

/// A question that an index of a table answers.
#[derive(Debug)]
pub(super) struct PlannedQuery {
    shape: TableShape,
    query: RowQuery,
}

impl FeedQuery {
    pub(super) fn plan(&self, shape: &TableShape) -> Result<PlannedQuery, Misquery> {
        let order = self.order.as_ref();
        let order = order.map(|(field, is_descending)| (field.as_str(), *is_descending));
        Ok(PlannedQuery {
            shape: shape.clone(),
            query: query::plan(shape, &self.filters, order)?,
        })
    }
}

impl PlannedQuery {
    /// The question for a page of the rows.
    pub(super) fn page(&self, after: Option<RowPlace>, limit: u32) -> RowQuery {
        RowQuery {
            after,
            limit,
            ..self.query.clone()
        }
    }

    /// The place that a client has sent back; none if it is none of this order.
    pub(super) fn place(&self, (value, key): (Option<String>, RowKey)) -> Option<RowPlace> {
        query::place(&self.shape, &self.query, value.as_deref(), key)
    }

    /// Tells whether a row fulfils the conditions, as the store would.
    pub(super) fn wants(&self, row: &Json) -> bool {
        let range = self.query.range.as_ref();
        let range = range.filter(|range| range.is_bounded());
        if self.query.equal.is_empty() && range.is_none() {
            return true;
        }
        let members: HashMap<String, &RawValue> =
            serde_json::from_str(row.as_str()).unwrap_or_default();
        let cell = |column: &str| -> Option<Cell> {
            let member: Value = serde_json::from_str(members.get(column)?.get()).ok()?;
            let kind = self.shape.column_type(column)?;
            kind.cell(Some(&member), false).ok()?
        };
        let mut equal = self.query.equal.iter();
        equal.all(|(column, wanted)| {
            let cell = cell(column);
            cell.and_then(|cell| cell.compare(wanted)) == Some(Ordering::Equal)
        }) && range.is_none_or(|range| cell(&range.column).is_some_and(|cell| range.has(&cell)))
    }
}

#[cfg(test)]
mod tests {
    use gavel_store::views::{Column, ColumnType};

    use super::*;
    use crate::views::FilterKind;

    fn planned(filters: &[(&str, FilterKind, &str)], order: Option<&str>) -> PlannedQuery {
        let columns = [
            ("status", ColumnType::Text),
            ("amount", ColumnType::Integer),
        ];
        let shape = TableShape {
            columns: columns
                .map(|(name, kind)| Column {
                    name: name.to_owned(),
                    kind,
                })
                .into(),
            indexes: [&["status"][..], &["status", "amount"], &["amount"]]
                .map(|fields| fields.iter().map(|&field| field.to_owned()).collect())
                .into(),
        };
        let filters = filters.iter().map(|(field, kind, value)| Filter {
            field: (*field).to_owned(),
            kind: *kind,
            value: (*value).to_owned(),
        });
        let query = FeedQuery {
            filters: filters.collect(),
            order: order.map(|field| (field.to_owned(), false)),
        };
        query.plan(&shape).unwrap()
    }

    #[test]
    fn a_row_is_wanted_as_the_store_would_find_it() {
        let open = ("status", FilterKind::Equal, "open");
        let least = ("amount", FilterKind::GreaterOrEqual, "3");
        let most = ("amount", FilterKind::Less, "9");
        for (filters, order, row, is_wanted) in [
            (&[][..], None, "{}", true),
            (&[][..], Some("amount"), "{}", true),
            (&[open][..], None, r#"{"status": "open"}"#, true),
            (&[open][..], None, r#"{"status": "shut"}"#, false),
            (&[open][..], None, r#"{"status": null}"#, false),
            (&[open][..], None, "{}", false),
            (&[open][..], Some("amount"), r#"{"status": "open"}"#, true),
            (&[least, most][..], None, r#"{"amount": 3}"#, true),
            (&[least, most][..], None, r#"{"amount": 9}"#, false),
            (&[least, most][..], None, r#"{"amount": null}"#, false),
            (
                &[open, least][..],
                None,
                r#"{"amount": 3, "status": "open"}"#,
                true,
            ),
            (
                &[open, least][..],
                None,
                r#"{"amount": 2, "status": "open"}"#,
                false,
            ),
        ] {
            let row = Json::parse(row).unwrap();
            let query = planned(filters, order);
            assert_eq!(query.wants(&row), is_wanted, "{filters:?} {row:?}");
        }
    }
}
