//! Has a name that begins with a capital.

view_bad::export!(Name);
