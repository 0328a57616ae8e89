//! The names of the tables of rows, and of their columns and indexes.

use gavel_model::ViewId;
use gavel_store::toolkit::view_names::quoted;
use gavel_store::views::{TableId, TableShape};

/// The columns of ours, which come first.
pub(super) const OWN_COLUMNS: [&str; 3] = ["key", "position", "row"];

/// The namespace and the name of a view, as columns have them.
pub(super) fn name_of(view: &ViewId) -> [&str; 2] {
    [view.namespace().as_str(), view.name().as_str()]
}

/// The table with the rows of a table of views.
pub(super) fn rows_of(id: TableId) -> String {
    quoted(&format!("gavel_rows.v_{id}"))
}

/// An index of that table.
pub(super) fn index_of(id: TableId, number: usize) -> String {
    quoted(&format!("gavel_rows.v_{id}_{number}"))
}

/// A list of columns.
pub(super) fn list<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let names: Vec<_> = names.into_iter().map(quoted).collect();
    names.join(", ")
}

/// The columns of a shape, after those of ours.
pub(super) fn all_columns(shape: &TableShape) -> String {
    let declared = shape.columns.iter().map(|column| &*column.name);
    list(OWN_COLUMNS.into_iter().chain(declared))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tables_hold_a_dot() {
        let id = TableId::new(7);
        assert_eq!(rows_of(id), r#""gavel_rows.v_7""#);
        assert_eq!(index_of(id, 2), r#""gavel_rows.v_7_2""#);
        assert_eq!(list(["a", "b\"c"]), r#""a", "b""c""#);
    }
}
