//! The scans of indexes that answer a query for rows, for stores that speak SQL.

use std::cmp::Ordering;
use std::ops::Bound;

use crate::Error;
use crate::views::{Cell, RowQuery, RowRange};

/// One scan: its rows come in their order, and those of the next scan after them.
#[derive(Debug, Clone, PartialEq)]
pub struct RowScan {
    /// The conditions, all of which a row meets: what comes behind `WHERE`; none for all rows.
    pub condition: Option<String>,
    /// The values of the conditions, in the order of their placeholders.
    pub values: Vec<Cell>,
    /// The column by whose values the rows are ordered; none if they are ordered by key alone.
    pub column: Option<String>,
    /// The order: what comes behind `ORDER BY`.
    pub order: String,
}

/// Plans the scans that answer a query: first of the rows that have a value in the order's column,
/// and then of the others.
///
/// `column` gives the name of a column as SQL needs it, and `placeholder` the text for the value
/// with a number; the first of the first scan is 0.
///
/// # Errors
///
/// The error of `column`.
pub fn row_scans(
    asked: &RowQuery,
    column: impl Fn(&str) -> Result<String, Error>,
    placeholder: impl Fn(usize) -> String,
) -> Result<Vec<RowScan>, Error> {
    let mut values = Values {
        count: 0,
        placeholder,
    };
    let after = asked.after.as_ref();
    let Some(range) = &asked.range else {
        let mut scan = ScanConditions::equal(asked, &column, &mut values)?;
        if let Some(after) = after {
            scan.beyond_key(asked, after.key.as_str(), &mut values);
        }
        return Ok(vec![scan.ordered(None, asked)]);
    };
    let ordered = column(&range.column)?;
    let mut scans = Vec::new();
    let value_after = after.and_then(|after| Some((after.value.as_ref()?, after.key.as_str())));
    if after.is_none() || value_after.is_some() {
        let mut scan = ScanConditions::equal(asked, &column, &mut values)?;
        scan.within(&ordered, range, asked, value_after, &mut values);
        scans.push(scan.ordered(Some(&ordered), asked));
    }
    if !range.is_bounded() {
        let mut scan = ScanConditions::equal(asked, &column, &mut values)?;
        scan.all.push(format!("{ordered} IS NULL"));
        if let Some(after) = after.filter(|after| after.value.is_none()) {
            scan.beyond_key(asked, after.key.as_str(), &mut values);
        }
        scans.push(scan.ordered(Some(&ordered), asked));
    }
    Ok(scans)
}

/// The numbers of the values of all scans.
struct Values<P> {
    count: usize,
    placeholder: P,
}

impl<P: Fn(usize) -> String> Values<P> {
    fn next(&mut self) -> String {
        let place = (self.placeholder)(self.count);
        self.count += 1;
        place
    }
}

/// The conditions of a scan, and their values.
#[derive(Default)]
struct ScanConditions {
    all: Vec<String>,
    values: Vec<Cell>,
}

impl ScanConditions {
    fn equal<P: Fn(usize) -> String>(
        asked: &RowQuery,
        column: impl Fn(&str) -> Result<String, Error>,
        values: &mut Values<P>,
    ) -> Result<Self, Error> {
        let mut scan = Self::default();
        for (name, wanted) in &asked.equal {
            scan.compare(&column(name)?, "=", wanted, values);
        }
        Ok(scan)
    }

    fn compare<P: Fn(usize) -> String>(
        &mut self,
        column: &str,
        comparison: &str,
        value: &Cell,
        values: &mut Values<P>,
    ) {
        self.all
            .push(format!("{column} {comparison} {}", values.next()));
        self.values.push(value.clone());
    }

    fn bound<P: Fn(usize) -> String>(
        &mut self,
        column: &str,
        side: &str,
        bound: &Bound<Cell>,
        values: &mut Values<P>,
    ) {
        match bound {
            Bound::Unbounded => {}
            Bound::Included(value) => self.compare(column, &format!("{side}="), value, values),
            Bound::Excluded(value) => self.compare(column, side, value, values),
        }
    }

    fn beyond_key<P: Fn(usize) -> String>(
        &mut self,
        asked: &RowQuery,
        key: &str,
        values: &mut Values<P>,
    ) {
        let key = Cell::Text(key.to_owned());
        self.compare("key", beyond(asked.is_descending), &key, values);
    }

    /// Takes the rows that have a value in the order's column, within bounds and after a place.
    fn within<P: Fn(usize) -> String>(
        &mut self,
        column: &str,
        range: &RowRange,
        asked: &RowQuery,
        after: Option<(&Cell, &str)>,
        values: &mut Values<P>,
    ) {
        let (lower, upper) = (&range.lower, &range.upper);
        let (first, last) = match asked.is_descending {
            true => (upper, lower),
            false => (lower, upper),
        };
        // Of the place and the bound at which the page may begin the tighter one leads into the
        // index.
        let after = after.filter(|(value, _)| is_within(value, first, asked.is_descending));
        self.bound(column, beyond(!asked.is_descending), last, values);
        if let Some((value, key)) = after {
            let beyond = beyond(asked.is_descending);
            let (first, second) = (values.next(), values.next());
            self.all
                .push(format!("({column}, key) {beyond} ({first}, {second})"));
            let key = Cell::Text(key.to_owned());
            self.values.extend([value.clone(), key]);
        } else {
            self.bound(column, beyond(asked.is_descending), first, values);
            if !range.is_bounded() {
                self.all.push(format!("{column} IS NOT NULL"));
            }
        }
    }

    /// The scan of what meets the conditions, by a column and the key. Rows without a value are
    /// ordered by the column as well: only so does PostgreSQL take its index for their order.
    fn ordered(self, column: Option<&str>, asked: &RowQuery) -> RowScan {
        let direction = if asked.is_descending { " DESC" } else { "" };
        let by_key = format!("key{direction}");
        RowScan {
            condition: (!self.all.is_empty()).then(|| self.all.join(" AND ")),
            values: self.values,
            column: column.map(str::to_owned),
            order: match column {
                Some(column) => format!("{column}{direction}, {by_key}"),
                None => by_key,
            },
        }
    }
}

/// The comparison with the place after which rows are wanted.
fn beyond(is_descending: bool) -> &'static str {
    if is_descending { "<" } else { ">" }
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
