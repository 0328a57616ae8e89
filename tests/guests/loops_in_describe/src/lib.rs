//! Never says what it is.

base::module!(loop {
    std::hint::spin_loop();
});
