//! Numbers of things, in words.

/// Writes a number with its thousands apart: `1,204,331`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes a number of things: `1 stream`, `2,000 streams`. A `thing` gets an `s` unless there is
/// exactly one.
#[must_use]
pub fn count_of(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", grouped(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart_and_one_is_not_many() {
        let shown = [0, 12, 999, 1_000, 1_204_331].map(grouped);
        assert_eq!(shown, ["0", "12", "999", "1,000", "1,204,331"]);
        assert_eq!(count_of(1, "stream"), "1 stream");
        assert_eq!(count_of(52_113, "command"), "52,113 commands");
    }
}
