//! Questions for the rows of a view.

use axum::extract::FromRequestParts;
use axum::http::HeaderName;
use axum::http::request::Parts;
use gavel_api::Limit;
use gavel_engine::views::{Filter, FilterKind};
use gavel_model::{Position, RowKey};
use gavel_store::views::{Cell, RowPlace};
use time::format_description::well_known::Rfc3339;

use super::headers::single;
use crate::error::{Location, Problem, malformed};
use crate::state::AppState;

pub(crate) const AFTER: &str = "Gavel-After";
/// The most conditions of a query (inclusive).
const FILTERS: usize = 16;

/// The position that an answer has to show: `Gavel-After`.
#[derive(Debug)]
pub(crate) struct AfterHeader(pub(crate) Option<Position>);

impl FromRequestParts<AppState> for AfterHeader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Problem> {
        let name = HeaderName::from_static("gavel-after");
        let text = single(&parts.headers, &name, AFTER)?;
        let position = text.map(|text| text.parse::<Position>()).transpose();
        position
            .map(Self)
            .map_err(|error| malformed(Location::Header(AFTER), error.to_string()))
    }
}

/// The conditions, the order and the page of a question for rows. Names of members are a view's
/// own; parameters of ours begin with `_`.
#[derive(Debug, Default)]
pub(crate) struct RowsQuery {
    pub(crate) filters: Vec<Filter>,
    /// The member by which rows are ordered, and whether the greatest comes first.
    pub(crate) order: Option<(String, bool)>,
    pub(crate) after: Option<(Option<String>, RowKey)>,
    pub(crate) limit: Limit,
    /// The parameter that makes this a question for a page; none if any number of rows is the
    /// answer.
    pub(crate) page: Option<&'static str>,
}

impl FromRequestParts<AppState> for RowsQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, Problem> {
        Self::parse(parts.uri.query().unwrap_or_default())
    }
}

impl RowsQuery {
    fn parse(query: &str) -> Result<Self, Problem> {
        let pairs: Vec<(String, String)> = serde_html_form::from_str(query)
            .map_err(|error| malformed(Location::parameter("query"), error.to_string()))?;
        let mut parsed = Self::default();
        let mut seen = Vec::new();
        for (name, value) in pairs {
            let wrong = |reason: &str| malformed(Location::parameter(name.clone()), reason);
            if seen.contains(&name) {
                return Err(wrong("it is given twice"));
            }
            match name.as_str() {
                "_limit" => {
                    let number: Result<u32, _> = value.parse();
                    let number = number.map_err(|_| wrong("give a number from 1 to 1000"))?;
                    parsed.limit = Limit::try_from(number).map_err(wrong)?;
                    parsed.page = Some("_limit");
                }
                "_order" => {
                    let (field, is_descending) = match value.strip_prefix('-') {
                        Some(field) => (field, true),
                        None => (value.as_str(), false),
                    };
                    parsed.order = Some((field.to_owned(), is_descending));
                }
                "_after" if value.is_empty() => {}
                "_after" => {
                    let place = read_place(&value);
                    let reason = "it is not the `next` of a page";
                    parsed.after = Some(place.ok_or_else(|| wrong(reason))?);
                    parsed.page = Some("_after");
                }
                own if own.starts_with('_') && is_ours(own) => {
                    return Err(wrong("it is unknown"));
                }
                _ if parsed.filters.len() == FILTERS => {
                    return Err(wrong("there are more than 16 conditions"));
                }
                _ => parsed.filters.push(filter(&name, value)),
            }
            seen.push(name);
        }
        Ok(parsed)
    }
}

/// Tells whether a name is one of the parameters that are kept for this API. A member may begin
/// with `_`, too, and is compared by `_name.eq`.
fn is_ours(name: &str) -> bool {
    !name.contains('.')
}

fn filter(name: &str, value: String) -> Filter {
    let kinds = [
        (".eq", FilterKind::Equal),
        (".gt", FilterKind::Greater),
        (".gte", FilterKind::GreaterOrEqual),
        (".lt", FilterKind::Less),
        (".lte", FilterKind::LessOrEqual),
    ];
    let compared = kinds.iter().find_map(|(suffix, kind)| {
        let field = name.strip_suffix(suffix)?;
        Some((field, *kind))
    });
    let (field, kind) = compared.unwrap_or((name, FilterKind::Equal));
    Filter {
        field: field.to_owned(),
        kind,
        value,
    }
}

/// Reads the place of a row that [`write_place`] has written.
pub(crate) fn read_place(text: &str) -> Option<(Option<String>, RowKey)> {
    let bytes = hex::decode(text).ok()?;
    let (value, key): (Option<String>, String) = serde_json::from_slice(&bytes).ok()?;
    Some((value, RowKey::new(key).ok()?))
}

/// Writes the place of a row in an order, opaque to clients.
pub(crate) fn write_place(place: &RowPlace) -> String {
    let value = place.value.as_ref().map(|value| match value {
        Cell::Integer(number) => number.to_string(),
        Cell::Number(number) => number.to_string(),
        Cell::Boolean(value) => value.to_string(),
        Cell::Text(text) => text.clone(),
        Cell::Time(time) => time.format(&Rfc3339).unwrap_or_default(),
        Cell::Uuid(id) => id.to_string(),
    });
    let place = serde_json::json!([value, place.key.as_str()]);
    hex::encode(place.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_order_and_page_are_told_apart() {
        let query = RowsQuery::parse(
            "status=open&created_at.gte=2026-01-01T00:00:00Z&a.b=1&_order=-created_at&_limit=7",
        );
        let query = query.unwrap();
        let fields: Vec<_> = query
            .filters
            .iter()
            .map(|f| (f.field.as_str(), f.kind))
            .collect();
        assert_eq!(
            fields,
            [
                ("status", FilterKind::Equal),
                ("created_at", FilterKind::GreaterOrEqual),
                ("a.b", FilterKind::Equal),
            ]
        );
        assert_eq!(query.order, Some(("created_at".to_owned(), true)));
        assert_eq!(query.limit.get(), 7);
    }

    #[test]
    fn what_means_nothing_is_refused() {
        let many: Vec<String> = (0..17).map(|number| format!("f{number}=1")).collect();
        for query in [
            "_limit=0",
            "_limit=1001",
            "_limit=x",
            "_after=x",
            "_fields=a",
            "a=1&a=2",
            &many.join("&"),
        ] {
            assert!(RowsQuery::parse(query).is_err(), "{query}");
        }
    }

    #[test]
    fn a_place_is_read_as_it_was_written() {
        for value in [
            None,
            Some(Cell::Text("a \"b\"".to_owned())),
            Some(Cell::Integer(-7)),
        ] {
            let key = RowKey::new("日 本").unwrap();
            let place = RowPlace {
                value,
                key: key.clone(),
            };
            let query = RowsQuery::parse(&format!("_after={}", write_place(&place))).unwrap();
            let (value, read) = query.after.unwrap();
            assert_eq!(read, key);
            assert_eq!(value.is_some(), place.value.is_some());
        }
    }
}
