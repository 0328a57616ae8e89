//! The conditions for activating a module.

use gavel_model::{DeciderName, LedgerMode, Namespace};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::area::area;
use super::setting::Setting;

/// The largest increase of fuel that can be allowed, as a ratio: a million times as much.
const MOST_FUEL_INCREASE: f64 = 1_000_000.0;

area! {
    /// The conditions for activating a module.
    pub struct Gate in "gate" {
        /// `enforce` refuses an activation on findings of the gate, `warn` only reports the
        /// findings.
        mode: GateMode = GateMode::Enforce;
        /// The largest allowed share of recorded commands that are decided otherwise than by the
        /// active module, among those that were decided again; 1 allows any.
        max_changed_decisions: f64 = 1.0, within 0.0..=1.0;
        /// The most rows of a view that may be others than those of the active module.
        max_changed_rows: u64 = 0, within 0..=1_000_000_000;
        /// The largest allowed increase of a command's fuel over the active module, as a ratio: 1.0
        /// allows twice the fuel.
        max_fuel_increase: f64 = 1.0, within 0.0..=MOST_FUEL_INCREASE;
        /// The part of a command that the ledger keeps: `full`, or `keys` without the payload, and
        /// then the command cannot be decided again.
        ledger: LedgerMode = LedgerMode::Full;
        /// Rehearsals of a namespace that run at one time on this host; shadows and verifications
        /// have the same limit each. More are answered with 503.
        rehearsals: u64 = 2, within 1..=64;
        /// Rehearsals of all namespaces together that run at one time on this host, with the same
        /// limit each for shadows and verifications.
        all_rehearsals: u64 = 8, within 1..=1_024;
        /// Milliseconds that all specs of a candidate may run together; specs that have not begun
        /// by then are findings.
        specs_deadline_ms: u64 = 30_000, within 1..=3_600_000;
        /// Overrides for one namespace or decider.
        policies: Vec<DeciderPolicy> = Vec::new();
    }
}

impl Gate {
    /// The policies, each decider's completed from its namespace's.
    pub fn filled_policies(&self) -> impl Iterator<Item = DeciderPolicy> {
        self.policies.iter().map(|own| {
            let mut others = self.policies.iter();
            let of_all =
                others.find(|other| other.decider.is_none() && other.namespace == own.namespace);
            own.clone().filled_from(of_all.unwrap_or(own))
        })
    }
}

/// The consequence of the gate's findings for an activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateMode {
    /// A finding refuses the activation.
    Enforce,
    /// A finding is only reported.
    Warn,
}

impl GateMode {
    fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Warn => "warn",
        }
    }
}

impl Setting for GateMode {
    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        match value.as_str() {
            Some("enforce") => Ok(Self::Enforce),
            Some("warn") => Ok(Self::Warn),
            _ => Err("`enforce` or `warn`".to_owned()),
        }
    }

    fn to_json(&self) -> Value {
        self.as_str().into()
    }
}

impl Setting for LedgerMode {
    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        match value.as_str() {
            Some("full") => Ok(Self::Full),
            Some("keys") => Ok(Self::Keys),
            _ => Err("`full` or `keys`".to_owned()),
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Full => "full".into(),
            Self::Keys => "keys".into(),
        }
    }
}

/// Overrides for the modules of one decider, or of all deciders of a namespace. A decider's policy
/// falls back to its namespace's, and that one to the settings for all.
#[derive(Clone, Debug, PartialEq, PartialOrd, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeciderPolicy {
    /// The namespace of the decider; by default `default`.
    #[serde(default, deserialize_with = "namespace")]
    pub namespace: Namespace,
    /// The decider; none for all of the namespace.
    #[serde(default, deserialize_with = "decider")]
    pub decider: Option<DeciderName>,
    /// The consequence of the gate's findings for an activation.
    pub mode: Option<GateMode>,
    /// The largest allowed share of recorded commands that are decided otherwise, from 0 to 1
    /// (inclusive).
    pub max_changed_decisions: Option<f64>,
    /// The most rows of a view that may be others than those of the active module.
    pub max_changed_rows: Option<u64>,
    /// The largest allowed increase of a command's fuel as a ratio, from 0 to 1,000,000
    /// (inclusive).
    pub max_fuel_increase: Option<f64>,
    /// The part of a command that the ledger keeps.
    #[serde(default, deserialize_with = "ledger")]
    pub ledger: Option<LedgerMode>,
}

fn namespace<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Namespace, D::Error> {
    Namespace::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}

fn decider<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DeciderName>, D::Error> {
    DeciderName::new(String::deserialize(deserializer)?)
        .map(Some)
        .map_err(serde::de::Error::custom)
}

fn ledger<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<LedgerMode>, D::Error> {
    let value = toml::Value::deserialize(deserializer)?;
    let mode = LedgerMode::from_toml(&value).map(Some);
    mode.map_err(|expected| D::Error::custom(format!("`ledger` is {value}, not {expected}")))
}

impl DeciderPolicy {
    fn filled_from(self, other: &Self) -> Self {
        Self {
            mode: self.mode.or(other.mode),
            max_changed_decisions: self.max_changed_decisions.or(other.max_changed_decisions),
            max_changed_rows: self.max_changed_rows.or(other.max_changed_rows),
            max_fuel_increase: self.max_fuel_increase.or(other.max_fuel_increase),
            ledger: self.ledger.or(other.ledger),
            ..self
        }
    }

    fn is_about(&self, other: &Self) -> bool {
        self.namespace == other.namespace && self.decider == other.decider
    }

    /// The bounds of the first number that violates them; none if no number does.
    fn objection(&self) -> Option<String> {
        let is_within =
            |share: Option<f64>, most| share.is_none_or(|share| (0.0..=most).contains(&share));
        if !is_within(self.max_changed_decisions, 1.0) {
            return Some("a `max_changed_decisions` from 0 to 1".to_owned());
        }
        if !is_within(self.max_fuel_increase, MOST_FUEL_INCREASE) {
            return Some(format!(
                "a `max_fuel_increase` from 0 to {MOST_FUEL_INCREASE}"
            ));
        }
        None
    }

    fn to_json(&self) -> Value {
        let mut members = Map::new();
        let mut add = |name: &str, value: Value| drop(members.insert(name.to_owned(), value));
        add("namespace", self.namespace.as_str().into());
        if let Some(decider) = &self.decider {
            add("decider", decider.as_str().into());
        }
        if let Some(mode) = self.mode {
            add("mode", mode.to_json());
        }
        if let Some(share) = self.max_changed_decisions {
            add("max_changed_decisions", share.into());
        }
        if let Some(rows) = self.max_changed_rows {
            add("max_changed_rows", rows.into());
        }
        if let Some(share) = self.max_fuel_increase {
            add("max_fuel_increase", share.into());
        }
        if let Some(ledger) = self.ledger {
            add("ledger", ledger.to_json());
        }
        members.into()
    }
}

impl Setting for Vec<DeciderPolicy> {
    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        let tables = value
            .as_array()
            .ok_or("`[[gate.policies]]` tables in gavel.toml")?;
        let mut policies: Self = Vec::new();
        for (index, table) in tables.iter().enumerate() {
            let place = index.saturating_add(1);
            if ["namespace", "decider"]
                .iter()
                .all(|name| table.get(name).is_none())
            {
                return Err(format!(
                    "a `namespace`, a `decider` or both in policy {place}"
                ));
            }
            let parsed = table.clone().try_into();
            let policy: DeciderPolicy = parsed.map_err(|error: toml::de::Error| {
                format!(
                    "what holds for a namespace or a decider, but of policy {place}: {}",
                    error.message()
                )
            })?;
            if let Some(expected) = policy.objection() {
                return Err(format!("{expected} in policy {place}"));
            }
            if policies.iter().any(|other| other.is_about(&policy)) {
                return Err(format!(
                    "a namespace or a decider of its own for policy {place}"
                ));
            }
            policies.push(policy);
        }
        Ok(policies)
    }

    fn to_json(&self) -> Value {
        self.iter().map(DeciderPolicy::to_json).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(toml: &str) -> Result<Vec<DeciderPolicy>, String> {
        let table: toml::Table = toml::from_str(toml).unwrap();
        Vec::from_toml(&table["policies"])
    }

    #[test]
    fn a_policy_says_only_what_is_another_thing() {
        let policies = parse(
            "[[policies]]\ndecider = 'account'\nmode = 'warn'\n\
             [[policies]]\nnamespace = 'tests'\ndecider = 'account'\nmax_changed_decisions = 0\nmax_fuel_increase = 0.5\n\
             [[policies]]\nnamespace = 'tests'\nledger = 'keys'",
        )
        .unwrap();
        assert_eq!(policies[0].namespace, Namespace::default());
        assert_eq!(policies[0].mode, Some(GateMode::Warn));
        assert_eq!(policies[0].max_changed_decisions, None);
        assert_eq!(policies[1].max_changed_decisions, Some(0.0));
        assert_eq!(
            policies.to_json(),
            json!([
                { "namespace": "default", "decider": "account", "mode": "warn" },
                { "namespace": "tests", "decider": "account", "max_changed_decisions": 0.0, "max_fuel_increase": 0.5 },
                { "namespace": "tests", "ledger": "keys" },
            ])
        );
    }

    #[test]
    fn a_decider_s_policy_is_filled_in_from_its_namespace_s() {
        let toml = "[[policies]]\ndecider = 'account'\nmode = 'warn'\n\
                    [[policies]]\nnamespace = 'default'\nmode = 'enforce'\nledger = 'keys'\n\
                    [[policies]]\nnamespace = 'tests'\ndecider = 'account'";
        let gate = Gate {
            policies: parse(toml).unwrap(),
            ..Gate::default()
        };

        let filled: Vec<_> = gate.filled_policies().collect();

        let said: Vec<_> = filled.iter().map(|own| (own.mode, own.ledger)).collect();
        let expected = [
            (Some(GateMode::Warn), Some(LedgerMode::Keys)),
            (Some(GateMode::Enforce), Some(LedgerMode::Keys)),
            (None, None),
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn a_bad_policy_is_named_with_what_is_wrong() {
        let good = "[[policies]]\ndecider = 'account'\n";
        for (toml, wrong) in [
            ("policies = 'account'".to_owned(), "tables"),
            (
                good.replace("account", "7"),
                "policy 1: a decider's name is",
            ),
            (format!("{good}namespace = 'A'"), "policy 1: a namespace is"),
            (format!("{good}mode = 'off'"), "unknown variant `off`"),
            (format!("{good}max_fuel = 1"), "unknown field `max_fuel`"),
            (
                format!("{good}max_changed_decisions = 1.1"),
                "`max_changed_decisions` from 0 to 1 in policy 1",
            ),
            (
                format!("{good}max_changed_decisions = nan"),
                "`max_changed_decisions` from 0 to 1 in policy 1",
            ),
            (
                format!("{good}max_fuel_increase = -0.1"),
                "`max_fuel_increase` from 0 to 1000000 in policy 1",
            ),
            (
                format!("{good}max_fuel_increase = inf"),
                "`max_fuel_increase` from 0 to 1000000 in policy 1",
            ),
            (
                format!("{good}ledger = 'none'"),
                "policy 1: `ledger` is \"none\", not `full` or `keys`",
            ),
            (
                "[[policies]]\nmode = 'warn'".to_owned(),
                "a `namespace`, a `decider` or both in policy 1",
            ),
            (format!("{good}{good}"), "its own for policy 2"),
            (
                "[[policies]]\nnamespace = 'a'\n[[policies]]\nnamespace = 'a'".to_owned(),
                "its own for policy 2",
            ),
        ] {
            let message = parse(&toml).unwrap_err();
            assert!(message.contains(wrong), "{message:?} should say {wrong:?}");
        }
    }
}
