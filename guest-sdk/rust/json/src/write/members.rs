//! Arrays and objects, member by member.

use serde::Serialize;
use serde::ser::{
    SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant,
};

use super::{Error, Result, Writer, write_text};

/// An array whose bracket is open.
#[derive(Debug)]
pub struct Array<'a> {
    writer: &'a mut Writer,
    empty: bool,
}

impl<'a> Array<'a> {
    pub(super) fn open(writer: &'a mut Writer) -> Self {
        writer.text.push('[');
        Self {
            writer,
            empty: true,
        }
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        if !std::mem::take(&mut self.empty) {
            self.writer.text.push(',');
        }
        value.serialize(&mut *self.writer)
    }

    fn close(self) -> &'a mut Writer {
        self.writer.text.push(']');
        self.writer
    }
}

/// An object whose brace is open.
#[derive(Debug)]
pub struct Object<'a> {
    writer: &'a mut Writer,
    /// The beginning of the object's text, after the brace.
    start: usize,
    /// The members so far, if they are to be sorted.
    members: Vec<Member>,
}

/// The beginning of a member's text, the end of its key, and its own end, all counted from the
/// object's start.
#[derive(Debug)]
struct Member {
    start: usize,
    key_end: usize,
    end: usize,
}

impl<'a> Object<'a> {
    pub(super) fn open(writer: &'a mut Writer) -> Self {
        writer.text.push('{');
        Self {
            start: writer.text.len(),
            writer,
            members: Vec::new(),
        }
    }

    /// The number of bytes that were written since the brace.
    fn written(&self) -> usize {
        self.writer.text.len() - self.start
    }

    /// Begins a member: what `write` writes is its key.
    fn key(&mut self, write: impl FnOnce(&mut Writer) -> Result<()>) -> Result<()> {
        if self.written() > 0 {
            self.writer.text.push(',');
        }
        let start = self.written();
        write(self.writer)?;
        // Without the closing quote, which would sort before or after what goes on there in a
        // longer key.
        let key_end = self.written() - 1;
        if self.writer.sorted {
            self.members.push(Member {
                start,
                key_end,
                end: key_end,
            });
        }
        self.writer.text.push(':');
        Ok(())
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        value.serialize(&mut *self.writer)?;
        let end = self.written();
        if let Some(member) = self.members.last_mut() {
            member.end = end;
        }
        Ok(())
    }

    fn close(mut self) -> &'a mut Writer {
        if self.writer.sorted {
            self.sort();
        }
        self.writer.text.push('}');
        self.writer
    }

    fn sort(&mut self) {
        let unsorted = self.writer.text.split_off(self.start);
        let text = |from, to| unsorted.get(from..to).unwrap_or_default();
        self.members
            .sort_unstable_by_key(|member| text(member.start, member.key_end));
        for (index, member) in self.members.iter().enumerate() {
            if index > 0 {
                self.writer.text.push(',');
            }
            self.writer.text.push_str(text(member.start, member.end));
        }
    }
}

/// A variant's data inside the object that names the variant, which is closed after it.
#[derive(Debug)]
pub struct Variant<Data>(pub(super) Data);

/// Three of serde's traits are the same for JSON.
macro_rules! array {
    ($($trait:ident $method:ident;)*) => {
        $(impl $trait for Array<'_> {
            type Ok = ();
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
                self.element(value)
            }

            fn end(self) -> Result<()> {
                self.close();
                Ok(())
            }
        })*
    };
}

array! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
}

impl SerializeTupleVariant for Variant<Array<'_>> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.0.element(value)
    }

    fn end(self) -> Result<()> {
        self.0.close().text.push('}');
        Ok(())
    }
}

impl SerializeMap for Object<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        self.key(|writer| {
            let start = writer.text.len();
            key.serialize(&mut *writer)?;
            match writer.text.as_bytes().get(start) {
                Some(b'"') => {}
                Some(b'-' | b'0'..=b'9' | b't' | b'f') => {
                    let key = writer.text.split_off(start);
                    write_text(&mut writer.text, &key);
                }
                _ => return Err(Error::new("the keys of a map must be texts or numbers")),
            }
            Ok(())
        })
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.value(value)
    }

    fn end(self) -> Result<()> {
        self.close();
        Ok(())
    }
}

impl SerializeStruct for Object<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<()> {
        self.key(|writer| {
            write_text(&mut writer.text, key);
            Ok(())
        })?;
        self.value(value)
    }

    fn end(self) -> Result<()> {
        self.close();
        Ok(())
    }
}

impl SerializeStructVariant for Variant<Object<'_>> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<()> {
        SerializeStruct::serialize_field(&mut self.0, key, value)
    }

    fn end(self) -> Result<()> {
        self.0.close().text.push('}');
        Ok(())
    }
}
