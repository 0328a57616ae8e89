//! Has an index more than a view can have.

view_bad::export!(ManyIndexes);
