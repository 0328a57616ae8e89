//! One wait: each account that is opened within two minutes has its alarm at the same time.

use std::time::Duration;

use errands::AccountEvent;
use gavel::{Input, JsonSchema, News, Process, Task, Timestamp};
use serde::{Deserialize, Serialize};

/// Milliseconds from one alarm to the next.
const INTERVAL_MS: u64 = 120_000;

/// An account that has an alarm.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
struct Alarm {
    at: Option<Timestamp>,
}

#[gavel::process(name = "alarm", key = stream_id)]
impl Process for Alarm {
    type Event = AccountEvent;

    fn evolve(&mut self, input: &Input<AccountEvent>) {
        self.at = match &input.what {
            News::Event(event) if matches!(event.event, AccountEvent::Opened {}) => {
                let rest = INTERVAL_MS - input.at.as_ms() % INTERVAL_MS;
                Some(input.at + Duration::from_millis(rest))
            }
            News::Due { .. } => None,
            _ => return,
        };
    }

    fn todo(&self, _: &str) -> Vec<Task> {
        let alarm = self.at.map(|time| Task::wait_until("alarm", time));
        alarm.into_iter().collect()
    }
}
