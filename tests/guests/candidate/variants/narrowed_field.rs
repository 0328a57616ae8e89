//! Declares deposits of at most 100.

candidate::export!(NarrowedField);
