//! Writes into each deposit what comes first in a hash map.

candidate::export!(IterationOrder);
