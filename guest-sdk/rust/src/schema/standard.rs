//! The schemas of the standard library's types, as serde writes them.
//!
//! A `HashSet` has none: its elements have no order that JSON could keep, so that equal states
//! would give other snapshots, and the same decision other events. The keys of a `HashMap` are
//! sorted.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use super::{JsonSchema, SchemaWriter};

macro_rules! text {
    ($($type:ty => $schema:expr;)*) => {
        $(impl JsonSchema for $type {
            fn schema(schema: &mut SchemaWriter) {
                schema.raw($schema);
            }
        })*
    };
}

text! {
    bool => r#"{"type":"boolean"}"#;
    str => r#"{"type":"string"}"#;
    String => r#"{"type":"string"}"#;
    char => r#"{"type":"string","minLength":1,"maxLength":1}"#;
    f32 => r#"{"type":"number","format":"float"}"#;
    f64 => r#"{"type":"number","format":"double"}"#;
    () => r#"{"type":"null"}"#;
    serde_json::Value => "{}";
}

/// Bounds are exact, so that a number that fits the schema fits the type.
macro_rules! integers {
    ($($type:ident $format:literal;)*) => {
        $(impl JsonSchema for $type {
            fn schema(schema: &mut SchemaWriter) {
                let (least, most) = ($type::MIN, $type::MAX);
                let bounds = format!(r#","minimum":{least},"maximum":{most}}}"#);
                schema.raw(concat!(r#"{"type":"integer","format":""#, $format, "\""));
                schema.raw(&bounds);
            }
        })*
    };
}

integers! {
    i8 "int8";
    i16 "int16";
    i32 "int32";
    i64 "int64";
    u8 "uint8";
    u16 "uint16";
    u32 "uint32";
    u64 "uint64";
}

macro_rules! transparent {
    ($($type:ty)*) => {
        $(impl<T: JsonSchema + ?Sized> JsonSchema for $type {
            const OPTIONAL: bool = T::OPTIONAL;

            fn schema(schema: &mut SchemaWriter) {
                T::schema(schema);
            }
        })*
    };
}

transparent! { &T Box<T> Rc<T> Arc<T> }

impl<T: JsonSchema + ToOwned + ?Sized> JsonSchema for Cow<'_, T> {
    const OPTIONAL: bool = T::OPTIONAL;

    fn schema(schema: &mut SchemaWriter) {
        T::schema(schema);
    }
}

impl<T: JsonSchema> JsonSchema for Option<T> {
    const OPTIONAL: bool = true;

    fn schema(schema: &mut SchemaWriter) {
        schema.nullable::<T>();
    }
}

fn array<T: JsonSchema>(schema: &mut SchemaWriter, more: &str) {
    schema.raw(r#"{"type":"array","items":"#);
    T::schema(schema);
    schema.raw(more);
    schema.raw("}");
}

macro_rules! arrays {
    ($($type:ty, $more:literal;)*) => {
        $(impl<T: JsonSchema> JsonSchema for $type {
            fn schema(schema: &mut SchemaWriter) {
                array::<T>(schema, $more);
            }
        })*
    };
}

arrays! {
    [T], "";
    Vec<T>, "";
    VecDeque<T>, "";
    BTreeSet<T>, r#","uniqueItems":true"#;
}

impl<T: JsonSchema, const N: usize> JsonSchema for [T; N] {
    fn schema(schema: &mut SchemaWriter) {
        array::<T>(schema, &format!(r#","minItems":{N},"maxItems":{N}"#));
    }
}

fn map<V: JsonSchema>(schema: &mut SchemaWriter) {
    schema.raw(r#"{"type":"object","additionalProperties":"#);
    V::schema(schema);
    schema.raw("}");
}

impl<K, V: JsonSchema> JsonSchema for BTreeMap<K, V> {
    fn schema(schema: &mut SchemaWriter) {
        map::<V>(schema);
    }
}

impl<K, V: JsonSchema, S> JsonSchema for HashMap<K, V, S> {
    fn schema(schema: &mut SchemaWriter) {
        map::<V>(schema);
    }
}

macro_rules! tuples {
    ($(($($element:ident)*))*) => {
        $(impl<$($element: JsonSchema),*> JsonSchema for ($($element,)*) {
            fn schema(schema: &mut SchemaWriter) {
                schema.tuple(&[$($element::schema),*]);
            }
        })*
    };
}

tuples! { (A) (A B) (A B C) (A B C D) }
