//! Instances of processes and their tasks.

mod changes;
mod holds;
mod lists;
mod model;
mod parked;
mod rosters;
mod settling;
mod support;
mod tasks;

pub(super) use changes::*;
pub(super) use holds::*;
pub(super) use lists::*;
pub(super) use model::*;
pub(super) use parked::*;
pub(super) use rosters::*;
pub(super) use settling::*;
pub(super) use tasks::*;
