//! Has a column more than a row can have.

view_bad::export!(ManyColumns);
