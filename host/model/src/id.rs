//! Ids that the host makes.

use rand::Rng as _;
use uuid::{Builder, NoContext, Timestamp, Uuid};

/// A new id: a UUID of version 7, whose first 60 bits of meaning are the time, so that what is
/// written together lies together in an index.
///
/// The rest comes from this thread's generator rather than from the kernel, which would be asked
/// several times for each command.
#[must_use]
pub fn new_id() -> Uuid {
    let (seconds, nanoseconds) = Timestamp::now(NoContext).to_unix();
    let (milliseconds, rest) = (nanoseconds / 1_000_000, nanoseconds % 1_000_000);
    let mut bytes: [u8; 10] = rand::rng().random();
    // RFC 9562, section 6.2, method 3: the 12 bits after the milliseconds are their fraction.
    let [.., high, low] = (rest * 4_096 / 1_000_000).to_be_bytes();
    (bytes[0], bytes[1]) = (high, low);
    Builder::from_unix_timestamp_millis(seconds * 1_000 + u64::from(milliseconds), &bytes)
        .into_uuid()
}

/// Tells whether an id is derived by a host from what it is for (RFC 9562, section 5.8), so that
/// nothing is stored twice. Nobody else may choose such an id.
#[must_use]
pub fn is_derived(id: Uuid) -> bool {
    id.get_version_num() == 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_of_version_7_and_tell_their_time() {
        let before = Uuid::now_v7().get_timestamp().unwrap().to_unix();
        let id = new_id();
        assert_eq!(id.get_version_num(), 7);
        assert!(id.get_timestamp().unwrap().to_unix() >= before);
    }

    #[test]
    fn ids_of_version_8_are_derived_and_no_others() {
        for version in 0..16 {
            let id = Uuid::from_u128(version << 76 | 1 << 63 | 7);
            assert_eq!(is_derived(id), version == 8);
        }
        assert!(!is_derived(new_id()) && !is_derived(Uuid::nil()) && !is_derived(Uuid::max()));
    }

    #[test]
    fn no_two_ids_are_the_same() {
        let ids: std::collections::HashSet<Uuid> = (0..10_000).map(|_| new_id()).collect();
        assert_eq!(ids.len(), 10_000);
    }
}
