//! The JSON bodies and the queries of the HTTP API.
//!
//! Answers borrow from the values that they show, and stored JSON is sent as the very text that is
//! stored. Bodies and queries refuse unknown members.

mod command;
mod consumer;
mod decider;
mod event;
mod module;
mod operations;
mod output;
mod problem;
mod read;
mod rehearsal;
mod stream;
mod why;

pub use command::{
    BatchAnswer, BatchBody, BatchItem, CommandAnswer, CommandBody, CommandQuery, CommandResult,
};
pub use consumer::delivery;
pub use consumer::{
    AckBody, Consumer, ConsumerBody, ConsumerFilter, ConsumerList, ConsumerListQuery, ExtendBody,
    Lease, LeaseBody, LeaseEnd, LeaseList, NackAnswer, NackBody, Parked, ParkedList, ParkedQuery,
    PushBody, ResetBody, RetriedParked, Start, has_user,
};
pub use decider::{
    Activation, ActivationBody, Active, DeactivationBody, Decider, DeciderHistory, DeciderList,
    DeciderListQuery, DeciderQuery, RollbackBody,
};
pub use event::{CaughtUp, Event, MalformedEvent};
pub use module::{Module, ModuleList, ModuleQuery};
pub use operations::{Info, Limits, Status};
pub use output::{OutputLine, OutputQuery};
pub use problem::ProblemBody;
pub use read::{
    Limit, TIME_RULE, Text, exact, metadata_schema, position, tags_schema, time, version,
};
pub use rehearsal::{Rehearsal, RehearsalBody, RehearsalList};
pub use stream::{
    ImportAnswer, ImportBody, ImportItem, LogPage, LogQuery, StateQuery, StreamEvents,
    StreamEventsQuery, StreamList, StreamListQuery, StreamState, StreamSummary,
};
pub use why::{VerificationLine, VerifyQuery, Why};
