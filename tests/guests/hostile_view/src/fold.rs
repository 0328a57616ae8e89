//! The acts of `fold`.

use serde_json::{Value, json};
use view_base::{EvolveError, Row};

use crate::{Act, eat_memory, loop_for_ever, seen};

/// The size of a row that is too large, in bytes: a host takes 256 KiB.
const HUGE_ROW: usize = 300 << 10;

/// The acts that a row remembers, the last ones (inclusive).
const ACTS: usize = 4;

/// The size of a text that is too long for an index, in bytes: a host takes 1,000.
const LONG_TEXT: usize = 1001;

/// The rows; one too few or too many when an event of theirs says so.
pub fn fold(page: &[Act], rows: &[Row]) -> Vec<Result<Option<String>, EvolveError>> {
    let mut folded: Vec<_> = rows.iter().map(|row| fold_row(page, row)).collect();
    let acts = rows.iter().flat_map(|row| &row.events);
    for act in acts.filter_map(|index| page.get(*index as usize)) {
        match act.name.as_str() {
            "TooFewRows" => drop(folded.pop()),
            "TooManyRows" => folded.push(Ok(None)),
            _ => {}
        }
    }
    folded
}

fn fold_row(page: &[Act], row: &Row) -> Result<Option<String>, EvolveError> {
    let mut value = row.value.clone();
    for (index, event) in (0..).zip(&row.events) {
        let act = page.get(*event as usize).expect("the page has the event");
        value = evolve(value, act).map_err(|message| EvolveError {
            // One that the row has not, when it lies.
            index: if act.name == "LyingError" {
                1000
            } else {
                index
            },
            message,
        })?;
    }
    Ok(value)
}

fn evolve(value: Option<String>, act: &Act) -> Result<Option<String>, String> {
    let mut row: Value = match &value {
        Some(text) => serde_json::from_str(text).map_err(|error| error.to_string())?,
        None => initial(),
    };
    if !row.is_object() {
        return Err("the row is no object".to_owned());
    }
    row["count"] = json!(row["count"].as_u64().unwrap_or(0).wrapping_add(1));
    row["at"] = json!(at(act.created_ms));
    if let Some(note) = &act.note {
        row["note"] = json!(note);
    }
    if let Some(acts) = row["acts"].as_array_mut() {
        acts.push(json!(act.name));
        let past = acts.len().saturating_sub(ACTS);
        acts.drain(..past);
    }
    match act.name.as_str() {
        // Faults of one call.
        "TrapInFold" => core::arch::wasm32::unreachable(),
        "LoopInFold" => loop_for_ever(),
        "EatMemoryInFold" => eat_memory(),
        "EvolveError" | "LyingError" => return Err("I never wanted this event".to_owned()),
        // Fates of a row.
        "End" => return Ok(None),
        "Flag" => row["flag"] = json!(true),
        "Print" => println!("{} speaks", act.key),
        // Rows that a host cannot keep.
        "NoJson" => return Ok(Some("{]".to_owned())),
        "NoObject" => return Ok(Some("[]".to_owned())),
        "HugeRow" => row["acts"] = json!(["x".repeat(HUGE_ROW)]),
        "BreaksSchema" => row["flag"] = json!("yes"),
        "LeavesFieldOut" => drop(row.as_object_mut().and_then(|row| row.remove("flag"))),
        // Beyond a signed integer of 64 bits, and beyond any of 64 bits.
        "HugeInteger" => row["count"] = json!(1_u64 << 63),
        "HugerInteger" => row["count"] = json!(1e30),
        "HugeNumber" => return Ok(Some(with_number(&row, "1e400"))),
        "Fraction" => row["count"] = json!(0.5),
        "Year10000" => row["at"] = json!("10000-01-01T00:00:00.000Z"),
        "NoTime" => row["at"] = json!("yesterday"),
        "NoUuid" => row["id"] = json!("one"),
        "LongText" => row["note"] = json!("x".repeat(LONG_TEXT)),
        "NulText" => row["note"] = json!("\0"),
        // Another value in another instance, or in another page.
        "HiddenRow" => row["note"] = json!(seen().to_string()),
        _ => {}
    }
    Ok(Some(row.to_string()))
}

fn initial() -> Value {
    json!({
        "count": 0,
        "note": null,
        "number": 0.5,
        "flag": false,
        "at": at(0),
        "id": "00000000-0000-0000-0000-000000000001",
        "acts": [],
    })
}

/// The row with another number, which need not be one that serde knows.
fn with_number(row: &Value, number: &str) -> String {
    let text = row.to_string();
    text.replace("\"number\":0.5", &format!("\"number\":{number}"))
}

/// The time of an event of the first day of 1970; later ones have the end of that day.
fn at(created_ms: u64) -> String {
    let ms = created_ms.min(24 * 60 * 60 * 1000 - 1);
    let seconds = ms / 1000;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let ms = ms % 1000;
    format!("1970-01-01T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}
