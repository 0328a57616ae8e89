//! Has an index on a field that rows do not have.

view_bad::export!(IndexOnNothing);
