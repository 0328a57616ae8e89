//! The text of a problem.

use std::fmt::Write as _;

use gavel_client::Problem;
use serde_json::Value;

use super::report;

/// Members that every problem has. They are shown in the first line, or mean nothing to people.
const COMMON: [&str; 6] = ["type", "title", "status", "detail", "instance", "code"];

/// Describes a problem and its facts, in one or more lines.
pub(super) fn in_words(problem: &Problem) -> String {
    let member = |name| problem.members().get(name);
    if let Some(rejection) = member("rejection") {
        return rejection_in_words(rejection);
    }
    if let Some(report) = member("report") {
        return format!("{}\n{}", headline(problem), report::in_words(report));
    }
    if let Some(Value::Array(reports)) = member("reports") {
        let reports = reports.iter().map(|report| {
            let decider = report.get("decider").map(plain).unwrap_or_default();
            format!("\n{decider}\n{}", report::in_words(report))
        });
        return headline(problem) + &reports.collect::<String>();
    }
    headline(problem) + &facts(problem)
}

fn headline(problem: &Problem) -> String {
    match (problem.text("title"), problem.text("detail")) {
        ("", "") => problem.code().to_owned(),
        (title, "") => title.to_owned(),
        ("", detail) => detail.to_owned(),
        (title, detail) => format!("{title}: {detail}"),
    }
}

fn facts(problem: &Problem) -> String {
    let mut lines = String::new();
    for (name, value) in problem
        .members()
        .iter()
        .filter(|(name, _)| !COMMON.contains(&name.as_str()))
    {
        match (name.as_str(), value) {
            ("did_you_mean", Value::String(name)) => {
                let _ = write!(lines, "\n  did you mean `{name}`?");
            }
            ("did_you_mean", Value::Array(names)) if !names.is_empty() => {
                let names: Vec<_> = names
                    .iter()
                    .map(|name| format!("`{}`", plain(name)))
                    .collect();
                let _ = write!(lines, "\n  did you mean {}?", names.join(" or "));
            }
            (_, Value::Array(items)) => {
                for item in items {
                    let _ = write!(lines, "\n  {}", fault(item));
                }
            }
            (_, Value::Null | Value::Object(_)) => {}
            (name, value) => {
                let _ = write!(lines, "\n  {}: {}", name.replace('_', " "), plain(value));
            }
        }
    }
    if let Some(seconds) = problem.retry_after() {
        let _ = write!(lines, "\n  try again in {seconds} s");
    }
    // What went wrong inside is in the host's log, under this id.
    if problem.status() >= 500 && !problem.text("instance").is_empty() {
        let _ = write!(lines, "\n  request: {}", problem.text("instance"));
    }
    lines
}

/// Describes a decider's rejection.
pub(super) fn rejection_in_words(rejection: &Value) -> String {
    let member = |name: &str| rejection.get(name).map(plain).unwrap_or_default();
    let mut words = format!("rejected: {}: {}", member("code"), member("message"));
    match rejection.get("data") {
        None | Some(Value::Null) => {}
        Some(data) => {
            let _ = write!(words, "\n  {data}");
        }
    }
    words
}

/// A fault in a list of faults: a sentence, or an object with a place and a reason.
fn fault(item: &Value) -> String {
    let place = ["pointer", "parameter", "header"]
        .iter()
        .find_map(|kind| item.get(kind)?.as_str());
    match (place, item.get("message")) {
        (None | Some(""), Some(message)) => plain(message),
        (Some(place), Some(message)) => format!("{place}: {}", plain(message)),
        (_, None) => plain(item),
    }
}

/// A text without its quotes, anything else as JSON.
fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problem(document: &Value) -> Problem {
        Problem::parse(document.to_string(), None).unwrap()
    }

    #[test]
    fn a_conflict_says_both_versions() {
        let conflict = problem(&json!({
            "type": "https://gavel.dev/problems/version-conflict", "title": "Version conflict", "status": 409,
            "detail": "the stream has moved", "code": "version-conflict", "instance": "0199",
            "expected_version": 3, "current_version": 5,
        }));
        assert_eq!(
            in_words(&conflict),
            "Version conflict: the stream has moved\n  current version: 5\n  expected version: 3"
        );
    }

    #[test]
    fn a_rejection_is_told_in_the_deciders_words() {
        let rejected = problem(&json!({
            "code": "command-rejected", "status": 422, "title": "Command rejected",
            "rejection": {"code": "insufficient_funds", "message": "the balance is 3", "data": {"balance": 3}},
        }));
        assert_eq!(
            in_words(&rejected),
            "rejected: insufficient_funds: the balance is 3\n  {\"balance\":3}"
        );
    }

    #[test]
    fn faults_are_listed_with_their_place() {
        let invalid = problem(&json!({
            "code": "invalid-command-data", "status": 422, "title": "Invalid command data",
            "errors": [
                {"pointer": "/data/amount", "message": "-1 is less than 0"},
                {"pointer": "", "message": "too many members"},
                {"header": "If-Match", "message": "it is no version"},
            ],
        }));
        assert_eq!(
            in_words(&invalid),
            "Invalid command data\n  /data/amount: -1 is less than 0\n  too many members\n  If-Match: it is no version"
        );
    }

    #[test]
    fn a_mistyped_name_is_put_right() {
        let unknown = json!({"code": "command-unknown", "title": "Unknown command", "did_you_mean": "Deposit"});
        assert_eq!(
            in_words(&problem(&unknown)),
            "Unknown command\n  did you mean `Deposit`?"
        );
        let unknown = json!({"code": "command-unknown", "title": "Unknown command", "did_you_mean": ["Open", "Close"]});
        assert_eq!(
            in_words(&problem(&unknown)),
            "Unknown command\n  did you mean `Open` or `Close`?"
        );
    }

    #[test]
    fn an_outage_names_the_request_and_when_to_try_again() {
        let document =
            json!({"code": "draining", "title": "Draining", "status": 503, "instance": "0199"});
        let draining = Problem::parse(document.to_string(), Some("2".to_owned())).unwrap();
        assert_eq!(
            in_words(&draining),
            "Draining\n  try again in 2 s\n  request: 0199"
        );
    }
}
