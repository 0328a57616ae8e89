//! Questions for the rows of views in memory.

use std::cmp::Ordering;

use crate::Error;
use crate::views::{Cell, KeyedRow, RowPlace, RowQuery, RowRange, TableShape};

/// A query against the columns of one table.
pub(super) struct Question<'q> {
    equal: Vec<(usize, &'q Cell)>,
    range: Option<(usize, &'q RowRange)>,
    is_descending: bool,
}

impl<'q> Question<'q> {
    pub(super) fn of(query: &'q RowQuery, shape: &TableShape) -> Result<Self, Error> {
        let equal = query.equal.iter();
        let equal = equal.map(|(column, cell)| Ok((shape.place_of(column)?, cell)));
        let range = query.range.as_ref();
        let range = range.map(|range| Ok::<_, Error>((shape.place_of(&range.column)?, range)));
        Ok(Self {
            equal: equal.collect::<Result<_, Error>>()?,
            range: range.transpose()?,
            is_descending: query.is_descending,
        })
    }

    pub(super) fn wants(&self, row: &KeyedRow) -> bool {
        let mut equal = self.equal.iter();
        let is_equal = equal.all(|(place, wanted)| {
            let cell = row.cells[*place].as_ref();
            cell.and_then(|cell| cell.compare(wanted)) == Some(Ordering::Equal)
        });
        is_equal
            && self.range.is_none_or(|(place, range)| {
                let cell = row.cells[place].as_ref();
                !range.is_bounded() || cell.is_some_and(|cell| range.has(cell))
            })
    }

    pub(super) fn place(&self, row: &KeyedRow) -> RowPlace {
        RowPlace {
            value: self.range.and_then(|(place, _)| row.cells[place].clone()),
            key: row.key.clone(),
        }
    }

    pub(super) fn compare(&self, one: &RowPlace, other: &RowPlace) -> Ordering {
        let directed = |order: Ordering| match self.is_descending {
            true => order.reverse(),
            false => order,
        };
        let by_key = || directed(one.key.cmp(&other.key));
        match (&one.value, &other.value) {
            (Some(value), Some(than)) => {
                let by_value = value.compare(than).unwrap_or(Ordering::Equal);
                directed(by_value).then_with(by_key)
            }
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => by_key(),
        }
    }
}

pub(super) fn number(cell: &Cell) -> f64 {
    match cell {
        #[expect(clippy::cast_precision_loss, reason = "a sum for people to read")]
        Cell::Integer(number) => *number as f64,
        Cell::Number(number) => *number,
        Cell::Boolean(_) | Cell::Text(_) | Cell::Time(_) | Cell::Uuid(_) => 0.0,
    }
}
