//! A module that describes itself with a text that a test writes into the component, over `MARK`
//! and the spaces behind it.

use std::hint::black_box;

/// The size of the largest manifest that a host takes, in bytes.
const ROOM: usize = 1 << 20;
const MARK: &[u8] = b"{the manifest of this module}";

static MANIFEST: [u8; ROOM] = room();

base::module!(
    String::from_utf8_lossy(black_box(&MANIFEST))
        .trim_end()
        .to_owned()
);

const fn room() -> [u8; ROOM] {
    let mut room = [b' '; ROOM];
    let mut index = 0;
    while index < MARK.len() {
        room[index] = MARK[index];
        index += 1;
    }
    room
}
