//! Writes JSON.

mod members;

use std::fmt::{Display, Write};

use serde::{Serialize, Serializer};

use super::Error;
pub use members::{Array, Object, Variant};

type Result<T, E = Error> = std::result::Result<T, E>;

/// Writes one value after the other into a text.
#[derive(Debug)]
pub struct Writer {
    text: String,
    sorted: bool,
}

impl Writer {
    /// Leaves members in the order in which they come.
    pub fn in_order() -> Self {
        Self {
            text: String::new(),
            sorted: false,
        }
    }

    /// Sorts the members of every object by key.
    pub fn sorted() -> Self {
        Self {
            text: String::new(),
            sorted: true,
        }
    }

    /// Gives what was written.
    pub fn into_text(self) -> String {
        self.text
    }

    /// Writes what is valid JSON as it displays itself.
    fn display(&mut self, value: impl Display) -> Result<()> {
        write!(self.text, "{value}").map_err(|_| Error::new("a value cannot be displayed"))
    }
}

/// Appends `value` to `text` as JSON.
pub fn write_text(text: &mut String, value: &str) {
    text.push('"');
    let mut rest = value;
    while let Some(special) = rest
        .bytes()
        .position(|byte| byte == b'"' || byte == b'\\' || byte < b' ')
    {
        let (plain, from_special) = rest.split_at(special);
        text.push_str(plain);
        let mut characters = from_special.chars();
        match characters.next() {
            Some('\n') => text.push_str("\\n"),
            Some('\r') => text.push_str("\\r"),
            Some('\t') => text.push_str("\\t"),
            Some(control) if control < ' ' => {
                let hex = |digit: u32| char::from_digit(digit, 16).unwrap_or_default();
                let code = u32::from(control);
                text.extend(['\\', 'u', '0', '0', hex(code >> 4), hex(code & 15)]);
            }
            Some(quote_or_backslash) => text.extend(['\\', quote_or_backslash]),
            None => {}
        }
        rest = characters.as_str();
    }
    text.push_str(rest);
    text.push('"');
}

macro_rules! integers {
    ($($method:ident $type:ty;)*) => {
        $(fn $method(self, value: $type) -> Result<()> { self.display(value) })*
    };
}

macro_rules! floats {
    ($($method:ident $type:ty;)*) => {
        $(fn $method(self, value: $type) -> Result<()> {
            if !value.is_finite() {
                return Err(Error::new("a float is infinite or not a number, which JSON cannot express"));
            }
            // `Debug` writes the shortest text that reads as the same number, with an exponent if
            // that is shorter.
            self.display(format_args!("{value:?}"))
        })*
    };
}

impl<'a> Serializer for &'a mut Writer {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Array<'a>;
    type SerializeTuple = Array<'a>;
    type SerializeTupleStruct = Array<'a>;
    type SerializeTupleVariant = Variant<Array<'a>>;
    type SerializeMap = Object<'a>;
    type SerializeStruct = Object<'a>;
    type SerializeStructVariant = Variant<Object<'a>>;

    integers! {
        serialize_i8 i8;
        serialize_i16 i16;
        serialize_i32 i32;
        serialize_i64 i64;
        serialize_i128 i128;
        serialize_u8 u8;
        serialize_u16 u16;
        serialize_u32 u32;
        serialize_u64 u64;
        serialize_u128 u128;
        serialize_bool bool;
    }

    floats! {
        serialize_f32 f32;
        serialize_f64 f64;
    }

    fn serialize_char(self, value: char) -> Result<()> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<()> {
        write_text(&mut self.text, value);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_none(self) -> Result<()> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<()> {
        self.text.push_str("null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<()> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<()> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<()> {
        self.open_variant(variant);
        value.serialize(&mut *self)?;
        self.text.push('}');
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Array<'a>> {
        Ok(Array::open(self))
    }

    fn serialize_tuple(self, _: usize) -> Result<Array<'a>> {
        Ok(Array::open(self))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Array<'a>> {
        Ok(Array::open(self))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Variant<Array<'a>>> {
        self.open_variant(variant);
        Ok(Variant(Array::open(self)))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Object<'a>> {
        Ok(Object::open(self))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Object<'a>> {
        Ok(Object::open(self))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Variant<Object<'a>>> {
        self.open_variant(variant);
        Ok(Variant(Object::open(self)))
    }
}

impl Writer {
    /// Begins an object whose one member is a variant's data.
    fn open_variant(&mut self, variant: &str) {
        self.text.push('{');
        write_text(&mut self.text, variant);
        self.text.push(':');
    }
}
