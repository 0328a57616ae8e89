//! A point in time as rows keep it.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::ops::Add;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

use crate::schema::{JsonSchema, SchemaWriter};

const MS_PER_SECOND: u64 = 1000;
const MS_PER_DAY: u64 = 24 * 60 * 60 * MS_PER_SECOND;
/// The days of 400 years, after which the calendar repeats itself.
const DAYS_PER_ERA: u64 = 146_097;
/// The days from 0000-03-01 to 1970-01-01.
const DAYS_BEFORE_1970: u64 = 719_468;

/// A point in time, to the millisecond. Its JSON is `"2026-11-30T13:05:09.250Z"`, and the column of
/// such a field is one of times.
///
/// Rows and states keep times of events and of other inputs, and times that are computed from them:
/// `input.at + Duration::from_secs(60)`. See [`Recorded::created_at`](crate::Recorded::created_at)
/// and [`Input`](crate::Input); views and processes have no clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    ms: u64,
}

impl Timestamp {
    /// The time `ms` milliseconds after 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self { ms }
    }

    /// The milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn as_ms(self) -> u64 {
        self.ms
    }

    /// Reads the one form in which a time is written; none for any other.
    fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
        let [year, month, day] = numbers(date, '-')?;
        let (time, ms) = time.split_once('.')?;
        let [hour, minute, second] = numbers(time, ':')?;
        let of_day =
            ((hour * 60 + minute) * 60 + second) * MS_PER_SECOND + ms.parse::<u64>().ok()?;
        let read = Self {
            ms: days(year, month, day)?
                .checked_mul(MS_PER_DAY)?
                .checked_add(of_day)?,
        };
        // Refuses 30 February and the like, which are another day.
        (read.to_string() == text).then_some(read)
    }
}

/// Three numbers of at most 9 digits, with `separator` between them.
fn numbers(text: &str, separator: char) -> Option<[u64; 3]> {
    let mut parts = text
        .splitn(3, separator)
        .map(|part| part.parse().ok().filter(|_| part.len() < 10));
    Some([parts.next()??, parts.next()??, parts.next()??])
}

/// The days from 1970-01-01 to a date, by Howard Hinnant's algorithm: years begin in March, so that
/// a leap day is the last of its year.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = if month <= 2 {
        year.checked_sub(1)?
    } else {
        year
    };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.checked_sub(1)?;
    let year_of_era = year % 400;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (year / 400 * DAYS_PER_ERA + day_of_era).checked_sub(DAYS_BEFORE_1970)
}

/// The year, month and day of the date that is `days` after 1970-01-01: the way back of [`days`].
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_BEFORE_1970;
    let day_of_era = days % DAYS_PER_ERA;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let month = (march_month + 2) % 12 + 1;
    let year = days / DAYS_PER_ERA * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day_of_year - (153 * march_month + 2) / 5 + 1)
}

impl Display for Timestamp {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date(self.ms / MS_PER_DAY);
        let seconds = self.ms % MS_PER_DAY / MS_PER_SECOND;
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let ms = self.ms % MS_PER_SECOND;
        write!(
            formatter,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z"
        )
    }
}

/// The time that is `later` by a duration, of which parts of a millisecond are cut off.
impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, later: Duration) -> Self {
        let ms = u64::try_from(later.as_millis()).unwrap_or(u64::MAX);
        Self::from_ms(self.ms.saturating_add(ms))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| D::Error::custom(format!("{text} is not as 2026-11-30T13:05:09.250Z")))
    }
}

impl JsonSchema for Timestamp {
    fn schema(schema: &mut SchemaWriter) {
        schema.raw(r#"{"type":"string","format":"date-time"}"#);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_time_is_written_in_the_form_of_rfc_3339() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_796_043_909_250, "2026-11-30T13:05:09.250Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
            (253_402_300_800_000, "10000-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(Timestamp::from_ms(ms).to_string(), text);
            assert_eq!(Timestamp::parse(text), Some(Timestamp::from_ms(ms)));
        }
    }

    #[test]
    fn a_time_can_be_later_but_not_beyond_the_last_one() {
        let time = Timestamp::from_ms(5);
        assert_eq!(time + Duration::from_micros(1999), Timestamp::from_ms(6));
        assert_eq!(time + Duration::MAX, Timestamp::from_ms(u64::MAX));
    }

    #[test]
    fn other_forms_and_dates_that_do_not_exist_are_refused() {
        for text in [
            "",
            "2026-11-30",
            "2026-11-30T13:05:09Z",
            "2026-11-30T13:05:09.250+01:00",
            "2026-02-30T00:00:00.000Z",
            "2026-13-01T00:00:00.000Z",
            "2026-00-01T00:00:00.000Z",
            "2026-01-00T00:00:00.000Z",
            "2026-01-01T24:00:00.000Z",
            "1969-12-31T00:00:00.000Z",
            "0000-01-01T00:00:00.000Z",
            "99999999999999999999-01-01T00:00:00.000Z",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
        let error = serde_json::from_str::<Timestamp>("\"now\"").unwrap_err();
        assert!(error.to_string().starts_with("now is not as 2026-"));
    }

    proptest! {
        #[test]
        fn a_time_is_read_as_it_was_written(ms in 0..253_402_300_800_000_u64) {
            let written = gavel_json::write(&Timestamp::from_ms(ms)).unwrap();
            prop_assert_eq!(gavel_json::read::<Timestamp>(&written).unwrap().as_ms(), ms);
        }
    }
}
