//! Decides as it should, and needs several times the fuel.

candidate::export!(Thirsty);
