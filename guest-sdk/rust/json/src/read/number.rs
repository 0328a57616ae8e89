//! Numbers: their grammar, and which of them are integers.

use std::borrow::Cow;
use std::str::FromStr;

use serde::de::{Error as _, Unexpected, Visitor};

use super::{Error, Reader, Result};

impl<'de> Reader<'de> {
    /// Takes a number without interpreting it.
    pub(super) fn number(&mut self) -> Result<&'de str> {
        let length = self
            .rest
            .bytes()
            .position(|byte| !is_part(byte))
            .unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(length);
        if !is_number(number) {
            return Err(self.syntax("a malformed number"));
        }
        self.rest = rest;
        Ok(number)
    }

    /// Reads an integer of at most 64 bits.
    pub(super) fn integer<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        self.parse_integer(
            visitor,
            "a number beyond 64 bits",
            V::visit_u64,
            V::visit_i64,
        )
    }

    /// Reads an integer of at most 128 bits.
    pub(super) fn wide_integer<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        self.parse_integer(
            visitor,
            "a number beyond 128 bits",
            V::visit_u128,
            V::visit_i128,
        )
    }

    /// Reads a number without a fraction, as the first of two types that holds it.
    fn parse_integer<V: Visitor<'de>, U: FromStr, I: FromStr>(
        &mut self,
        visitor: V,
        beyond: &str,
        visit_unsigned: fn(V, U) -> Result<V::Value>,
        visit_signed: fn(V, I) -> Result<V::Value>,
    ) -> Result<V::Value> {
        let Some(b'-' | b'0'..=b'9') = self.peek() else {
            return Err(self.mismatch(&visitor));
        };
        let Some(digits) = integer_digits(self.number()?) else {
            return Err(Error::invalid_type(
                Unexpected::Other("a fraction"),
                &visitor,
            ));
        };
        if let Ok(value) = digits.parse() {
            visit_unsigned(visitor, value)
        } else if let Ok(value) = digits.parse() {
            visit_signed(visitor, value)
        } else {
            Err(Error::invalid_value(Unexpected::Other(beyond), &visitor))
        }
    }

    /// Reads a number as the float that is next to it.
    pub(super) fn float<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        let Some(b'-' | b'0'..=b'9') = self.peek() else {
            return Err(self.mismatch(&visitor));
        };
        visitor.visit_f64(to_float(self.number()?)?)
    }

    /// Reads a number as an integer if it is written as one that fits 64 bits, otherwise as a
    /// float.
    pub(super) fn any_number<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        let number = self.number()?;
        if let Ok(value) = number.parse() {
            visitor.visit_u64(value)
        } else if let Ok(value) = number.parse() {
            visitor.visit_i64(value)
        } else {
            visitor.visit_f64(to_float(number)?)
        }
    }
}

fn to_float(number: &str) -> Result<f64> {
    let float = number.parse().ok().filter(|float: &f64| float.is_finite());
    float.ok_or_else(|| Error::new(format!("`{number}` is beyond the range of floats")))
}

fn is_part(byte: u8) -> bool {
    matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')
}

fn is_number(text: &str) -> bool {
    let Parts {
        whole,
        fraction,
        exponent,
    } = Parts::of(text);
    let whole = whole.strip_prefix('-').unwrap_or(whole);
    let exponent = exponent.map(|exponent| exponent.strip_prefix(['-', '+']).unwrap_or(exponent));
    let leading_zero = whole.len() > 1 && whole.starts_with('0');
    are_digits(whole)
        && !leading_zero
        && fraction.is_none_or(are_digits)
        && exponent.is_none_or(are_digits)
}

fn are_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The sign and digits before the point, the digits after it, and the exponent.
struct Parts<'a> {
    whole: &'a str,
    fraction: Option<&'a str>,
    exponent: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(number: &'a str) -> Self {
        let (significand, exponent) = match number.split_once(['e', 'E']) {
            Some((significand, exponent)) => (significand, Some(exponent)),
            None => (number, None),
        };
        match significand.split_once('.') {
            Some((whole, fraction)) => Self {
                whole,
                fraction: Some(fraction),
                exponent,
            },
            None => Self {
                whole: significand,
                fraction: None,
                exponent,
            },
        }
    }
}

/// The number as a sign and digits only; none when it has a fraction.
///
/// As in JSON Schema, it does not matter how a number is written: `5.0`, `50e-1` and `0.5e1` are
/// integers too.
fn integer_digits(number: &str) -> Option<Cow<'_, str>> {
    /// No integer type holds more.
    const MAX_DIGITS: usize = 40;
    let Parts {
        whole,
        fraction,
        exponent,
    } = Parts::of(number);
    if fraction.is_none() && exponent.is_none() {
        return Some(Cow::Borrowed(number));
    }
    let fraction = fraction.unwrap_or_default();
    let mut digits = whole.to_owned();
    digits.push_str(fraction);
    if digits.bytes().all(|digit| matches!(digit, b'-' | b'0')) {
        return Some(Cow::Borrowed("0"));
    }
    let exponent: i32 = exponent.unwrap_or("0").parse().ok()?;
    let shift = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    for _ in shift..0 {
        digits.pop().filter(|digit| *digit == '0')?;
    }
    for _ in 0..shift {
        if digits.len() > MAX_DIGITS {
            return None;
        }
        digits.push('0');
    }
    Some(Cow::Owned(digits))
}
