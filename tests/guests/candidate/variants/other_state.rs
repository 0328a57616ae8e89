//! Folds a deposit of 7 as one of 8.

candidate::export!(OtherState);
