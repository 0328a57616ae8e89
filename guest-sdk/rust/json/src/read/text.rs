//! Text with its escapes, and values that nobody wants.

use std::borrow::Cow;

use super::{Error, Reader, Result};

impl<'de> Reader<'de> {
    /// Takes a text.
    pub(super) fn text(&mut self) -> Result<Cow<'de, str>> {
        self.expect("\"")?;
        let plain = self.plain()?;
        if self.rest.starts_with('"') {
            self.advance(1);
            return Ok(Cow::Borrowed(plain));
        }
        let mut text = plain.to_owned();
        while !self.rest.starts_with('"') {
            self.advance(1);
            text.push(self.escaped()?);
            text.push_str(self.plain()?);
        }
        self.advance(1);
        Ok(Cow::Owned(text))
    }

    /// Takes what comes before the next quote or backslash.
    fn plain(&mut self) -> Result<&'de str> {
        let special = self
            .rest
            .bytes()
            .position(|byte| byte == b'"' || byte == b'\\' || byte < b' ');
        let Some((plain, rest)) = special.and_then(|special| self.rest.split_at_checked(special))
        else {
            return Err(Error::new("a text is not closed"));
        };
        self.rest = rest;
        if rest.starts_with(['"', '\\']) {
            Ok(plain)
        } else {
            Err(self.syntax("a control character in a text"))
        }
    }

    /// Takes what follows a backslash.
    fn escaped(&mut self) -> Result<char> {
        let character = match self.rest.bytes().next() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.syntax("an unknown escape")),
        };
        self.advance(1);
        Ok(character)
    }

    /// Takes `u` and four digits, and a second such escape when the first is half of a surrogate
    /// pair.
    fn unicode(&mut self) -> Result<char> {
        let unit = self.code_unit()?;
        let mut code = Some(unit);
        if (0xd800..0xdc00).contains(&unit) && self.rest.starts_with('\\') {
            self.advance(1);
            let low = self
                .code_unit()?
                .checked_sub(0xdc00)
                .filter(|low| *low < 0x400);
            code = low.map(|low| 0x1_0000 + ((unit - 0xd800) << 10) + low);
        }
        code.and_then(char::from_u32)
            .ok_or_else(|| self.syntax("half a surrogate pair"))
    }

    fn code_unit(&mut self) -> Result<u32> {
        let digits = self.rest.strip_prefix('u').and_then(|rest| rest.get(..4));
        let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let unit = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let unit = unit.ok_or_else(|| self.syntax("a malformed escape"))?;
        self.advance(5);
        Ok(unit)
    }

    fn advance(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    /// Takes a value of any kind, and checks that it is one.
    pub(super) fn skip(&mut self) -> Result<()> {
        match self.peek() {
            Some(b'"') => self.text().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            Some(b'[') => self.nested("[", "]", |reader| reader.skip_members(b']', Self::skip)),
            Some(b'{') => self.nested("{", "}", |reader| {
                reader.skip_members(b'}', Self::skip_member)
            }),
            _ if self.take("true") || self.take("false") || self.take("null") => Ok(()),
            _ => Err(self.syntax("a value is missing")),
        }
    }

    fn skip_member(&mut self) -> Result<()> {
        self.text()?;
        self.expect(":")?;
        self.skip()
    }

    fn skip_members(&mut self, close: u8, skip: fn(&mut Self) -> Result<()>) -> Result<()> {
        if self.peek() == Some(close) {
            return Ok(());
        }
        skip(self)?;
        while self.take(",") {
            skip(self)?;
        }
        Ok(())
    }
}
