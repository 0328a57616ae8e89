//! The manifest of a view, and the faults that one can have. Each [`Fault`] is a single one; all
//! else stays the same.
//!
//! A variant is a module with one of the faults: one line in a file of `variants`.

use serde_json::{Map, Value, json};

pub use view_base;

/// The fault of a variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Nothing,
    ClashingColumns,
    ManyColumns,
    IndexOnNothing,
    IndexOnList,
    ManyIndexes,
    Name,
    ReadsNothing,
}

/// The most columns that a host makes of a row, and indexes (both inclusive).
const COLUMNS: usize = 200;
const INDEXES: usize = 16;

pub fn manifest(fault: Fault) -> String {
    let mut properties = Map::from_iter([
        ("status".to_owned(), json!({ "type": "string" })),
        ("dishes".to_owned(), json!({ "type": "array" })),
    ]);
    let mut indexes = vec![json!(["status"])];
    let mut reads = vec![json!({ "decider": "actor", "event": "Acted", "schema_versions": [1] })];
    let mut name = "view_plain";
    match fault {
        Fault::Nothing => {}
        Fault::ClashingColumns => {
            properties.insert("Status".to_owned(), json!({ "type": "string" }));
        }
        Fault::ManyColumns => {
            let fields = (1..=COLUMNS).map(|n| format!("field_{n}"));
            properties.extend(fields.map(|field| (field, json!({ "type": "integer" }))));
        }
        Fault::IndexOnNothing => indexes.push(json!(["status", "state"])),
        Fault::IndexOnList => indexes.push(json!(["dishes"])),
        Fault::ManyIndexes => {
            // All differ, and each is on fields that are there.
            for number in 0..INDEXES {
                let field = format!("field_{number}");
                indexes.push(json!(["status", field]));
                properties.insert(field, json!({ "type": "integer" }));
            }
        }
        Fault::Name => name = "Orders",
        Fault::ReadsNothing => reads.clear(),
    }
    let row_schema: Value = json!({ "type": "object", "properties": properties });
    json!({
        "name": name,
        "kind": "view",
        "sdk": "none",
        "reads": reads,
        "row_schema": row_schema,
        "indexes": indexes,
        "specs": [],
    })
    .to_string()
}

/// Makes a module of the view with this fault.
#[macro_export]
macro_rules! export {
    ($fault:ident) => {
        use $crate::view_base;

        view_base::module!($crate::manifest($crate::Fault::$fault));
    };
}
