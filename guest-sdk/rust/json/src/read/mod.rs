//! Reads JSON: one pass over the text, and text without escapes is borrowed from it.

mod access;
mod number;
mod text;

use std::borrow::Cow;

use serde::Deserializer;
use serde::de::{Error as _, Expected, Unexpected, Visitor};

use super::Error;
use access::{Enum, Members, UnitVariant};

type Result<T, E = Error> = std::result::Result<T, E>;

/// The deepest nesting of arrays and objects; the host accepts only documents that nest less.
const MAX_DEPTH: u8 = 127;

/// Reads a JSON document value by value.
#[derive(Debug)]
pub struct Reader<'de> {
    /// The rest of the text.
    rest: &'de str,
    /// The number of open arrays and objects.
    depth: u8,
}

impl<'de> Reader<'de> {
    /// Begins at the start of `text`.
    pub fn new(text: &'de str) -> Self {
        Self {
            rest: text,
            depth: 0,
        }
    }

    /// Expects nothing but white space to be left.
    ///
    /// # Errors
    ///
    /// When there is more.
    pub fn end(&mut self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.syntax("more after the end of the JSON document")),
        }
    }

    /// Takes what stands for no data: `null`, or an object, whose members are ignored as unknown
    /// fields are.
    ///
    /// # Errors
    ///
    /// When there is anything else.
    pub fn no_data(&mut self) -> Result<()> {
        match self.peek() {
            Some(b'{' | b'n') => self.skip(),
            _ => Err(self.mismatch(&"an object")),
        }
    }

    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        let start = self
            .rest
            .bytes()
            .position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
        self.rest = start
            .and_then(|start| self.rest.get(start..))
            .unwrap_or_default();
        self.rest.bytes().next()
    }

    /// Takes `token` if it comes next.
    fn take(&mut self, token: &str) -> bool {
        self.peek();
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, token: &str) -> Result<()> {
        if self.take(token) {
            Ok(())
        } else {
            Err(self.syntax(&format!("`{token}` is missing")))
        }
    }

    fn syntax(&self, what: &str) -> Error {
        let end = self.rest.char_indices().nth(16);
        let before = end.map_or(self.rest, |(end, _)| self.rest.split_at(end).0);
        Error::new(if before.is_empty() {
            format!("{what} at the end")
        } else {
            format!("{what} before `{before}`")
        })
    }

    /// The error of a next value that is not of the type that `expected` wants.
    fn mismatch(&mut self, expected: &dyn Expected) -> Error {
        let found = match self.peek() {
            Some(b'{') => Unexpected::Map,
            Some(b'[') => Unexpected::Seq,
            Some(b'"') => Unexpected::Other("a text"),
            Some(b'-' | b'0'..=b'9') => Unexpected::Other("a number"),
            Some(b't') => Unexpected::Bool(true),
            Some(b'f') => Unexpected::Bool(false),
            Some(b'n') => Unexpected::Unit,
            _ => return self.syntax("a value is missing"),
        };
        Error::invalid_type(found, expected)
    }

    /// Reads what is between `open` and `close` with `read`.
    fn nested<T>(
        &mut self,
        open: &str,
        close: &str,
        read: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        self.expect(open)?;
        if self.depth == MAX_DEPTH {
            return Err(Error::new("the JSON document nests too deep"));
        }
        self.depth += 1;
        let value = read(self)?;
        self.depth -= 1;
        self.expect(close)?;
        Ok(value)
    }

    fn array<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        match self.peek() {
            Some(b'[') => self.nested("[", "]", |reader| visitor.visit_seq(Members::of(reader))),
            _ => Err(self.mismatch(&visitor)),
        }
    }

    fn object<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        match self.peek() {
            Some(b'{') => self.nested("{", "}", |reader| visitor.visit_map(Members::of(reader))),
            _ => Err(self.mismatch(&visitor)),
        }
    }

    fn string<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        match self.peek() {
            Some(b'"') => match self.text()? {
                Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
                Cow::Owned(text) => visitor.visit_string(text),
            },
            _ => Err(self.mismatch(&visitor)),
        }
    }
}

macro_rules! integers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> { self.integer(visitor) })*
    };
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.wide_integer(visitor)
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.wide_integer(visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.peek() {
            Some(b'{') => self.object(visitor),
            Some(b'[') => self.array(visitor),
            Some(b'"') => self.string(visitor),
            Some(b't' | b'f') => self.deserialize_bool(visitor),
            Some(b'n') => self.deserialize_unit(visitor),
            Some(b'-' | b'0'..=b'9') => self.any_number(visitor),
            _ => Err(self.mismatch(&visitor)),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if self.take("true") {
            visitor.visit_bool(true)
        } else if self.take("false") {
            visitor.visit_bool(false)
        } else {
            Err(self.mismatch(&visitor))
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.float(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.float(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.string(visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.string(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.string(visitor)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.string(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.array(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.array(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if self.take("null") {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if self.take("null") {
            visitor.visit_unit()
        } else {
            Err(self.mismatch(&visitor))
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.array(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        self.array(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.array(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.object(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.object(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        match self.peek() {
            Some(b'"') => visitor.visit_enum(UnitVariant(self.text()?)),
            Some(b'{') => self.nested("{", "}", |reader| visitor.visit_enum(Enum(reader))),
            _ => Err(self.mismatch(&visitor)),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.skip()?;
        visitor.visit_unit()
    }
}
