//! Charges a fee for each withdrawal, by an event that is new.

candidate::export!(OtherEvents);
