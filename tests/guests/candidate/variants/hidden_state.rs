//! Counts deposits outside of the state, and adds 1 to each third of them.

candidate::export!(HiddenState);
