//! The one text of a document: the form in which a JSONB column prints it, with one spelling of
//! each number.
//!
//! `wit/canonical-json.json` holds examples, for this code and for a server.

use std::fmt::{self, Write as _};

use serde_json::{Number, Value};

use super::{GROWTH_LIMIT_BYTES, JsonError, SHOWN_DIGITS};

/// The deepest nesting of a document, in levels: that of `serde_json`.
pub(super) const NESTING_LIMIT_LEVELS: usize = 127;

/// The digits that name each 64-bit float, and that no tool exceeds which prints one.
const FLOAT_DIGITS: usize = 17;

/// The canonical text of `value`.
pub(super) fn text_of(value: &Value) -> String {
    let mut text = String::new();
    write_value(value, &mut text);
    text
}

fn write_value(value: &Value, text: &mut String) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(true) => text.push_str("true"),
        Value::Bool(false) => text.push_str("false"),
        Value::Number(number) => text.push_str(&Plain(number).to_string()),
        Value::String(string) => write_string(string, text),
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { ", " });
                write_value(item, text);
            }
            text.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|&(key, _)| (key.len(), key));
            text.push('{');
            for (index, (key, member)) in members.into_iter().enumerate() {
                text.push_str(if index == 0 { "" } else { ", " });
                write_string(key, text);
                text.push_str(": ");
                write_value(member, text);
            }
            text.push('}');
        }
    }
}

fn write_string(string: &str, text: &mut String) {
    text.push('"');
    let mut rest = string;
    while let Some(at) = rest.find(|c| matches!(c, '\0'..='\u{1f}' | '"' | '\\')) {
        text.push_str(&rest[..at]);
        let escaped = rest.as_bytes()[at];
        match escaped {
            b'"' => text.push_str("\\\""),
            b'\\' => text.push_str("\\\\"),
            0x8 => text.push_str("\\b"),
            0xc => text.push_str("\\f"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            _ => {
                // Writing to a String does not fail.
                let _ = write!(text, "\\u{escaped:04x}");
            }
        }
        rest = &rest[at + 1..];
    }
    text.push_str(rest);
    text.push('"');
}

/// A number without exponent, and without a sign or a fraction that says nothing.
struct Plain<'n>(&'n Number);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_f64() {
            Some(0.0) => f.write_str("0"),
            Some(float) if self.0.is_f64() => write!(f, "{float}"),
            _ => write!(f, "{}", self.0),
        }
    }
}

impl Plain<'_> {
    /// Compares the rest of the text with `expected`.
    fn is(&self, expected: &str) -> bool {
        struct Rest<'t>(&'t str);
        impl fmt::Write for Rest<'_> {
            fn write_str(&mut self, part: &str) -> fmt::Result {
                self.0 = self.0.strip_prefix(part).ok_or(fmt::Error)?;
                Ok(())
            }
        }
        let mut rest = Rest(expected);
        write!(rest, "{self}").is_ok() && rest.0.is_empty()
    }
}

/// Gives each number of `value` the type that its canonical text has.
pub(super) fn simplify_numbers(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            // The text of a float that is beyond 64-bit integers is read as the same float.
            if let Ok(simple) = Plain(number).to_string().parse() {
                *number = simple;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(simplify_numbers),
        Value::Object(members) => members.values_mut().for_each(simplify_numbers),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Looks at the numbers of `text`, a JSON document: its canonical text has to keep each of them,
/// and not to be too long.
pub(super) fn check_numbers(text: &str) -> Result<(), JsonError> {
    let bytes = text.as_bytes();
    let (mut at, mut growth) = (0, 0);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at += 1 + string_length(&bytes[at + 1..]),
            b'-' | b'0'..=b'9' => {
                let token = number_token(&text[at..]);
                let Some(length) = kept_length(token) else {
                    let shown = token.chars().take(SHOWN_DIGITS).collect();
                    return Err(JsonError::InexactNumber(shown));
                };
                growth += length.saturating_sub(token.len());
                if growth > GROWTH_LIMIT_BYTES {
                    return Err(JsonError::LongNumbers);
                }
                at += token.len();
            }
            _ => at += 1,
        }
    }
    Ok(())
}

/// The length of a string, from behind its first quotation mark to behind its last, in bytes.
fn string_length(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn number_token(text: &str) -> &str {
    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    &text[..text.bytes().take_while(|byte| is_part(byte)).count()]
}

/// The length that a number has in the canonical text; none if it is written otherwise there.
fn kept_length(token: &str) -> Option<usize> {
    // The usual ones, quickly: integers that fit.
    if token.len() <= FLOAT_DIGITS && token.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(token.len());
    }
    let number: Number = token.parse().ok()?;
    let (sent, plain) = (Decimal::of(token), Plain(&number).to_string());
    // So few digits name the float that is nearest to them, except where floats run out of digits.
    let is_named = sent.digits.len() <= FLOAT_DIGITS && number.as_f64().is_some_and(f64::is_normal);
    let is_kept = sent.digits.is_empty() || is_named || sent == Decimal::of(&plain);
    is_kept.then_some(plain.len())
}

/// The value of a number's text: `digits`, without zeros at either end, times a power of ten. The
/// sign is left out.
#[derive(PartialEq)]
struct Decimal {
    digits: String,
    exponent: i64,
}

impl Decimal {
    fn of(token: &str) -> Self {
        let (mantissa, exponent) = token.split_once(['e', 'E']).unwrap_or((token, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = [whole.trim_start_matches('-'), fraction].concat();
        let digits = all.trim_end_matches('0');
        let zeros = all.len() - digits.len();
        // An exponent beyond 64 bits is that of a zero, or of a number that is refused.
        let exponent = exponent.parse().unwrap_or(0_i64);
        let shift = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
        Self {
            digits: digits.trim_start_matches('0').to_owned(),
            exponent: exponent
                .saturating_sub(shift(fraction.len()))
                .saturating_add(shift(zeros)),
        }
    }
}

/// `text` with a space behind each colon and comma that is in no string. It is the same document as
/// before, or no document as before.
pub(super) fn spaced(text: &str) -> String {
    let mut spaced = String::with_capacity(text.len() + text.len() / 4);
    let mut rest = text;
    while let Some(at) = rest.find(['"', ':', ',']) {
        let found = rest.as_bytes()[at];
        let end = match found {
            b'"' => at + 1 + string_length(&rest.as_bytes()[at + 1..]),
            _ => at + 1,
        };
        spaced.push_str(&rest[..end]);
        if found != b'"' {
            spaced.push(' ');
        }
        rest = &rest[end..];
    }
    spaced.push_str(rest);
    spaced
}

/// Tells whether `text` is a canonical text: one pass, which copies nothing. The answer may be
/// `false` for a canonical text whose keys hold escapes.
pub(super) fn is_canonical(text: &str) -> bool {
    CanonicalForm::of(text).is_some()
}

/// The document of a canonical text as `serde_json` prints it, made without parsing it; none where
/// more than spaces may tell the two apart.
pub(super) fn compact(text: &str) -> Option<String> {
    CanonicalForm::of(text).filter(|form| form.is_common)?;
    let mut compact = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['"', ' ']) {
        let end = match rest.as_bytes()[at] {
            b'"' => at + 1 + string_length(&rest.as_bytes()[at + 1..]),
            _ => at,
        };
        compact.push_str(&rest[..end]);
        rest = rest[end..].trim_start_matches(' ');
    }
    compact.push_str(rest);
    Some(compact)
}

/// The form of a canonical text.
struct CanonicalForm {
    /// Tells whether all that `serde_json` prints in another way is spaces: the keys are in the
    /// order of their bytes, too, and all numbers are short integers.
    is_common: bool,
}

impl CanonicalForm {
    fn of(text: &str) -> Option<Self> {
        let mut rest = Rest {
            text,
            is_common: true,
        };
        rest.value(0)?;
        let is_common = rest.is_common;
        rest.text.is_empty().then_some(Self { is_common })
    }
}

/// The rest of a text that is being checked. Each step gives none where the text is not canonical.
struct Rest<'t> {
    text: &'t str,
    /// As in [`CanonicalForm`].
    is_common: bool,
}

impl<'t> Rest<'t> {
    fn skip(&mut self, expected: &str) -> Option<()> {
        self.text = self.text.strip_prefix(expected)?;
        Some(())
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        match self.text.as_bytes().first()? {
            b'n' => self.skip("null"),
            b't' => self.skip("true"),
            b'f' => self.skip("false"),
            b'"' => self.string().map(|_| ()),
            b'[' | b'{' if depth == NESTING_LIMIT_LEVELS => None,
            b'[' => self.items("[", "]", |rest| rest.value(depth + 1)),
            b'{' => {
                let mut last: Option<&str> = None;
                self.items("{", "}", |rest| {
                    let key = rest.string().filter(|key| !key.contains('\\'))?;
                    let follows = |last: &str| (last.len(), last) < (key.len(), key);
                    if !last.is_none_or(follows) {
                        return None;
                    }
                    rest.is_common &= last.is_none_or(|last| last < key);
                    last = Some(key);
                    rest.skip(": ")?;
                    rest.value(depth + 1)
                })
            }
            _ => self.number(),
        }
    }

    fn items(
        &mut self,
        open: &str,
        close: &str,
        mut item: impl FnMut(&mut Self) -> Option<()>,
    ) -> Option<()> {
        self.skip(open)?;
        if self.skip(close).is_some() {
            return Some(());
        }
        loop {
            item(self)?;
            if self.skip(close).is_some() {
                return Some(());
            }
            self.skip(", ")?;
        }
    }

    /// Skips a string, and gives what is between its quotation marks.
    fn string(&mut self) -> Option<&'t str> {
        self.skip("\"")?;
        let length = string_length(self.text.as_bytes());
        let inner = self.text.get(..length)?.strip_suffix('"')?;
        let mut parts = inner.as_bytes().iter();
        while let Some(byte) = parts.next() {
            match byte {
                0..=0x1f => return None,
                b'\\' => match parts.next()? {
                    b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                    b'u' => {
                        let (code, others) = parts.as_slice().split_at_checked(4)?;
                        let is_canonical = match code {
                            [b'0', b'0', b'0', digit] => {
                                matches!(digit, b'1'..=b'7' | b'b' | b'e' | b'f')
                            }
                            [b'0', b'0', b'1', digit] => {
                                matches!(digit, b'0'..=b'9' | b'a'..=b'f')
                            }
                            _ => false,
                        };
                        if !is_canonical {
                            return None;
                        }
                        parts = others.iter();
                    }
                    _ => return None,
                },
                _ => {}
            }
        }
        self.text = &self.text[length..];
        Some(inner)
    }

    fn number(&mut self) -> Option<()> {
        let token = number_token(self.text);
        let digits = token.strip_prefix('-').unwrap_or(token).as_bytes();
        let is_small = digits.len() <= FLOAT_DIGITS && digits.iter().all(u8::is_ascii_digit);
        let is_canonical = match digits {
            [] => false,
            [b'0'] => token == "0",
            [b'1'..=b'9', ..] if is_small => true,
            _ => {
                self.is_common = false;
                token.parse().is_ok_and(|number| Plain(&number).is(token))
            }
        };
        self.text = &self.text[token.len()..];
        is_canonical.then_some(())
    }
}
