//! The names that views, tables and columns have in SQL.

use gavel_model::{Namespace, ViewId};

/// The longest name in SQL, in bytes (inclusive): PostgreSQL cuts longer ones.
const NAME_LIMIT_BYTES: usize = 63;

/// Quotes an identifier. Every one that is not written out in the code passes here.
#[must_use]
pub fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// Quotes a text.
#[must_use]
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The name by which SQL reads a view, not quoted; none where it would be too long.
#[must_use]
pub fn name_of_view(view: &ViewId) -> Option<String> {
    let name = view.name().as_str();
    let name = if *view.namespace() == Namespace::default() {
        name.to_owned()
    } else {
        format!("{name}@{}", view.namespace())
    };
    (name.len() <= NAME_LIMIT_BYTES).then_some(name)
}

/// The reason for which [`name_of_view`] gives none.
pub const NAME_TOO_LONG: &str =
    "the view has no name in SQL: with its namespace it would have more than 63 bytes";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_in_names_and_texts_end_neither() {
        for (name, quoted_name) in [
            ("order", r#""order""#),
            (r#"a"; DROP TABLE x --"#, r#""a""; DROP TABLE x --""#),
            ("", r#""""#),
        ] {
            assert_eq!(quoted(name), quoted_name);
        }
        assert_eq!(literal("it's"), "'it''s'");
    }

    #[test]
    fn views_of_other_namespaces_are_named_with_it() {
        let named = |namespace: &str, name: &str| {
            let namespace = Namespace::new(namespace).unwrap();
            name_of_view(&ViewId::new(namespace, name).unwrap())
        };
        assert_eq!(named("default", "orders").as_deref(), Some("orders"));
        assert_eq!(named("shop", "orders").as_deref(), Some("orders@shop"));
        let long = "x".repeat(60);
        assert_eq!(named("default", &long), Some(long.clone()));
        assert_eq!(named("shop", &long), None);
    }
}
