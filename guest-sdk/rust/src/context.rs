//! The inputs of a decision besides state and command, and randomness made from them.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// The inputs of a decision besides state and command.
///
/// The context is recorded with the command, so a decision can be made again on the very same
/// inputs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Context {
    /// Identifies the command: a UUID in its hyphenated form.
    pub command_id: String,
    /// The namespace of the stream.
    pub namespace: String,
    /// The id of the stream within its decider.
    pub stream_id: String,
    /// The version that is decided at: 0 for a stream without events.
    pub version: u64,
    /// The time of the decision, in milliseconds since 1970-01-01T00:00:00Z.
    pub now_ms: u64,
    /// A random number, different for every command.
    pub seed: u64,
    /// The sender of the command; none when the host does not authenticate.
    pub actor: Option<String>,
    /// The metadata that the sender attached, sorted by key, without duplicate keys.
    #[serde(deserialize_with = "sorted_by_key")]
    pub metadata: Vec<(String, String)>,
}

/// The context of a specification that sets none: the stream `spec` in the namespace `default`, and
/// zero everywhere else.
impl Default for Context {
    fn default() -> Self {
        Self {
            command_id: "00000000-0000-0000-0000-000000000000".to_owned(),
            namespace: "default".to_owned(),
            stream_id: "spec".to_owned(),
            version: 0,
            now_ms: 0,
            seed: 0,
            actor: None,
            metadata: Vec::new(),
        }
    }
}

impl Context {
    /// The metadata value that the sender attached under `key`.
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// A source of random numbers, the same for every repetition of this decision.
    #[must_use]
    pub fn random(&self) -> Random {
        Random { state: self.seed }
    }
}

fn sorted_by_key<'de, D: Deserializer<'de>>(object: D) -> Result<Vec<(String, String)>, D::Error> {
    Ok(BTreeMap::deserialize(object)?.into_iter().collect())
}

/// A deterministic source of random numbers (SplitMix64). Not for secrets: a reader of the ledger
/// can compute them.
#[derive(Debug, Clone)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The next number, each of the 2⁶⁴ equally likely.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 up to but not including `bound`; 0 when `bound` is 0.
    ///
    /// Lower numbers are favoured by at most `bound` / 2⁶⁴, which no simulation or lottery notices.
    pub fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.next_u64()) * u128::from(bound);
        (product >> 64) as u64
    }
}
