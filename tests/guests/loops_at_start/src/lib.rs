//! A module that never gets as far as its first call.

/// Runs before the first export of an instance is called, or while the instance is made.
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    loop {
        std::hint::spin_loop();
    }
}

base::module!("{}".to_owned());
