//! The description of one view: the reads of its rows, with their types and the questions that its
//! indexes answer.

use gavel_model::ModuleName;
use gavel_store::views::{ColumnType, TableShape};
use serde_json::{Map, Value, json};

use super::members;
use super::schemas::Schemas;

const TEMPLATE: &str = "/v1/views/{view}/";
/// The comparisons of bounds, besides that for equality.
const BOUNDS: [(&str, &str); 4] = [
    ("gt", "greater than"),
    ("gte", "greater than or equal to"),
    ("lt", "less than"),
    ("lte", "less than or equal to"),
];

/// Takes the reads of rows from the whole document, and puts the type of the rows in the place of
/// the general one, and the conditions that indexes answer in that of any.
pub(super) fn typed(
    document: &Value,
    view: &ModuleName,
    row_schema: &Value,
    shape: &TableShape,
) -> Value {
    let mut typed = document.clone();
    typed["info"]["title"] = json!(view.as_str());
    typed["info"]["description"] = json!(format!(
        "The rows of the view `{view}`, typed by its active module."
    ));
    let mut schemas = Schemas::of(&document["components"]["schemas"]);
    let row = schemas.add("Row.Value", row_schema);
    schemas.member("Row", "row", row.clone());
    typed["components"]["schemas"] = schemas.into_value();
    let mut paths = paths(document, view);
    for (path, item) in &mut paths {
        let operation = &mut item["get"];
        if path.ends_with("/rows") {
            describe_questions(operation, shape);
        } else if path.ends_with("/rows/{key}") {
            operation["responses"]["200"]["content"]["application/json"]["schema"] = row.clone();
        }
    }
    typed["paths"] = Value::Object(paths);
    typed
}

fn paths(document: &Value, view: &ModuleName) -> Map<String, Value> {
    let mut paths = Map::new();
    for (path, item) in members(&document["paths"]) {
        let is_about_rows = |rest: &&str| *rest == "rows" || rest.starts_with("rows/");
        let Some(rest) = path.strip_prefix(TEMPLATE).filter(is_about_rows) else {
            continue;
        };
        let Some(mut read) = item.get("get").cloned() else {
            continue;
        };
        if let Some(parameters) = read["parameters"].as_array_mut() {
            parameters.retain(|parameter| parameter["$ref"] != "#/components/parameters/view");
        }
        paths.insert(format!("/v1/views/{view}/{rest}"), json!({ "get": read }));
    }
    paths
}

/// Describes the conditions and orders that the indexes answer: each index those for equality on
/// all of its members, or on all but the last, of which bounds or an order are given then.
fn describe_questions(operation: &mut Value, shape: &TableShape) {
    operation["x-indexes"] = json!(shape.indexes);
    let mut parameters = operation["parameters"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let mut orders = vec!["key".to_owned(), "-key".to_owned()];
    for column in &shape.columns {
        let field = column.name.as_str();
        let of_field = |index: &&Vec<String>| index.iter().any(|member| member == field);
        let indexes: Vec<&Vec<String>> = shape.indexes.iter().filter(of_field).collect();
        if indexes.is_empty() {
            continue;
        }
        // What begins with `_` and has no dot is a parameter of the API.
        let equal = match field.starts_with('_') {
            true => format!("{field}.eq"),
            false => field.to_owned(),
        };
        let equals = indexes.iter().map(|index| beside(index, field));
        let schema = schema_of(column.kind);
        parameters.push(parameter(&equal, "equal to", field, equals, &schema));
        let ranged = indexes
            .iter()
            .filter(|index| index.last().is_some_and(|last| last == field));
        let ranged: Vec<String> = ranged.map(|index| beside(index, field)).collect();
        if ranged.is_empty() {
            continue;
        }
        for (bound, words) in BOUNDS {
            let name = format!("{field}.{bound}");
            parameters.push(parameter(
                &name,
                words,
                field,
                ranged.iter().cloned(),
                &schema,
            ));
        }
        orders.extend([field.to_owned(), format!("-{field}")]);
    }
    for parameter in &mut parameters {
        if parameter["name"] == "_order" {
            parameter["schema"] = json!({ "type": "string", "enum": orders, "default": "key" });
        }
    }
    operation["parameters"] = parameters.into();
}

/// The other members of an index, in words.
fn beside(index: &[String], field: &str) -> String {
    let others = index.iter().filter(|member| *member != field);
    let others: Vec<String> = others.map(|member| format!("`{member}`")).collect();
    match others.is_empty() {
        true => "by itself".to_owned(),
        false => format!("with a condition on {}", others.join(", ")),
    }
}

fn parameter(
    name: &str,
    comparison: &str,
    field: &str,
    answered: impl Iterator<Item = String>,
    schema: &Value,
) -> Value {
    let answered: Vec<String> = answered.collect();
    json!({
        "name": name, "in": "query", "required": false, "schema": schema,
        "description": format!(
            "Only rows whose `{field}` is {comparison} this: {}.",
            answered.join(", or ")
        ),
    })
}

fn schema_of(kind: ColumnType) -> Value {
    match kind {
        ColumnType::Integer => json!({ "type": "integer", "format": "int64" }),
        ColumnType::Number => json!({ "type": "number" }),
        ColumnType::Boolean => json!({ "type": "boolean" }),
        ColumnType::Text => json!({ "type": "string" }),
        ColumnType::Time => json!({ "type": "string", "format": "date-time" }),
        ColumnType::Uuid => json!({ "type": "string", "format": "uuid" }),
    }
}

#[cfg(test)]
mod tests {
    use gavel_model::ModuleKind;
    use gavel_store::views::Column;

    use super::*;
    use crate::router::describe;
    use crate::settings::ApiSettings;

    fn described() -> Value {
        let column = |name: &str, kind| Column {
            name: name.to_owned(),
            kind,
        };
        let shape = TableShape {
            columns: vec![
                column("status", ColumnType::Text),
                column("_at", ColumnType::Time),
                column("note", ColumnType::Text),
            ],
            indexes: vec![
                vec!["status".to_owned()],
                vec!["status".to_owned(), "_at".to_owned()],
            ],
        };
        let schema = json!({
            "$ref": "#/$defs/Order",
            "$defs": { "Order": { "type": "object", "properties": { "parent": { "$ref": "#/$defs/Order" } } } },
        });
        let name = ModuleName::new(ModuleKind::View, "orders").unwrap();
        describe(&ApiSettings::default()).of_view(&name, &schema, &shape)
    }

    fn named<'d>(document: &'d Value, name: &str) -> Option<&'d Value> {
        let list = &document["paths"]["/v1/views/orders/rows"]["get"];
        let mut parameters = list["parameters"].as_array().unwrap().iter();
        parameters.find(|parameter| parameter["name"] == name)
    }

    #[test]
    fn only_the_reads_of_rows_are_described_under_the_name_of_the_view() {
        let described = described();
        for (path, item) in members(&described["paths"]) {
            assert!(path.starts_with("/v1/views/orders/rows"), "{path}");
            let methods: Vec<_> = members(item).map(|(method, _)| method.as_str()).collect();
            assert_eq!(methods, ["get"], "{path}");
        }
        assert!(!described["paths"].to_string().contains("parameters/view\""));
    }

    #[test]
    fn rows_are_typed_wherever_they_are() {
        let described = described();
        let schemas = &described["components"]["schemas"];
        let row = json!({ "$ref": "#/components/schemas/Row.Value" });
        assert_eq!(schemas["Row"]["properties"]["row"], row);
        let of_one = &described["paths"]["/v1/views/orders/rows/{key}"]["get"]["responses"]["200"];
        assert_eq!(of_one["content"]["application/json"]["schema"], row);
        let order = json!({ "$ref": "#/components/schemas/Row.Value.Order" });
        assert_eq!(schemas["Row.Value"], order);
        assert_eq!(schemas["Row.Value.Order"]["properties"]["parent"], order);
    }

    #[test]
    fn a_member_is_compared_as_an_index_answers_it() {
        let described = described();
        let status = named(&described, "status").unwrap();
        assert_eq!(status["schema"], json!({ "type": "string" }));
        let words =
            "Only rows whose `status` is equal to this: by itself, or with a condition on `_at`.";
        assert_eq!(status["description"], words);
        assert!(named(&described, "status.gt").is_some());
        let at = named(&described, "_at.gte").unwrap();
        assert_eq!(at["schema"]["format"], "date-time");
        assert!(named(&described, "_at.eq").is_some());
        for unknown in ["_at", "note", "note.gt"] {
            assert!(named(&described, unknown).is_none(), "{unknown}");
        }
        let orders = &named(&described, "_order").unwrap()["schema"]["enum"];
        assert_eq!(
            *orders,
            json!(["key", "-key", "status", "-status", "_at", "-_at"])
        );
    }
}
