//! The order of appends by payer: start-time fair queueing (Goyal, Vin and Cheng, 1996), in bytes.
//!
//! On a clock that counts bytes, an append starts where the previous append of the same payer ends,
//! or now if that is past. The append with the least start goes first, and sets the clock to its
//! start. So payers that always have an append ready get the same number of bytes each, and a payer
//! that has used little comes before the backlog of a greedy one. The appends of one payer keep the
//! order of their arrival.

use std::collections::{BTreeMap, HashMap};

use super::{Number, QueueKey};

/// The number of bytes of other payers after which an idle payer is forgotten: until then it may
/// well come back.
const MEMORY_BYTES: u64 = 64 * 1024 * 1024;

/// Appends that may go, in order.
#[derive(Debug, Default)]
pub(super) struct Fair {
    /// The start of the append that went last.
    now: u64,
    /// The end of each payer's newest append, on the clock of bytes.
    ends: HashMap<QueueKey, u64>,
    /// The bytes of each append, by its start.
    ready: BTreeMap<(u64, Number), usize>,
    /// The time on the clock of bytes at which idle payers were last forgotten.
    swept: u64,
}

impl Fair {
    pub(super) fn push(&mut self, number: Number, payer: QueueKey, bytes: usize) {
        let end = self.ends.entry(payer).or_default();
        let start = self.now.max(*end);
        *end = start.saturating_add(bytes as u64);
        self.ready.insert((start, number), bytes);
    }

    /// The bytes of the next.
    pub(super) fn first_bytes(&self) -> Option<usize> {
        self.ready.first_key_value().map(|(_, bytes)| *bytes)
    }

    pub(super) fn pop(&mut self) -> Option<Number> {
        let ((start, number), _) = self.ready.pop_first()?;
        self.now = start;
        // Now and then, since it looks at all of them.
        if start - self.swept > MEMORY_BYTES / 16 {
            self.swept = start;
            self.ends
                .retain(|_, end| end.saturating_add(MEMORY_BYTES) > start);
        }
        Some(number)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Tells whether more than one payer has appended lately, or is about to.
    pub(super) fn has_several_payers(&self) -> bool {
        self.ends.len() > 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: QueueKey = 1;
    const B: QueueKey = 2;

    fn order(fair: &mut Fair) -> Vec<Number> {
        std::iter::from_fn(|| fair.pop()).collect()
    }

    #[test]
    fn one_payer_is_served_in_the_order_of_arrival() {
        let mut fair = Fair::default();
        for (number, bytes) in [(0, 500), (1, 3), (2, 70), (3, 0)] {
            fair.push(number, A, bytes);
        }
        assert!(!fair.has_several_payers());
        assert_eq!(order(&mut fair), [0, 1, 2, 3]);
    }

    #[test]
    fn who_has_had_little_goes_before_what_a_greedy_one_has_piled_up() {
        let mut fair = Fair::default();
        for number in 0..1_000 {
            fair.push(number, A, 10_000);
        }
        assert_eq!(fair.pop(), Some(0));
        assert_eq!(fair.pop(), Some(1));
        fair.push(1_000, B, 10);
        fair.push(1_001, B, 10);
        assert_eq!(fair.pop(), Some(1_000));
        assert_eq!(fair.pop(), Some(1_001));
        assert_eq!(fair.pop(), Some(2));
        // Having been away earns nothing: what has not been used is not saved up.
        for number in 1_002..1_010 {
            fair.push(number, B, 10_000);
        }
        let next: Vec<_> = (0..6).filter_map(|_| fair.pop()).collect();
        let of_b = next.iter().filter(|number| **number >= 1_000).count();
        assert_eq!(of_b, 3, "{next:?}");
    }

    #[test]
    fn payers_get_the_same_number_of_bytes_whatever_the_sizes_and_nobody_starves() {
        let mut fair = Fair::default();
        let size = |payer| if payer == A { 10_000 } else { 300 };
        let mut payers = vec![A, B];
        fair.push(0, A, size(A));
        fair.push(1, B, size(B));
        let mut had = HashMap::from([(A, 0), (B, 0)]);
        for next in 2..10_000 {
            let payer = payers[usize::try_from(fair.pop().unwrap()).unwrap()];
            *had.get_mut(&payer).unwrap() += size(payer);
            fair.push(next, payer, size(payer));
            payers.push(payer);
        }
        let apart = usize::abs_diff(had[&A], had[&B]);
        assert!(apart <= 10_000, "{had:?}");
    }
}
