//! No longer declares `Withdrawn`.

candidate::export!(RemovedEvent);
