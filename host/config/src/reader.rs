//! Reads one setting after the other from all layers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use toml::{Table, Value};

use super::setting::Setting;
use super::{Entry, Flag, Problem, Source};

/// The least similarity of a name that is suggested for an unknown one; 1 is equal.
const SIMILARITY: f64 = 0.8;

/// The layers above the defaults, with the entries and problems found so far.
#[derive(Debug, Default)]
pub(super) struct LayerReader {
    file: PathBuf,
    /// Values by dotted key.
    file_values: BTreeMap<String, Value>,
    /// Values by name of the variable.
    variables: BTreeMap<String, String>,
    flags: Vec<Flag>,
    entries: Vec<Entry>,
    problems: Vec<Problem>,
}

impl LayerReader {
    /// Adds the contents of `file`.
    pub(super) fn add_file(&mut self, file: PathBuf, table: Table) {
        self.file = file;
        flatten("", table, &mut self.file_values);
    }

    /// Adds variables of the environment by name.
    pub(super) fn add_variables(&mut self, variables: BTreeMap<String, String>) {
        self.variables.extend(variables);
    }

    /// Adds flags; of two for one setting, the last one wins.
    pub(super) fn add_flags(&mut self, flags: Vec<Flag>) {
        self.flags.extend(flags);
    }

    /// Adds problems that were found in a layer before it was added.
    pub(super) fn add_problems(&mut self, problems: impl IntoIterator<Item = Problem>) {
        self.problems.extend(problems);
    }

    /// The setting from the highest layer that has it, else `default`. A bad value in any layer
    /// becomes a problem.
    pub(super) fn setting<T: Setting>(
        &mut self,
        key: &'static str,
        description: &'static str,
        default: T,
        bound: Option<RangeInclusive<T>>,
    ) -> T {
        let default_json = default.to_json();
        let mut setting = default;
        let mut source = Source::Default;
        for (origin, value) in self.take(key) {
            match bounded(&value, bound.as_ref()) {
                Ok(value) => (setting, source) = (value, origin),
                Err(expected) => self.problems.push(Problem::BadValue {
                    key: key.to_owned(),
                    origin,
                    expected,
                    found: if T::SECRET {
                        "something else".to_owned()
                    } else {
                        value.to_string()
                    },
                }),
            }
        }
        self.entries.push(Entry {
            key: key.to_owned(),
            variable: variable(key),
            value: setting.to_json(),
            source,
            default: default_json,
            description,
        });
        setting
    }

    /// The entries of all settings that were read, and all problems. A name that no setting was
    /// read by is unknown.
    pub(super) fn finish(mut self) -> (Vec<Entry>, Vec<Problem>) {
        let keys: BTreeSet<&str> = self
            .entries
            .iter()
            .map(|entry| entry.key.as_str())
            .collect();
        let variables: BTreeSet<&str> = self
            .entries
            .iter()
            .map(|entry| entry.variable.as_str())
            .collect();
        let unknown = |name: &str, origin: Source, known: &BTreeSet<&str>| Problem::Unknown {
            name: name.to_owned(),
            origin,
            did_you_mean: most_similar(name, known),
        };
        let in_file = self
            .file_values
            .keys()
            .map(|key| unknown(key, Source::File(self.file.clone()), &keys));
        let in_environment = self
            .variables
            .keys()
            .map(|name| unknown(name, Source::Variable(name.clone()), &variables));
        let in_flags = self
            .flags
            .iter()
            .map(|flag| unknown(flag.key, Source::Flag(flag.flag), &keys));
        self.problems.extend(
            in_file
                .chain(in_environment)
                .chain(in_flags)
                .collect::<Vec<_>>(),
        );
        (self.entries, self.problems)
    }

    /// Takes all values of a setting out of the layers, lowest first.
    fn take(&mut self, key: &str) -> Vec<(Source, Value)> {
        let variable = variable(key);
        let mut values = Vec::new();
        if let Some(value) = self.file_values.remove(key) {
            values.push((Source::File(self.file.clone()), value));
        }
        if let Some(text) = self.variables.remove(&variable) {
            values.push((Source::Variable(variable), text.into()));
        }
        for flag in self.flags.extract_if(.., |flag| flag.key == key) {
            values.push((Source::Flag(flag.flag), flag.value.into()));
        }
        values
    }
}

/// The environment variable of a setting.
fn variable(key: &str) -> String {
    format!("GAVEL_{}", key.replace('.', "_").to_ascii_uppercase())
}

fn bounded<T: Setting>(value: &Value, bound: Option<&RangeInclusive<T>>) -> Result<T, String> {
    let Some(bound) = bound else {
        return T::from_toml(value);
    };
    let (least, most) = (bound.start().to_json(), bound.end().to_json());
    match T::from_toml(value) {
        Ok(setting) if bound.contains(&setting) => Ok(setting),
        Ok(_) => Err(format!("{least} to {most}")),
        Err(expected) => Err(format!("{expected} from {least} to {most}")),
    }
}

fn flatten(prefix: &str, table: Table, values: &mut BTreeMap<String, Value>) {
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        match value {
            Value::Table(table) => flatten(&format!("{key}."), table, values),
            value => drop(values.insert(key, value)),
        }
    }
}

fn most_similar(name: &str, known: &BTreeSet<&str>) -> Option<String> {
    known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILARITY)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| (*candidate).to_owned())
}
