//! Consumers that are not served for a while.

use gavel_model::{ConsumerId, ConsumerSettings};

use super::registered;
use crate::ConsumerError;
use crate::toolkit::consumers::rows::Rows;

/// Carries out [`ConsumerStore::pause_consumer`](crate::ConsumerStore::pause_consumer).
pub fn pause(rows: &mut impl Rows, id: &ConsumerId, is_paused: bool) -> Result<(), ConsumerError> {
    let mut consumer = registered(rows, id)?;
    consumer.is_paused = is_paused;
    consumer.paused_reason = None;
    Ok(rows.keep(id, &consumer)?)
}

/// Carries out [`ConsumerStore::pause_for`](crate::ConsumerStore::pause_for).
pub fn pause_for(
    rows: &mut impl Rows,
    id: &ConsumerId,
    settings: &ConsumerSettings,
    reason: &str,
) -> Result<bool, ConsumerError> {
    let Some(mut consumer) = rows.find(id)? else {
        return Ok(false);
    };
    if consumer.is_paused || consumer.settings.push_url() != settings.push_url() {
        return Ok(false);
    }
    consumer.is_paused = true;
    consumer.paused_reason = Some(reason.to_owned());
    rows.keep(id, &consumer)?;
    Ok(true)
}
