//! Says how two JSON documents differ, place by place.

use serde_json::Value;

/// A line for each place where `actual` is not `expected`, in the order of the document.
pub(super) fn between(expected: &Value, actual: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare(String::new(), Some(expected), Some(actual), &mut lines);
    lines
}

fn compare(
    place: String,
    expected: Option<&Value>,
    actual: Option<&Value>,
    lines: &mut Vec<String>,
) {
    match (expected, actual) {
        (Some(Value::Object(expected)), Some(Value::Object(actual))) => {
            let only_actual = actual.keys().filter(|name| !expected.contains_key(*name));
            for name in expected.keys().chain(only_actual) {
                let place = format!("{place}/{}", name.replace('~', "~0").replace('/', "~1"));
                compare(place, expected.get(name), actual.get(name), lines);
            }
        }
        (Some(Value::Array(expected)), Some(Value::Array(actual))) => {
            for index in 0..expected.len().max(actual.len()) {
                compare(
                    format!("{place}/{index}"),
                    expected.get(index),
                    actual.get(index),
                    lines,
                );
            }
        }
        (expected, actual) if expected == actual => {}
        (expected, actual) => {
            let show = |value: Option<&Value>| value.map_or("nothing".to_owned(), Value::to_string);
            let place = if place.is_empty() { "/" } else { &place };
            lines.push(format!(
                "{place}: expected {}, got {}",
                show(expected),
                show(actual)
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_documents_do_not_differ() {
        assert_eq!(
            between(&json!({"a": [1]}), &json!({"a": [1]})),
            Vec::<String>::new()
        );
    }

    #[test]
    fn each_difference_is_named_by_its_place() {
        let expected = json!({"events": [{"event": "Deposited", "data": {"amount": 5}}], "a/b": 1});
        let actual = json!({"events": [{"event": "Deposited", "data": {"amount": 4, "fee": 1}}, {"event": "FeeCharged"}]});
        let mut lines = between(&expected, &actual);
        lines.sort();
        assert_eq!(
            lines,
            [
                "/a~1b: expected 1, got nothing",
                "/events/0/data/amount: expected 5, got 4",
                "/events/0/data/fee: expected nothing, got 1",
                "/events/1: expected nothing, got {\"event\":\"FeeCharged\"}",
            ]
        );
    }

    #[test]
    fn documents_of_another_kind_differ_as_a_whole() {
        assert_eq!(between(&json!([]), &json!({})), ["/: expected [], got {}"]);
    }
}
