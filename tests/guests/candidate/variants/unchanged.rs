//! The unchanged account, which the variants want to replace.

candidate::export!(Nothing);
