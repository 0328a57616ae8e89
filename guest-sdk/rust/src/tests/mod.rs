//! The whole of the SDK on one decider.

mod manifest;
mod parcel;
mod verbs;
mod wire;
