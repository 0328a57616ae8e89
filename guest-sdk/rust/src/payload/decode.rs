//! Decoding of a name and data into an enum.

use gavel_json::{Error, Reader};
use serde::Deserializer;
use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, EnumAccess, Error as _, IntoDeserializer, VariantAccess,
    Visitor,
};

type Result<T, E = Error> = std::result::Result<T, E>;

/// Puts an enum in serde's default representation together from the variant's name and its data.
///
/// For a unit variant the data is `null` or any object.
///
/// # Errors
///
/// When there is no variant of that name, or when the data does not fit it.
pub(crate) fn decode<T: DeserializeOwned>(name: &str, data: &str) -> Result<T> {
    T::deserialize(Variant { name, data })
}

#[derive(Clone, Copy)]
struct Variant<'a> {
    name: &'a str,
    data: &'a str,
}

impl<'de> Deserializer<'de> for Variant<'de> {
    type Error = Error;

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_enum(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value> {
        Err(Error::custom(
            "not an enum in serde's default representation: remove `tag`, `untagged` or a hand-written impl",
        ))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self)> {
        let name: StrDeserializer<'de, Error> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<()> {
        whole(self.data, Reader::no_data)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        whole(self.data, |reader| seed.deserialize(reader))
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value> {
        whole(self.data, |reader| {
            reader.deserialize_tuple(length, visitor)
        })
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        whole(self.data, |reader| {
            reader.deserialize_struct("", fields, visitor)
        })
    }
}

/// Reads one JSON document with `read`, and refuses anything after it.
fn whole<'de, T>(data: &'de str, read: impl FnOnce(&mut Reader<'de>) -> Result<T>) -> Result<T> {
    let mut reader = Reader::new(data);
    let value = read(&mut reader)?;
    reader.end()?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    enum Sample {
        Unit,
        #[serde(rename = "renamed")]
        Struct {
            amount: u64,
            note: Option<String>,
        },
        Newtype(Vec<u8>),
        Tuple(u8, String),
        Empty {},
    }

    #[derive(Debug, Deserialize)]
    #[serde(tag = "type")]
    enum Tagged {
        Unit,
    }

    fn message(name: &str, data: &str) -> String {
        decode::<Sample>(name, data).unwrap_err().to_string()
    }

    #[test]
    fn each_kind_of_variant_is_put_together_from_name_and_data() {
        assert_eq!(decode::<Sample>("Unit", "{}").unwrap(), Sample::Unit);
        assert_eq!(decode::<Sample>("Unit", "null").unwrap(), Sample::Unit);
        assert_eq!(
            decode::<Sample>("renamed", r#"{"amount":3}"#).unwrap(),
            Sample::Struct {
                amount: 3,
                note: None
            }
        );
        assert_eq!(
            decode::<Sample>("Newtype", "[1,2]").unwrap(),
            Sample::Newtype(vec![1, 2])
        );
        assert_eq!(
            decode::<Sample>("Tuple", r#"[1,"a\n"]"#).unwrap(),
            Sample::Tuple(1, "a\n".into())
        );
        assert_eq!(decode::<Sample>("Empty", "{}").unwrap(), Sample::Empty {});
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        assert!(
            message("Nope", "{}")
                .starts_with("unknown variant `Nope`, expected one of `Unit`, `renamed`")
        );
    }

    #[test]
    fn data_that_does_not_fit_is_answered_with_the_reason() {
        assert!(message("renamed", "{}").starts_with("missing field `amount`"));
        assert!(message("renamed", r#"{"amount":-1}"#).contains("expected u64"));
        assert!(message("Unit", "[]").contains("expected an object"));
        assert!(message("Unit", "{} {}").starts_with("more after the end"));
    }

    #[test]
    fn an_enum_in_another_representation_is_refused_with_the_reason() {
        let error = decode::<Tagged>("Unit", "{}").unwrap_err();
        assert!(error.to_string().contains("remove `tag`"), "{error}");
    }
}
