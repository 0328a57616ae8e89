//! The place of an event in the log of ALL streams.

use std::fmt::{self, Write as _};
use std::str::FromStr;

/// A place in the log of all streams: opaque to clients, totally ordered, with gaps.
///
/// Three numbers, compared from left to right: the `generation`, which is one life of the database
/// and grows from one to the next, so that what comes after a restore is never taken for what was
/// lost by it; the `transaction` that wrote the event; and the `offset` of its row. A store that
/// has one writer at a time leaves the second at 0.
///
/// As text, each number is hexadecimal behind one digit that tells its length, `g` for sixteen and
/// `0` for the number zero: `032ff15`. Texts of positions sort as the positions do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Position {
    generation: u64,
    transaction: u64,
    offset: u64,
}

/// The error of a text that is not a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a position: pass one that an answer of this host named, unchanged")]
pub struct PositionError;

impl Position {
    /// The position before the first event.
    pub const BEGINNING: Self = Self {
        generation: 0,
        transaction: 0,
        offset: 0,
    };

    /// The position of the row `offset`, written by `transaction` in `generation`.
    #[must_use]
    pub fn new(generation: u64, transaction: u64, offset: u64) -> Self {
        Self {
            generation,
            transaction,
            offset,
        }
    }

    /// The generation of the database.
    #[must_use]
    pub fn generation(self) -> u64 {
        self.generation
    }

    /// The transaction that wrote the event; 0 where the store has one writer at a time.
    #[must_use]
    pub fn transaction(self) -> u64 {
        self.transaction
    }

    /// The offset of the event's row.
    #[must_use]
    pub fn offset(self) -> u64 {
        self.offset
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for number in [self.generation, self.transaction, self.offset] {
            // In base 17 every length from 0 to the 16 digits of a u64 is one character.
            let length = number.checked_ilog2().map_or(0, |log| log / 4 + 1);
            f.write_char(char::from_digit(length, 17).ok_or(fmt::Error)?)?;
            if number > 0 {
                write!(f, "{number:x}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let mut rest = text;
        let mut number = || -> Result<u64, PositionError> {
            let length = rest
                .chars()
                .next()
                .and_then(|c| c.to_digit(17))
                .ok_or(PositionError)?;
            let (digits, tail) = rest[1..]
                .split_at_checked(length as usize)
                .ok_or(PositionError)?;
            rest = tail;
            if length == 0 {
                return Ok(0);
            }
            u64::from_str_radix(digits, 16).map_err(|_| PositionError)
        };
        let position = Self::new(number()?, number()?, number()?);
        // One text per position: no leading zeros, no capitals, nothing behind it.
        if position.to_string() == text {
            Ok(position)
        } else {
            Err(PositionError)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_position() -> impl Strategy<Value = Position> {
        let number = || prop_oneof![0..300_u64, any::<u64>()];
        (number(), number(), number()).prop_map(|(g, t, o)| Position::new(g, t, o))
    }

    proptest! {
        #[test]
        fn text_and_position_convert_into_each_other_and_sort_alike(a in any_position(), b in any_position()) {
            prop_assert_eq!(a.to_string().parse(), Ok(a));
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }

        #[test]
        fn no_other_text_is_a_position(text in ".{0,12}") {
            if let Ok(position) = text.parse::<Position>() {
                prop_assert_eq!(position.to_string(), text);
            }
        }
    }
}
