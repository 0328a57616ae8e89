//! The view without any fault.

view_bad::export!(Nothing);
