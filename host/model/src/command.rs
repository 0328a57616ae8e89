//! Commands as the ledger records them.

use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Json, Metadata, ModuleDigest, StreamId, Version};

/// Identifies one command within its namespace. A repeated id gives the first outcome.
pub type CommandId = Uuid;

/// The SHA-256 of a command's content, which shows that a key is used again for another command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of `parts`; each is preceded by its length, so that no two lists of parts
    /// are mistaken for each other.
    #[must_use]
    pub fn of<'p>(parts: impl IntoIterator<Item = &'p str>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        Self(hash.finalize().into())
    }

    /// The fingerprint of a command to `stream`. It is made of its payload as `serde_json` prints
    /// it: all fingerprints in ledgers were made in that way.
    #[must_use]
    pub fn of_command(stream: &StreamId, command: &str, data: &Json, metadata: &Metadata) -> Self {
        let data = data.to_compact_text();
        let parts = [stream.decider().as_str(), stream.id(), command, &data];
        let entries = metadata.entries().iter();
        let entries = entries.flat_map(|(key, value)| [key.as_str(), value.as_str()]);
        Self::of(parts.into_iter().chain(entries))
    }

    /// The 32 bytes, as a row holds them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The fingerprint that a row holds, or none when it has not 32 bytes.
    #[must_use]
    pub fn from_stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

/// A refusal by the decider.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejection {
    /// The stable code, for programs.
    pub code: String,
    /// One sentence for people.
    pub message: String,
    /// Facts for programs.
    pub data: Option<Json>,
}

impl Rejection {
    /// The memory of the command's texts, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let data = self.data.as_ref().map_or(0, |data| data.as_str().len());
        self.code.len() + self.message.len() + data
    }
}

/// The outcome of a decision.
#[derive(Debug, Clone, PartialEq)]
pub enum CommandOutcome {
    /// The command was accepted with this many events, from none upwards: those right after the
    /// version that was decided at.
    Accepted {
        /// The number of events.
        events: u32,
    },
    /// The command was rejected; no event was stored.
    Rejected(Rejection),
}

/// The part of a command that the ledger keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum LedgerMode {
    /// All that the decision was made on, so that it can be made again.
    #[default]
    Full,
    /// The command without its payload: enough to answer it again when it is sent again, but not to
    /// decide it again.
    Keys,
}

impl LedgerMode {
    /// The ledger mode of a command with this payload in its row, and the payload to show.
    #[must_use]
    pub fn of_row(data: Option<Json>) -> (Self, Json) {
        match data {
            Some(data) => (Self::Full, data),
            None => (Self::Keys, Json::null()),
        }
    }
}

/// One row of the decision ledger: a command, all it was decided on, and its outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandRecord {
    /// The id that the sender chose, or the host.
    pub command_id: CommandId,
    /// The stream that was decided on.
    pub stream: StreamId,
    /// The command's name, in the imperative.
    pub command: String,
    /// The command's payload; `null` when read from a ledger that does not keep it.
    pub data: Json,
    /// The part of the command that the ledger keeps.
    pub ledger: LedgerMode,
    /// The fingerprint of the request, which tells a retry from another command with the same id.
    pub fingerprint: Fingerprint,
    /// The time that the decider saw, in whole milliseconds.
    pub now: OffsetDateTime,
    /// The random number that the decider saw.
    pub seed: u64,
    /// The sender; none when authentication is off.
    pub actor: Option<String>,
    /// The sender's metadata as the decider saw it.
    pub metadata: Metadata,
    /// The version that was decided at.
    pub version: Version,
    /// The module that decided.
    pub module: ModuleDigest,
    /// The outcome of the decision.
    pub outcome: CommandOutcome,
    /// The cost of the decision in units of fuel, without the folding of history; 0 when no module
    /// has decided.
    pub fuel: u64,
}

impl CommandRecord {
    /// Tells whether a module has decided. Otherwise the row only keeps the id from being used.
    #[must_use]
    pub fn is_decided(&self) -> bool {
        self.fuel > 0
    }

    /// The payload as the ledger keeps it.
    #[must_use]
    pub fn kept_data(&self) -> Option<&Json> {
        match self.ledger {
            LedgerMode::Full => Some(&self.data),
            LedgerMode::Keys => None,
        }
    }

    /// The approximate memory of the record, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let metadata = self.metadata.entries().iter();
        let metadata: usize = metadata.map(|(key, value)| key.len() + value.len()).sum();
        let rejection = match &self.outcome {
            CommandOutcome::Rejected(rejection) => rejection.size_bytes(),
            CommandOutcome::Accepted { .. } => 0,
        };
        size_of::<Self>() + self.data.as_str().len() + metadata + rejection
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeciderName, Namespace};

    /// A command that is sent again after an upgrade is found by the fingerprint that the release
    /// before has stored.
    #[test]
    fn the_fingerprint_of_a_command_is_that_of_all_releases() {
        let decider = DeciderName::new("account").unwrap();
        let stream = StreamId::new(Namespace::default(), decider, "a-1").unwrap();
        for (sent, hashed) in [
            (r#"{"amount":1}"#, r#"{"amount":1}"#),
            (
                r#"{ "z": 1.0, "amount": [-0, 1e19] }"#,
                r#"{"amount":[0,10000000000000000000],"z":1}"#,
            ),
            (
                r#"{"a": "b: c, \u0041\n", "a\"": true}"#,
                r#"{"a":"b: c, A\n","a\"":true}"#,
            ),
            (
                r#"{"bb": 0.10, "c": 12345678901234567890}"#,
                r#"{"bb":0.1,"c":12345678901234567890}"#,
            ),
            ("{}", "{}"),
        ] {
            let data = Json::parse(sent).unwrap();
            let entries = [("k".to_owned(), "v".to_owned())].into();
            let metadata = Metadata::from_sender(entries).unwrap();
            assert_eq!(
                Fingerprint::of_command(&stream, "Deposit", &data, &metadata),
                Fingerprint::of(["account", "a-1", "Deposit", hashed, "k", "v"]),
                "{sent}"
            );
        }
    }
}
