//! Has two columns whose names differ in nothing but case.

view_bad::export!(ClashingColumns);
