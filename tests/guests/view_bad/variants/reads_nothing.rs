//! Reads no events.

view_bad::export!(ReadsNothing);
