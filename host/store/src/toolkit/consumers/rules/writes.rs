//! Each rule that writes, as the write that it carries out.

use time::OffsetDateTime;

use super::{
    ack, delete, extend, lease, nack, pass_over, pause, pause_for, put, release, reset,
    retry_parked, unpark,
};
use crate::toolkit::consumers::rows::Rows;
use crate::toolkit::writes::{
    Ack, CarryOut, Change, DeleteConsumer, Extend, LeaseStreams, Nack, PassOver, PauseConsumer,
    PauseConsumerFor, PutConsumer, Release, ResetConsumer, RetryParked, UnparkStream,
};

macro_rules! carried_out_by {
    (|$rows:ident, $now:ident| $($change:ident { $($field:ident),* } => $rule:expr;)*) => {
        $(
            impl<R: Rows> CarryOut<$change> for R {
                #[allow(unused_variables, reason = "not every rule asks for the time")]
                fn carry_out(
                    &mut self,
                    $change { $($field),* }: $change,
                    $now: OffsetDateTime,
                ) -> Result<<$change as Change>::Answer, <$change as Change>::Error> {
                    let $rows = self;
                    $rule
                }
            }
        )*
    };
}

carried_out_by! { |rows, now|
    PutConsumer { id, settings, start } => put(rows, &id, &settings, start, now);
    PassOver { id, settings, from, to } => pass_over(rows, &id, &settings, from, to);
    DeleteConsumer { id } => delete(rows, &id);
    PauseConsumer { id, is_paused } => pause(rows, &id, is_paused);
    PauseConsumerFor { id, settings, reason } => pause_for(rows, &id, &settings, &reason);
    ResetConsumer { id, start } => reset(rows, &id, start);
    LeaseStreams { id, leases, max_events } => lease(rows, &id, &leases, max_events, now);
    Ack { id, lease, through, keep } => ack(rows, &id, lease, through, keep, now);
    Nack { id, lease, delay, reason } => nack(rows, &id, lease, delay, &reason, now);
    Release { id, lease, delay } => release(rows, &id, lease, delay, now);
    Extend { id, lease } => extend(rows, &id, lease, now);
    UnparkStream { id, stream, how } => unpark(rows, &id, &stream, how, now);
    RetryParked { id } => retry_parked(rows, &id, now);
}
