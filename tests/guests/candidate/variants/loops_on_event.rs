//! A variant that never ends when it folds a deposit of 13.

candidate::export!(LoopsOnEvent);
