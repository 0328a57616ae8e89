//! All numbers by which background and live calls share a machine, and the reason for each.
//!
//! They belong together: who changes one should look at the others.

use std::time::Duration;

// How a call on a guest's thread treats the others.

/// The grain of the wall-clock guard. A call ends at most one tick after its deadline, and one that
/// rests keeps a core for a tick at a time.
pub(crate) const TICK: Duration = Duration::from_millis(2);

/// The time after which a call gives way to all others.
pub(crate) const PROMPT: Duration = Duration::from_millis(50);

/// The niceness of a thread that gives way: it has about a tenth of what others get when all want
/// to run. With less, a good command of a module that has others would not meet its deadline on a
/// busy machine.
pub(super) const GIVING_WAY: i32 = 10;

/// The niceness of a background thread. A client may wait for an activation, so that such a thread
/// has about a quarter of what others get.
pub(super) const GIVING_WAY_IN_BACKGROUND: i32 = 5;

/// The period in which the fuel of a module is counted.
pub(super) const PERIOD: Duration = Duration::from_secs(1);

/// The time for which a module that has used much stays in the other lane.
pub(super) const HEAVY_FOR: Duration = Duration::from_secs(60);

/// The time in which a turn on a guest's thread may begin something further: a message of a shard,
/// the check of an event. It is as long as a tick.
pub const TURN: Duration = Duration::from_millis(2);

// How long the background rests beside live calls.

/// The time over which live calls are counted, and half of that for which they are remembered.
pub(super) const WINDOW: Duration = Duration::from_millis(20);

/// The rest after a piece of background work, as a multiple of its time, for each call that is made
/// per millisecond and core. Priorities are not enough: the store has none, and on a kernel that
/// does not preempt, a thread that wakes up waits for a slice to end. A live call costs the whole
/// machine a few tenths of a millisecond, so that one a millisecond and core leaves little of it.
pub(super) const REST: f64 = 8.0;

/// The shortest rest while live calls are made, however few there are, and the longest, however
/// many, as multiples like [`REST`].
pub(super) const RESTS: (f64, f64) = (1.0, 20.0);

/// The longest rest. Work that takes longer than it should does so on a machine that is full, or
/// for a module that has other limits: with a longer rest, a client that waits for the end of the
/// work would wait without end.
pub(super) const LONGEST_REST: Duration = Duration::from_millis(20);

/// The same as [`REST`] for a live call that computes without end.
pub(super) const LIVE_REST: f64 = 4.0;

/// The longest rest of a live call, as a multiple: it has a third of a core, whatever the others
/// do.
pub(super) const LIVE_RESTS: u32 = 2;

// How large a piece of work is.

/// The events up to which a read takes no turn: it is a few tenths of a millisecond.
pub const SMALL_READ_EVENTS: u32 = 100;

/// The time for which a read has the turn at most. One that waits for the store to come back does
/// not keep the others waiting.
pub(super) const LONGEST_TURN: Duration = Duration::from_millis(250);

/// The events, and the commands without events, that the gate reads of the past at a time.
pub const PAGE: u32 = 2_000;

/// The page size while live calls are made: the store has a few tenths of a millisecond of work
/// with such a page. Work that keeps a processor for longer makes all commands wait, most of all
/// those of the one connection that appends.
pub const SMALL_PAGE: u32 = 50;

/// The events and decisions of a batch of the gate's: a thread of the background works for about a
/// millisecond, and looks up.
pub const BATCH_EVENTS: usize = 250;

/// The batch size while live calls are made, as for pages.
pub const SMALL_BATCH_EVENTS: usize = 50;

/// The streams or events that are counted at a time: the store has about half a millisecond of work
/// with them.
pub const COUNT_PAGE: u32 = 2_000;
