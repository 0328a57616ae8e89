//! Has an index on a field that is no column.

view_bad::export!(IndexOnList);
