//! Tests of the runtime with real components: well-behaved, trapping, looping, greedy, lying.

mod support;

mod caching;
mod calls;
mod compiling;
mod faults;
mod imports;
mod limits;
