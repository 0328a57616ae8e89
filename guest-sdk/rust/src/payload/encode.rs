//! Encoding of an enum as a name and data.

use gavel_json::{Error, Writer};
use serde::Serialize;
use serde::ser::{
    Impossible, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTupleVariant,
    Serializer,
};

type Result<T, E = Error> = std::result::Result<T, E>;

/// The name and data of one variant.
pub(crate) struct Encoded {
    pub(crate) name: &'static str,
    /// The data as JSON; none for a unit variant.
    pub(crate) data: Option<String>,
}

/// Splits an enum in serde's default representation into the variant's name and its data.
///
/// # Errors
///
/// When `value` is no such enum, or holds something that JSON cannot express.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Encoded> {
    let mut writer = Writer::in_order();
    let name = value.serialize(VariantSerializer {
        writer: &mut writer,
    })?;
    let data = Some(writer.into_text()).filter(|data| !data.is_empty());
    Ok(Encoded { name, data })
}

/// Takes one enum variant: returns its name, and writes its data to `writer`.
struct VariantSerializer<'a> {
    writer: &'a mut Writer,
}

/// Writes the fields of a variant as `body` does, and returns the variant's name at the end.
struct Fields<Body> {
    name: &'static str,
    body: Body,
}

impl<Body: SerializeStruct<Ok = (), Error = Error>> SerializeStructVariant for Fields<Body> {
    type Ok = &'static str;
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<()> {
        self.body.serialize_field(key, value)
    }

    fn end(self) -> Result<&'static str> {
        self.body.end()?;
        Ok(self.name)
    }
}

impl<Body: SerializeSeq<Ok = (), Error = Error>> SerializeTupleVariant for Fields<Body> {
    type Ok = &'static str;
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.body.serialize_element(value)
    }

    fn end(self) -> Result<&'static str> {
        self.body.end()?;
        Ok(self.name)
    }
}

fn not_a_variant<T>() -> Result<T> {
    Err(Error::new(
        "not an enum in serde's default representation: remove `tag`, `untagged` or a hand-written impl",
    ))
}

macro_rules! refuse {
    ($($method:ident($($argument:ty),*) -> $returned:ty;)*) => {
        $(fn $method(self, $(_: $argument),*) -> Result<$returned> { not_a_variant() })*
    };
}

impl<'a> Serializer for VariantSerializer<'a> {
    type Ok = &'static str;
    type Error = Error;
    type SerializeSeq = Impossible<&'static str, Error>;
    type SerializeTuple = Impossible<&'static str, Error>;
    type SerializeTupleStruct = Impossible<&'static str, Error>;
    type SerializeTupleVariant = Fields<<&'a mut Writer as Serializer>::SerializeSeq>;
    type SerializeMap = Impossible<&'static str, Error>;
    type SerializeStruct = Impossible<&'static str, Error>;
    type SerializeStructVariant = Fields<<&'a mut Writer as Serializer>::SerializeStruct>;

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
    ) -> Result<&'static str> {
        Ok(name)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        value: &T,
    ) -> Result<&'static str> {
        value.serialize(self.writer)?;
        Ok(name)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        length: usize,
    ) -> Result<Self::SerializeTupleVariant> {
        Ok(Fields {
            name,
            body: self.writer.serialize_seq(Some(length))?,
        })
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        name: &'static str,
        length: usize,
    ) -> Result<Self::SerializeStructVariant> {
        Ok(Fields {
            name,
            body: self.writer.serialize_struct(name, length)?,
        })
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<&'static str> {
        value.serialize(self)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<&'static str> {
        not_a_variant()
    }

    refuse! {
        serialize_bool(bool) -> &'static str;
        serialize_i8(i8) -> &'static str;
        serialize_i16(i16) -> &'static str;
        serialize_i32(i32) -> &'static str;
        serialize_i64(i64) -> &'static str;
        serialize_u8(u8) -> &'static str;
        serialize_u16(u16) -> &'static str;
        serialize_u32(u32) -> &'static str;
        serialize_u64(u64) -> &'static str;
        serialize_f32(f32) -> &'static str;
        serialize_f64(f64) -> &'static str;
        serialize_char(char) -> &'static str;
        serialize_str(&str) -> &'static str;
        serialize_bytes(&[u8]) -> &'static str;
        serialize_none() -> &'static str;
        serialize_unit() -> &'static str;
        serialize_unit_struct(&'static str) -> &'static str;
        serialize_seq(Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_map(Option<usize>) -> Self::SerializeMap;
        serialize_struct(&'static str, usize) -> Self::SerializeStruct;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
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

    #[derive(Serialize)]
    #[serde(tag = "type")]
    enum Tagged {
        Unit,
    }

    fn encoded(value: &impl Serialize) -> (&'static str, Option<String>) {
        let Encoded { name, data } = encode(value).unwrap();
        (name, data)
    }

    #[test]
    fn each_kind_of_variant_is_split_into_name_and_data() {
        assert_eq!(encoded(&Sample::Unit), ("Unit", None));
        assert_eq!(
            encoded(&Sample::Struct {
                amount: 3,
                note: None
            }),
            ("renamed", Some(r#"{"amount":3,"note":null}"#.into()))
        );
        assert_eq!(
            encoded(&Sample::Newtype(vec![1, 2])),
            ("Newtype", Some("[1,2]".into()))
        );
        assert_eq!(
            encoded(&Sample::Tuple(1, "a".into())),
            ("Tuple", Some(r#"[1,"a"]"#.into()))
        );
        assert_eq!(encoded(&Sample::Empty {}), ("Empty", Some("{}".into())));
    }

    #[test]
    fn an_enum_in_another_representation_is_refused_with_the_reason() {
        let error = encode(&Tagged::Unit).err().unwrap();
        assert!(error.to_string().contains("remove `tag`"), "{error}");
        assert!(encode("text").is_err());
    }
}
