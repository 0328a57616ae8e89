//! Tests of the runtime with real components: well-behaved, trapping, looping, greedy, lying.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

mod caching;
mod calls;
mod compiling;
mod faults;
mod imports;
mod interfaces;
mod limits;
mod processes;
