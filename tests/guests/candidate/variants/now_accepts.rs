//! Lets an account be overdrawn, down to -100.

candidate::export!(NowAccepts);
