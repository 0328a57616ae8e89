//! Never ends when it folds a deposit of 13.

candidate::export!(LoopsOnEvent);
