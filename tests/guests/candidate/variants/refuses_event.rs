//! A variant that cannot fold a deposit of 13, and says so.

candidate::export!(RefusesEvent);
