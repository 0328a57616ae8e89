//! The schemas of the types that serde knows by itself.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{SchemaWriter, document};
use crate::JsonSchema;

fn schema<T: JsonSchema>() -> Value {
    serde_json::from_str(&document(T::schema)).unwrap()
}

/// Tells whether the schema of `T` accepts `json`, and whether serde reads a `T` from it.
fn accepts<T: JsonSchema + for<'de> Deserialize<'de>>(json: Value) -> (bool, bool) {
    let valid = jsonschema::validator_for(&schema::<T>())
        .unwrap()
        .is_valid(&json);
    (valid, serde_json::from_value::<T>(json).is_ok())
}

#[track_caller]
fn assert_accepted<T: JsonSchema + for<'de> Deserialize<'de>>(json: Value) {
    assert_eq!(
        accepts::<T>(json.clone()),
        (true, true),
        "{json} against {}",
        schema::<T>()
    );
}

#[track_caller]
fn assert_refused<T: JsonSchema + for<'de> Deserialize<'de>>(json: Value) {
    assert_eq!(
        accepts::<T>(json.clone()),
        (false, false),
        "{json} against {}",
        schema::<T>()
    );
}

/// A leaf
/// on a tree.
///
/// It is green.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Leaf {
    /// In "millimetres".
    leaf_size: u32,
    #[serde(rename = "colour")]
    color: Option<String>,
    #[serde(default)]
    r#type: u8,
    #[serde(skip)]
    #[expect(dead_code, reason = "left out of the JSON")]
    cached: u64,
    #[schema(as = String)]
    #[serde(with = "as_text")]
    secret: u64,
}

mod as_text {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Tree {
    leaves: Vec<Leaf>,
    branches: BTreeMap<String, Tree>,
    parent: Option<Box<Tree>>,
    name: Name,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Name(String);

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
struct Wrapped {
    inner: Option<Name>,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
struct Converted(char);

impl From<String> for Converted {
    fn from(text: String) -> Self {
        Self(text.chars().next().unwrap_or('?'))
    }
}

impl From<Converted> for String {
    fn from(Converted(letter): Converted) -> Self {
        letter.into()
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Generic<T> {
    value: T,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename_all_fields = "UPPERCASE")]
enum External {
    PlainOne,
    /// Documented.
    PlainTwo,
    Newtype(Name),
    Tuple(u8, bool),
    Struct {
        value: i8,
    },
    #[serde(skip)]
    #[expect(dead_code, reason = "left out of the JSON")]
    Hidden,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type")]
enum Internal {
    Unit,
    Struct { value: i8 },
    Newtype(Generic<u8>),
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    Unit,
    Newtype(u8),
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Untagged {
    Number(i8),
    Struct { value: String },
    Nothing,
}

#[derive(Serialize, Deserialize, JsonSchema)]
enum Plain {
    First,
    Second,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Unit;

#[test]
fn a_struct_has_the_schema_that_its_attributes_say() {
    let expected = json!({
        "description": "A leaf on a tree.\n\nIt is green.",
        "additionalProperties": false,
        "type": "object",
        "properties": {
            "leafSize": {
                "description": "In \"millimetres\".",
                "type": "integer",
                "format": "uint32",
                "minimum": 0,
                "maximum": u32::MAX,
            },
            "colour": { "type": ["string", "null"] },
            "type": { "type": "integer", "format": "uint8", "minimum": 0, "maximum": 255 },
            "secret": { "type": "string" },
        },
        "required": ["leafSize", "secret"],
    });
    assert_eq!(schema::<Leaf>(), expected);
}

#[test]
fn what_fits_the_schema_fits_the_type() {
    assert_accepted::<Leaf>(json!({ "leafSize": 1, "secret": "5" }));
    assert_refused::<Leaf>(json!({ "leafSize": 1, "secret": "5", "unknown": 1 }));
    assert_refused::<Leaf>(json!({ "leafSize": -1, "secret": "5" }));
    let bare = json!({ "leaves": [], "branches": {}, "name": "a" });
    let tree = json!({ "leaves": [], "branches": { "left": bare }, "parent": bare, "name": "b" });
    assert_accepted::<Tree>(tree.clone());
    assert_refused::<Tree>(
        json!({ "leaves": [], "branches": { "left": { "leaves": [] } }, "name": "b" }),
    );
    assert_accepted::<Wrapped>(json!(null));
    assert_accepted::<Wrapped>(json!("a"));
    assert_accepted::<Converted>(json!("a"));
    assert_refused::<Converted>(json!(5));
    assert_accepted::<Unit>(json!(null));
    assert_accepted::<Generic<Tree>>(json!({ "value": tree }));
}

#[test]
fn each_representation_of_an_enum_has_its_schema() {
    assert_accepted::<External>(json!("plain-one"));
    assert_accepted::<External>(json!("plain-two"));
    assert_accepted::<External>(json!({ "newtype": "a" }));
    assert_accepted::<External>(json!({ "tuple": [1, true] }));
    assert_accepted::<External>(json!({ "struct": { "VALUE": -1 } }));
    assert_refused::<External>(json!("hidden"));
    assert_refused::<External>(json!({ "tuple": [1] }));
    assert_accepted::<Internal>(json!({ "type": "Unit" }));
    assert_accepted::<Internal>(json!({ "type": "Struct", "value": -1 }));
    assert_accepted::<Internal>(json!({ "type": "Newtype", "value": 1 }));
    assert_refused::<Internal>(json!({ "type": "Struct" }));
    assert_refused::<Internal>(json!({ "type": "Other" }));
    assert_accepted::<Adjacent>(json!({ "t": "Unit" }));
    assert_accepted::<Adjacent>(json!({ "t": "Newtype", "c": 1 }));
    assert_refused::<Adjacent>(json!({ "t": "Newtype" }));
    assert_accepted::<Untagged>(json!(1));
    assert_accepted::<Untagged>(json!({ "value": "a" }));
    assert_accepted::<Untagged>(json!(null));
    assert_refused::<Untagged>(json!("a"));
    assert_eq!(
        schema::<Plain>(),
        json!({ "type": "string", "enum": ["First", "Second"] })
    );
}

#[test]
fn the_standard_librarys_types_have_schemas() {
    assert_accepted::<(u8, Option<String>, char)>(json!([1, null, "ß"]));
    assert_refused::<(u8, bool)>(json!([1]));
    assert_accepted::<[f32; 2]>(json!([1, 2.5]));
    assert_refused::<[u8; 2]>(json!([1]));
    assert_accepted::<HashMap<u8, BTreeSet<i64>>>(json!({ "1": [-1, 1] }));
    assert_accepted::<u64>(json!(u64::MAX));
    assert_accepted::<i64>(json!(i64::MIN));
    assert_refused::<u8>(json!(256));
    assert_refused::<i8>(json!(-129));
    assert_accepted::<Cow<'static, str>>(json!("a"));
    assert_accepted::<Option<Vec<Name>>>(json!(["a"]));
    assert_accepted::<Option<Plain>>(json!(null));
    assert_accepted::<Value>(json!({ "anything": [1, "goes"] }));
}

#[test]
fn types_of_the_same_name_are_told_apart() {
    mod other {
        #[derive(crate::JsonSchema)]
        pub(super) struct Name(#[expect(dead_code, reason = "only its schema is of interest")] u8);
    }
    fn both(schema: &mut SchemaWriter) {
        schema.tuple(&[Name::schema, other::Name::schema, Name::schema]);
    }
    let schema: Value = serde_json::from_str(&document(both)).unwrap();
    let references: Vec<&Value> = schema["prefixItems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["$ref"])
        .collect();
    assert_eq!(
        references,
        ["#/$defs/Name", "#/$defs/Name2", "#/$defs/Name"]
    );
    assert_eq!(schema["$defs"]["Name"]["type"], "string");
    assert_eq!(schema["$defs"]["Name2"]["type"], "integer");
}

#[test]
fn a_field_that_refers_to_a_type_keeps_its_description() {
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is of interest")]
    struct Described {
        /// The name.
        name: Name,
        /// Anything.
        any: Value,
    }
    let schema = schema::<Described>();
    assert_eq!(
        schema["properties"]["name"],
        json!({ "description": "The name.", "$ref": "#/$defs/Name" })
    );
    assert_eq!(
        schema["properties"]["any"],
        json!({ "description": "Anything." })
    );
}
