//! Tests of commands with real components: what is kept hot is a cache, and nothing that is
//! answered shows otherwise.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod hot;
mod pages;
mod snapshots;
mod support;
