//! Numbers, events and states as reports show them.

use gavel_model::Json;
pub(super) use gavel_model::{count_of, grouped as count};
use serde_json::Value;

/// Most text of one document in a report, in bytes. A report is kept with its activation for ever.
const EXCERPT_BYTES: usize = 4 << 10;

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
    fn a_long_text_is_cut_at_a_character() {
        let text = "ä".repeat(EXCERPT_BYTES);
        assert!(excerpt(&text).ends_with(&format!("ä… ({} bytes)", text.len())));
        assert_eq!(excerpt("short"), "short");
    }
}
