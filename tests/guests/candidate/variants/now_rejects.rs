//! Rejects withdrawals of more than 50.

candidate::export!(NowRejects);
