//! Questions for rows as clients ask them, and the index that answers each.

use std::ops::Bound;

use gavel_store::views::{Cell, RowPlace, RowQuery, RowRange, TableShape};

/// A condition on a member of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The member.
    pub field: String,
    /// The comparison.
    pub kind: FilterKind,
    /// The value to compare with, as text.
    pub value: String,
}

/// A comparison of a member with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterKind {
    /// The two are equal.
    Equal,
    /// The member is greater.
    Greater,
    /// The member is greater, or the two are equal.
    GreaterOrEqual,
    /// The member is less.
    Less,
    /// The member is less, or the two are equal.
    LessOrEqual,
}

/// The reason for which a question is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misquery {
    /// A member is no column.
    #[error("`{field}` is no column of the view")]
    NoColumn {
        /// The member.
        field: String,
    },
    /// A value does not fit its column.
    #[error("the value of `{field}` {reason}")]
    Unfit {
        /// The member.
        field: String,
        /// The reason.
        reason: String,
    },
    /// Two conditions on one member exclude or repeat each other.
    #[error("there are several conditions on `{field}`")]
    Repeated {
        /// The member.
        field: String,
    },
    /// No index answers the question.
    #[error("No index of the view answers this")]
    NoIndex {
        /// The indexes that there are.
        indexes: Vec<Vec<String>>,
    },
}

/// Turns conditions and an order into a question that an index answers.
///
/// # Errors
///
/// [`Misquery`].
pub(super) fn plan(
    shape: &TableShape,
    filters: &[Filter],
    order: Option<(&str, bool)>,
) -> Result<RowQuery, Misquery> {
    let mut query = RowQuery::default();
    for filter in filters {
        let field = &filter.field;
        let kind = shape.column_type(field).ok_or_else(|| Misquery::NoColumn {
            field: field.clone(),
        })?;
        let cell = kind.parse(&filter.value).map_err(|error| Misquery::Unfit {
            field: field.clone(),
            reason: error.to_string(),
        })?;
        let repeated = || Misquery::Repeated {
            field: field.clone(),
        };
        if filter.kind == FilterKind::Equal {
            if query.equal.iter().any(|(known, _)| known == field) {
                return Err(repeated());
            }
            query.equal.push((field.clone(), cell));
            continue;
        }
        let range = query.range.get_or_insert_with(|| RowRange {
            column: field.clone(),
            lower: Bound::Unbounded,
            upper: Bound::Unbounded,
        });
        if range.column != *field {
            return Err(no_index(shape));
        }
        let (bound, value) = match filter.kind {
            FilterKind::Greater => (&mut range.lower, Bound::Excluded(cell)),
            FilterKind::GreaterOrEqual => (&mut range.lower, Bound::Included(cell)),
            FilterKind::Less => (&mut range.upper, Bound::Excluded(cell)),
            FilterKind::LessOrEqual | FilterKind::Equal => {
                (&mut range.upper, Bound::Included(cell))
            }
        };
        if *bound != Bound::Unbounded {
            return Err(repeated());
        }
        *bound = value;
    }
    if let Some((field, is_descending)) = order {
        query.is_descending = is_descending;
        if field != KEY {
            if shape.column_type(field).is_none() {
                let field = field.to_owned();
                return Err(Misquery::NoColumn { field });
            }
            let range = query.range.get_or_insert_with(|| RowRange {
                column: field.to_owned(),
                lower: Bound::Unbounded,
                upper: Bound::Unbounded,
            });
            if range.column != field {
                return Err(no_index(shape));
            }
        } else if query.range.is_some() {
            return Err(no_index(shape));
        }
    }
    if let Some(range) = &query.range
        && query.equal.iter().any(|(field, _)| *field == range.column)
    {
        let field = range.column.clone();
        return Err(Misquery::Repeated { field });
    }
    let is_by_key = query.equal.is_empty() && query.range.is_none();
    if is_by_key || shape.indexes.iter().any(|index| answers(index, &query)) {
        Ok(query)
    } else {
        Err(no_index(shape))
    }
}

/// The name by which rows are ordered by key.
pub(super) const KEY: &str = "key";

/// Tells whether an index gives the rows in their order: the values to be equal come first, then
/// the column of the order, and after the last column the key.
fn answers(index: &[String], query: &RowQuery) -> bool {
    let Some((equal, rest)) = index.split_at_checked(query.equal.len()) else {
        return false;
    };
    let has = |field: &String| query.equal.iter().any(|(known, _)| known == field);
    equal.iter().all(has)
        && match &query.range {
            Some(range) => rest.len() == 1 && rest[0] == range.column,
            None => rest.is_empty(),
        }
}

fn no_index(shape: &TableShape) -> Misquery {
    Misquery::NoIndex {
        indexes: shape.indexes.clone(),
    }
}

/// Takes a place in the order of a query from the parts that a client sends back.
pub(super) fn place(
    shape: &TableShape,
    query: &RowQuery,
    value: Option<&str>,
    key: gavel_model::RowKey,
) -> Option<RowPlace> {
    let value = match (&query.range, value) {
        (Some(range), Some(value)) => {
            let cell: Cell = shape.column_type(&range.column)?.parse(value).ok()?;
            Some(cell)
        }
        (None, Some(_)) => return None,
        (_, None) => None,
    };
    Some(RowPlace { value, key })
}

#[cfg(test)]
mod tests {
    use gavel_store::views::{Column, ColumnType};

    use super::*;

    fn shape() -> TableShape {
        let columns = [
            ("status", ColumnType::Text),
            ("amount", ColumnType::Integer),
            ("owner", ColumnType::Text),
        ];
        TableShape {
            columns: columns
                .map(|(name, kind)| Column {
                    name: name.to_owned(),
                    kind,
                })
                .into(),
            indexes: [&["status"][..], &["status", "amount"], &["amount"]]
                .map(|fields| fields.iter().map(|&field| field.to_owned()).collect())
                .into(),
        }
    }

    fn filter(field: &str, kind: FilterKind, value: &str) -> Filter {
        Filter {
            field: field.to_owned(),
            kind,
            value: value.to_owned(),
        }
    }

    #[test]
    fn what_an_index_has_in_order_is_answered() {
        let equal = filter("status", FilterKind::Equal, "open");
        let least = filter("amount", FilterKind::GreaterOrEqual, "3");
        let most = filter("amount", FilterKind::Less, "9");
        for (filters, order) in [
            (vec![], None),
            (vec![], Some(("key", true))),
            (vec![], Some(("amount", false))),
            (vec![equal.clone()], None),
            (vec![equal.clone()], Some(("key", true))),
            (vec![equal.clone()], Some(("amount", true))),
            (
                vec![least.clone(), equal.clone(), most.clone()],
                Some(("amount", true)),
            ),
            (vec![least.clone(), most], None),
        ] {
            let planned = plan(&shape(), &filters, order);
            let planned = planned.unwrap_or_else(|error| panic!("{filters:?} {order:?}: {error}"));
            assert_eq!(planned.is_descending, order.is_some_and(|(_, down)| down));
        }
    }

    #[test]
    fn anything_else_is_refused_and_says_what_there_is() {
        let equal = filter("status", FilterKind::Equal, "open");
        let none = |filters: &[Filter], order| plan(&shape(), filters, order).unwrap_err();
        for (filters, order) in [
            (vec![filter("owner", FilterKind::Equal, "ann")], None),
            (vec![equal.clone()], Some(("owner", false))),
            (
                vec![filter("status", FilterKind::Less, "x")],
                Some(("amount", false)),
            ),
            (
                vec![filter("amount", FilterKind::Less, "7")],
                Some(("key", false)),
            ),
            (
                vec![
                    filter("status", FilterKind::Less, "x"),
                    filter("amount", FilterKind::Less, "7"),
                ],
                None,
            ),
        ] {
            let Misquery::NoIndex { indexes } = none(&filters, order) else {
                panic!("{filters:?} {order:?}");
            };
            assert_eq!(indexes, shape().indexes);
        }
        let unknown = none(&[filter("nothing", FilterKind::Equal, "1")], None);
        assert!(matches!(unknown, Misquery::NoColumn { .. }));
        let unknown = none(&[], Some(("nothing", false)));
        assert!(matches!(unknown, Misquery::NoColumn { .. }));
        let unfit = none(&[filter("amount", FilterKind::Equal, "many")], None);
        assert!(matches!(unfit, Misquery::Unfit { .. }));
        let twice = none(&[equal.clone(), equal], None);
        assert!(matches!(twice, Misquery::Repeated { .. }));
        let both = [
            filter("amount", FilterKind::Equal, "1"),
            filter("amount", FilterKind::Less, "1"),
        ];
        assert!(matches!(none(&both, None), Misquery::Repeated { .. }));
    }
}
