//! Brings a specification that does not hold.

candidate::export!(FailingSpec);
