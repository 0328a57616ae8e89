//! The settings in the environment.

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::Problem;

/// Variables with our prefix that are read elsewhere: by the command line for client commands, and
/// by the tests.
const READ_ELSEWHERE: [&str; 3] = ["GAVEL_SERVER", "GAVEL_NAMESPACE", "GAVEL_TOKEN"];
const READ_BY_TESTS: &str = "GAVEL_TEST_";

/// Picks the settings out of `variables`, with the problems found in them.
pub(super) fn settings(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> (BTreeMap<String, String>, Vec<Problem>) {
    let mut settings = BTreeMap::new();
    let mut problems = Vec::new();
    for (name, value) in variables {
        let Ok(name) = name.into_string() else {
            continue;
        };
        if !name.starts_with("GAVEL_")
            || name.starts_with(READ_BY_TESTS)
            || READ_ELSEWHERE.contains(&name.as_str())
        {
            continue;
        }
        match value.into_string() {
            Ok(value) if is_service_link(&name, &value) => {}
            Ok(value) => drop(settings.insert(name, value)),
            Err(_) => problems.push(Problem::NotText { variable: name }),
        }
    }
    (settings, problems)
}

/// Tells whether Kubernetes made the variable for a service called `gavel` or `gavel-…`: every
/// container of the namespace gets such variables.
fn is_service_link(name: &str, value: &str) -> bool {
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.contains("_TCP")
        || (name.ends_with("_PORT") && value.contains("://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(variables: &[(&str, &str)]) -> Vec<String> {
        let (settings, problems) = settings(
            variables
                .iter()
                .map(|(name, value)| (name.into(), value.into())),
        );
        assert_eq!(problems, []);
        settings.into_keys().collect()
    }

    #[test]
    fn only_our_own_variables_are_settings() {
        assert_eq!(
            names(&[
                ("PATH", "/bin"),
                ("GAVEL_SERVER", "http://127.0.0.1:4000"),
                ("GAVEL_TEST_DATABASE_URL", "postgres://db/test"),
                ("GAVEL_LOG_FILTER", "debug"),
            ]),
            ["GAVEL_LOG_FILTER"]
        );
    }

    #[test]
    fn a_kubernetes_service_called_gavel_stops_no_host() {
        assert_eq!(
            names(&[
                ("GAVEL_SERVICE_HOST", "10.0.0.1"),
                ("GAVEL_SERVICE_PORT", "4000"),
                ("GAVEL_SERVICE_PORT_HTTP", "4000"),
                ("GAVEL_PORT", "tcp://10.0.0.1:4000"),
                ("GAVEL_PORT_4000_TCP", "tcp://10.0.0.1:4000"),
                ("GAVEL_PORT_4000_TCP_ADDR", "10.0.0.1"),
            ]),
            Vec::<String>::new()
        );
        assert_eq!(names(&[("GAVEL_PORT", "4000")]), ["GAVEL_PORT"]);
    }
}
