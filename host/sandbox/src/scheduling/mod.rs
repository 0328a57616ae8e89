//! The scheduling of computation: guests on threads of their own, those that compute much behind
//! the others, and background work between live calls.
//!
//! Every number of this is in one table.

mod pace;
mod table;
mod threads;
mod throttle;

pub(crate) use pace::{Lane, Pace};
pub use table::{
    BATCH_EVENTS, COUNT_PAGE, PAGE, SMALL_BATCH_EVENTS, SMALL_PAGE, SMALL_READ_EVENTS, TURN,
};
pub(crate) use table::{PROMPT, TICK};
pub use threads::give_way;
pub(crate) use threads::{GuestThreads, gives_way, rest};
pub use throttle::BackgroundThrottle;
