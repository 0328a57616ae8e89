//! The whole of the SDK on one decider, one view and one process.

mod billing;
mod board;
mod manifest;
mod parcel;
mod process;
mod verbs;
mod view;
mod wire;
mod workflow;
