//! A module that never describes itself.

base::module!(loop {
    std::hint::spin_loop();
});
