//! The whole of the SDK on one decider and on one view.

mod board;
mod manifest;
mod parcel;
mod verbs;
mod view;
mod wire;
