//! A variant that decides correctly, and needs several times the fuel.

candidate::export!(Thirsty);
