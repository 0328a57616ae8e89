//! Numbers, events and states as reports show them.

use gavel_model::Json;
use serde_json::Value;

/// Most text of one document in a report, in bytes. A report is kept with its activation for ever.
const EXCERPT_BYTES: usize = 4 << 10;

/// Writes a number with separators: `1,204,331`.
pub(super) fn count(number: u64) -> String {
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

/// Writes a number of things: `1 stream`, `2,000 streams`.
pub(super) fn count_of(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {thing}{plural}", count(number))
}

/// Writes a time that something took: `4 ms`, `1.4 s`, `38 s`.
pub(super) fn seconds(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{:.0} ms", seconds * 1_000.0)
    } else if seconds < 10.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{seconds:.0} s")
    }
}

/// Writes a share in percent: `12 %`.
pub(super) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// Gives a text, or its beginning if it is too long to be shown.
pub(super) fn excerpt(text: &str) -> String {
    if text.len() <= EXCERPT_BYTES {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(EXCERPT_BYTES);
    format!("{}… ({} bytes)", &text[..end], text.len())
}

/// Gives a document, or the beginning of its text if it is too long.
pub(super) fn excerpt_json(json: &Json) -> Value {
    if json.as_str().len() <= EXCERPT_BYTES {
        json.to_value()
    } else {
        Value::String(excerpt(json.as_str()))
    }
}

/// Gives a value, or the beginning of its text if it is too long.
pub(super) fn excerpt_value(value: Value) -> Value {
    let text = value.to_string();
    if text.len() <= EXCERPT_BYTES {
        value
    } else {
        Value::String(excerpt(&text))
    }
}

/// Writes a document of a report on one line.
pub(super) fn document_line(shown: &Value) -> String {
    match Json::from_value(shown) {
        Ok(json) => excerpt(json.as_str()),
        Err(_) => excerpt(&shown.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let shown = [0, 12, 999, 1_000, 1_204_331].map(count);
        assert_eq!(shown, ["0", "12", "999", "1,000", "1,204,331"]);
        assert_eq!(count_of(1, "stream"), "1 stream");
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let text = "ä".repeat(EXCERPT_BYTES);
        assert!(excerpt(&text).ends_with(&format!("ä… ({} bytes)", text.len())));
        assert_eq!(excerpt("short"), "short");
    }
}
