//! A variant that traps when it folds a deposit of 13.

candidate::export!(TrapsOnEvent);
