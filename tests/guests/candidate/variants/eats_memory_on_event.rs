//! Takes all the memory there is when it folds a deposit of 13.

candidate::export!(EatsMemoryOnEvent);
