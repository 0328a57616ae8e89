//! The account as it is; what the others want to replace.

candidate::export!(Nothing);
