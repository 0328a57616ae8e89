//! The newest pages of a namespace's log.

use std::collections::VecDeque;
use std::sync::Arc;

use gavel_model::Position;

use super::tail_page::TailPage;

/// Most pages in a ring, however small they are.
const MOST_PAGES: usize = 256;

/// Adjacent pages up to the end of what has been read; the older ones make room.
#[derive(Debug)]
pub(super) struct Ring {
    pages: VecDeque<Arc<TailPage>>,
    bytes: usize,
    end: Position,
}

/// The result of looking up the page that comes next.
#[derive(Debug)]
pub(super) enum RingRead {
    /// The page that holds what comes next.
    Page(Arc<TailPage>),
    /// No event comes after the reader's position yet.
    End,
    /// The next page was dropped, or was never here: it has to be read from the store.
    Dropped,
}

impl Ring {
    /// Makes a ring without pages; what is stored up to `end` has been read by others.
    pub(super) fn new(end: Position) -> Self {
        Self {
            pages: VecDeque::new(),
            bytes: 0,
            end,
        }
    }

    /// Gives the position where the newest page ends; inclusive.
    pub(super) fn end(&self) -> Position {
        self.end
    }

    /// Adds the page behind the others, and lets old ones go until no more than `bytes` are left:
    /// all of them if need be.
    ///
    /// A page that does not begin where the last one ends is not taken. Whether it was.
    pub(super) fn push(&mut self, page: TailPage, bytes: usize) -> bool {
        if page.after != self.end {
            return false;
        }
        self.end = page.next;
        self.bytes += page.bytes;
        self.pages.push_back(Arc::new(page));
        while self.bytes > bytes || self.pages.len() > MOST_PAGES {
            let Some(oldest) = self.pages.pop_front() else {
                break;
            };
            self.bytes -= oldest.bytes;
        }
        true
    }

    /// Empties the ring and starts it at `end`, unless the ring ends before that.
    pub(super) fn rewind(&mut self, end: Position) {
        if end < self.end {
            self.clear();
            self.end = end;
        }
    }

    /// Lets all pages go.
    pub(super) fn clear(&mut self) {
        self.pages = VecDeque::new();
        self.bytes = 0;
    }

    /// Finds the page to read next after everything up to `position` (inclusive).
    pub(super) fn after(&self, position: Position) -> RingRead {
        if position >= self.end {
            return RingRead::End;
        }
        let index = self.pages.partition_point(|page| page.next <= position);
        match self.pages.get(index) {
            Some(page) if page.after <= position => RingRead::Page(Arc::clone(page)),
            _ => RingRead::Dropped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> Position {
        Position::new(0, 0, offset)
    }

    fn page(after: u64, next: u64) -> TailPage {
        TailPage {
            after: at(after),
            next: at(next),
            bytes: 100,
            ..TailPage::default()
        }
    }

    fn next_of(ring: &Ring, position: u64) -> Option<u64> {
        match ring.after(at(position)) {
            RingRead::Page(page) => Some(page.next.offset()),
            RingRead::End => None,
            RingRead::Dropped => Some(0),
        }
    }

    #[test]
    fn a_reader_finds_the_page_that_it_stands_in() {
        let mut ring = Ring::new(at(10));
        ring.push(page(10, 20), 1_000);
        ring.push(page(20, 30), 1_000);
        let expected = [
            (9, Some(0)),
            (10, Some(20)),
            (19, Some(20)),
            (20, Some(30)),
            (29, Some(30)),
            (30, None),
            (31, None),
        ];
        for (position, next) in expected {
            assert_eq!(next_of(&ring, position), next, "behind {position}");
        }
    }

    #[test]
    fn old_pages_make_room_and_their_readers_are_told() {
        let mut ring = Ring::new(at(10));
        ring.push(page(10, 20), 150);
        ring.push(page(20, 30), 150);
        assert_eq!(next_of(&ring, 10), Some(0));
        assert_eq!(next_of(&ring, 20), Some(30));
        ring.push(page(30, 40), 99);
        assert_eq!(next_of(&ring, 30), Some(0), "not even the newest fits");
        assert_eq!(next_of(&ring, 40), None);
    }

    #[test]
    fn a_ring_that_was_rewound_takes_what_follows_its_new_end_only() {
        let mut ring = Ring::new(at(90));
        ring.rewind(at(95));
        assert_eq!(ring.end(), at(90));
        ring.rewind(at(10));
        assert_eq!(ring.end(), at(10));
        assert!(!ring.push(page(90, 100), 1_000));
        assert!(ring.push(page(10, 20), 1_000));
        assert_eq!(next_of(&ring, 10), Some(20));
    }

    #[test]
    fn a_ring_without_pages_still_knows_where_it_ends() {
        let mut ring = Ring::new(at(10));
        assert_eq!(next_of(&ring, 10), None);
        ring.push(page(10, 20), 1_000);
        ring.clear();
        assert_eq!(next_of(&ring, 20), None);
        assert_eq!(next_of(&ring, 10), Some(0));
        ring.push(page(20, 30), 1_000);
        assert_eq!(next_of(&ring, 20), Some(30));
    }
}
