//! The view as it is.

use gavel::{JsonSchema, Recorded, Row, View};
use serde::{Deserialize, Serialize};
use tally::{CounterEvent, Tally};

#[derive(Default, Serialize, Deserialize, JsonSchema)]
struct TallyRow {
    #[index]
    total: i64,
    resets: u64,
}

#[gavel::view(name = "tally", key = stream_id)]
impl View for TallyRow {
    type Event = CounterEvent;
    fn evolve(&mut self, event: &Recorded<CounterEvent>) -> Row {
        let mut tally = Tally {
            total: self.total,
            resets: self.resets,
        };
        let row = tally.count(event, 1);
        (self.total, self.resets) = (tally.total, tally.resets);
        row
    }
}
