//! Workflows: their steps as the host sees them, from the first event to either end.

use std::time::Duration;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::process::fold_one;
use super::view::recorded;
use crate::log::EventText;
use crate::process::{Folded, Step};
use crate::{
    Action, Input, JsonSchema, News, Order, Recorded, Task, TaskRejection, Timestamp, Workflow,
    WorkflowStep, describe_process,
};

#[derive(Deserialize, gavel::Foreign)]
#[foreign(decider = "trip")]
enum TripEvent {
    Booked {},
    Paid {},
    Cancelled {},
}

#[derive(Serialize, gavel::Target)]
#[target(decider = "train")]
enum TrainCommand {
    Reserve {},
    Release {},
    Insure {},
    Withdraw {},
    Confirm {},
}

#[derive(Default, Serialize, Deserialize, JsonSchema)]
struct Trip {
    is_booked: bool,
    is_paid: bool,
    is_cancelled: bool,
}

#[crate::process(name = "trips", key = stream_id, sends(TrainCommand))]
impl Workflow for Trip {
    type Event = TripEvent;

    fn evolve(&mut self, event: &Recorded<TripEvent>) {
        match event.event {
            TripEvent::Booked {} => self.is_booked = true,
            TripEvent::Paid {} => self.is_paid = true,
            TripEvent::Cancelled {} => self.is_cancelled = true,
        }
    }

    fn steps(&self) -> Vec<WorkflowStep> {
        if !self.is_booked {
            return vec![];
        }
        let order = |command| Order::new("t-1", &command);
        let second = Duration::from_secs(1);
        vec![
            WorkflowStep::send("reserve", order(TrainCommand::Reserve {}))
                .undone_by(order(TrainCommand::Release {})),
            WorkflowStep::send("insure", order(TrainCommand::Insure {}))
                .undone_by(order(TrainCommand::Withdraw {})),
            WorkflowStep::until("paid", self.is_paid).at_most(second * 60),
            WorkflowStep::wait("reflect", second * 10),
            WorkflowStep::send("confirm", order(TrainCommand::Confirm {})).retried(2, second * 5),
        ]
    }

    fn is_cancelled(&self) -> bool {
        self.is_cancelled
    }
}

const BOOKED: &str = "Booked";
const PAID: &str = "Paid";
const CANCELLED: &str = "Cancelled";

/// The events, or else the outcomes of tasks: `+reserve` accepted, `-reserve` rejected,
/// `!reserve` abandoned, `paid@61000` due. Each comes a second after the one before, but what is
/// due at its time.
fn inputs(words: &[&str]) -> Vec<Input<EventText>> {
    let mut now = 0;
    let mut input = |word: &&str| {
        now += 1000;
        let task = word.get(1..).unwrap_or_default().to_owned();
        let what = match (word.chars().next(), word.split_once('@')) {
            (_, Some((task, ms))) => {
                now = ms.parse().unwrap();
                News::Due {
                    task: task.to_owned(),
                    time: Timestamp::from_ms(now),
                }
            }
            (Some('+'), _) => News::Accepted { task },
            (Some('-'), _) => News::Rejected {
                task,
                rejection: TaskRejection {
                    code: "full".into(),
                    message: "the train is full".into(),
                    data: None,
                },
            },
            (Some('!'), _) => News::Abandoned { task },
            _ => News::Event(recorded("trip", word, 1, "{}")),
        };
        Input::new(now, what)
    };
    words.iter().map(&mut input).collect()
}

/// The task that is listed after each input, a wait as `id@ms`, and that the workflow is over at
/// the end of them.
#[track_caller]
fn assert_flow(flow: &[(&str, &str)], is_over: bool) {
    let (words, expected): (Vec<&str>, Vec<&str>) = flow.iter().copied().unzip();
    let Folded { state, steps } = fold_one::<Trip>(None, inputs(&words)).unwrap();
    let mut open: Vec<Task> = vec![];
    let mut listed = vec![];
    for Step { added, gone } in steps {
        open.retain(|task| !gone.contains(&task.id));
        open.extend(added);
        assert!(open.len() <= 1, "{open:?}");
        listed.push(
            open.first()
                .map_or(String::new(), |task| match &task.action {
                    Action::Send(_) => task.id.clone(),
                    Action::WaitUntil(time) => format!("{}@{}", task.id, time.as_ms()),
                }),
        );
    }
    assert_eq!(listed, expected);
    assert_eq!(state.is_none(), is_over, "{state:?}");
}

#[test]
fn one_step_follows_the_other_and_nothing_is_left() {
    assert_flow(
        &[
            (BOOKED, "reserve"),
            ("+reserve", "insure"),
            ("+insure", "paid@63000"),
            (PAID, "reflect@14000"),
            ("reflect@14000", "confirm"),
            ("+confirm", ""),
        ],
        true,
    );
}

#[test]
fn a_fact_that_is_there_before_its_step_is_not_waited_for() {
    assert_flow(
        &[
            (PAID, ""),
            (BOOKED, "reserve"),
            ("+reserve", "insure"),
            ("+insure", "reflect@14000"),
        ],
        false,
    );
}

#[test]
fn steps_that_are_done_are_undone_in_reverse_order_when_one_fails() {
    for failure in ["paid@63000", "!paid"] {
        assert_flow(
            &[
                (BOOKED, "reserve"),
                ("+reserve", "insure"),
                ("+insure", "paid@63000"),
                (failure, "undo-insure"),
                // What is paid now comes too late.
                (PAID, "undo-insure"),
                ("-undo-insure", "undo-reserve"),
                ("!undo-reserve", ""),
            ],
            true,
        );
    }
    assert_flow(
        &[
            (BOOKED, "reserve"),
            ("+reserve", "insure"),
            ("-insure", "undo-reserve"),
            ("+undo-reserve", ""),
            (BOOKED, "reserve"),
        ],
        false,
    );
    assert_flow(&[(BOOKED, "reserve"), ("-reserve", "")], true);
}

#[test]
fn a_rejected_command_is_tried_again_after_longer_and_longer_waits() {
    let before = [
        (PAID, ""),
        (BOOKED, "reserve"),
        ("+reserve", "insure"),
        ("+insure", "reflect@14000"),
        ("reflect@14000", "confirm"),
        ("-confirm", "confirm-2-wait@20000"),
        ("confirm-2-wait@20000", "confirm-2"),
        ("-confirm-2", "confirm-3-wait@31000"),
        ("confirm-3-wait@31000", "confirm-3"),
    ];
    assert_flow(&[before.as_slice(), &[("+confirm-3", "")]].concat(), true);
    let failed = [("-confirm-3", "undo-insure")];
    assert_flow(&[before.as_slice(), &failed].concat(), false);
    let (waiting, _) = before.split_at(6);
    let cancelled = [(CANCELLED, "undo-insure")];
    assert_flow(&[waiting, &cancelled].concat(), false);
}

#[test]
fn a_cancelled_workflow_waits_for_the_command_that_is_on_its_way() {
    let before = [
        (BOOKED, "reserve"),
        ("+reserve", "insure"),
        (CANCELLED, "insure"),
    ];
    let done = [("+insure", "undo-insure"), ("+undo-insure", "undo-reserve")];
    assert_flow(&[before.as_slice(), &done].concat(), false);
    let failed = [("-insure", "undo-reserve"), ("+undo-reserve", "")];
    assert_flow(&[before.as_slice(), &failed].concat(), true);
    assert_flow(
        &[
            (BOOKED, "reserve"),
            (CANCELLED, "reserve"),
            ("+reserve", "undo-reserve"),
        ],
        false,
    );
    // Nothing has begun.
    assert_flow(&[(CANCELLED, ""), (BOOKED, "reserve")], false);
}

#[test]
fn outcomes_of_other_tasks_change_nothing() {
    assert_flow(
        &[
            (BOOKED, "reserve"),
            ("+insure", "reserve"),
            ("-reserve-2", "reserve"),
            ("!undo-reserve", "reserve"),
            ("+reserve", "insure"),
            ("-insure", "undo-reserve"),
            ("+insure", "undo-reserve"),
        ],
        false,
    );
}

#[test]
fn a_page_more_or_less_makes_no_difference_to_a_workflow() {
    let inputs = inputs(&[
        BOOKED,
        "+reserve",
        "+insure",
        PAID,
        "reflect@14000",
        "-confirm",
        CANCELLED,
    ]);
    let at_once = fold_one::<Trip>(None, inputs.clone()).unwrap();
    let (mut state, mut steps) = (None, vec![]);
    for input in inputs {
        let folded = fold_one::<Trip>(state.as_deref(), vec![input]).unwrap();
        state = folded.state;
        steps.extend(folded.steps);
    }
    assert_eq!((state, steps), (at_once.state, at_once.steps));
}

/// The next input of a host that answers the open task at random, or tells of an event.
fn next(choice: u8, open: Option<&Task>) -> String {
    match (choice, open) {
        (0, _) => PAID.into(),
        (1, _) => CANCELLED.into(),
        (2, _) | (_, None) => BOOKED.into(),
        (3, Some(task)) => format!("!{}", task.id),
        (_, Some(Task { id, action })) => match action {
            Action::WaitUntil(time) => format!("{id}@{}", time.as_ms()),
            Action::Send(_) if choice < 6 => format!("-{id}"),
            Action::Send(_) => format!("+{id}"),
        },
    }
}

proptest! {
    #[test]
    fn what_was_accepted_is_undone_in_reverse_order_or_all_of_it_is_done(
        choices in prop::collection::vec(0..10_u8, 0..60),
    ) {
        let (mut state, mut open): (Option<String>, Option<Task>) = (None, None);
        let mut accepted: Vec<String> = vec![];
        for choice in choices {
            let word = next(choice, open.as_ref());
            let folded = fold_one::<Trip>(state.as_deref(), inputs(&[&word])).unwrap();
            state = folded.state;
            let [Step { added, gone }] = folded.steps.try_into().unwrap();
            match word.strip_prefix('+') {
                Some(done @ ("reserve" | "insure")) => accepted.push(done.to_owned()),
                Some(done) if done.starts_with("confirm") && state.is_none() => accepted.clear(),
                _ => {}
            }
            open = open.filter(|task| !gone.contains(&task.id));
            for task in added {
                if let Some(undone) = task.id.strip_prefix("undo-") {
                    prop_assert_eq!(accepted.pop(), Some(undone.to_owned()));
                }
                prop_assert_eq!(open.replace(task), None);
            }
            if state.is_none() {
                prop_assert!(accepted.is_empty() && open.is_none());
            }
        }
    }
}

#[test]
fn the_manifest_of_a_workflow_asks_for_what_was_accepted() {
    let manifest: Value = serde_json::from_str(&describe_process::<Trip>()).unwrap();
    assert!(super::manifest::published().is_valid(&manifest));
    assert_eq!(manifest["accepted"], true);
    let schema = &manifest["state_schema"];
    assert_eq!(
        schema["properties"]["facts"],
        json!({ "$ref": "#/$defs/Trip" })
    );
    let validator = jsonschema::validator_for(schema).unwrap();
    let state = fold_one::<Trip>(None, inputs(&[BOOKED, "+reserve"]))
        .unwrap()
        .state;
    let state: Value = serde_json::from_str(&state.unwrap()).unwrap();
    assert!(validator.is_valid(&state), "{state}");
}
