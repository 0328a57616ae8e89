//! The wire format of a process that the host sees: keys, steps, states, tasks, manifest.

use std::panic::catch_unwind;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::billing::{Billing, ByStream, ByTag, InvoiceCommand, Invoicing};
use super::board::Event;
use super::view::{packed, recorded};
use crate::log::{EventText, FoldError};
use crate::process::{Folded, Step, StoredInstance, fold, keys, todo};
use crate::{
    Action, Input, News, Order, ProcessModule, Recorded, Sources as _, Target as _, Task,
    TaskRejection, Timestamp, describe_process,
};

fn told(ms: u64, event: Recorded<EventText>) -> Input<EventText> {
    Input::new(ms, News::Event(event))
}

/// An order is packed at 1 s, so that the silence ends at 61 s.
fn begun() -> Input<EventText> {
    told(1000, packed())
}

fn sealed() -> Input<EventText> {
    told(9000, recorded("crate", "sealed", 1, "{}"))
}

fn loaded(kilograms: u32) -> Input<EventText> {
    let data = format!(r#"{{"kilograms":{kilograms}}}"#);
    told(2000, recorded("lorry", "Loaded", 2, &data))
}

fn due(ms: u64) -> Input<EventText> {
    let news = News::Due {
        task: "silence".into(),
        time: Timestamp::from_ms(ms),
    };
    Input::new(ms + 7, news)
}

fn accepted(task: &str) -> Input<EventText> {
    Input::new(3000, News::Accepted { task: task.into() })
}

fn rejected(task: &str) -> Input<EventText> {
    let rejection = TaskRejection {
        code: "not-open".into(),
        message: "it is not open".into(),
        data: Some("{}".into()),
    };
    let task = task.into();
    Input::new(3000, News::Rejected { task, rejection })
}

fn instance(state: Option<&str>, inputs: Vec<Input<EventText>>) -> StoredInstance {
    StoredInstance {
        key: "b-1".into(),
        state: state.map(str::to_owned),
        inputs,
    }
}

pub(super) fn fold_one<P: ProcessModule>(
    state: Option<&str>,
    inputs: Vec<Input<EventText>>,
) -> Result<Folded, FoldError> {
    let [folded] = fold::<P>(vec![instance(state, inputs)]).try_into().unwrap();
    folded
}

/// The step in which these tasks are added, a wait as `id@ms`, and these are gone.
#[track_caller]
fn assert_step(step: &Step, added: &[&str], gone: &[&str]) {
    let name = |task: &Task| match &task.action {
        Action::Send(_) => task.id.clone(),
        Action::WaitUntil(time) => format!("{}@{}", task.id, time.as_ms()),
    };
    let names: Vec<String> = step.added.iter().map(name).collect();
    assert_eq!(
        (names.as_slice(), step.gone.as_slice()),
        (
            added
                .iter()
                .map(|task| (*task).to_owned())
                .collect::<Vec<_>>()
                .as_slice(),
            gone.iter()
                .map(|id| (*id).to_owned())
                .collect::<Vec<_>>()
                .as_slice(),
        )
    );
}

#[test]
fn keys_are_named_once_and_need_an_event_only_where_the_author_says_them() {
    assert_eq!(keys::<Billing>(vec![packed()]), [["s-1", "all"]]);
    assert_eq!(keys::<ByTag>(vec![packed()]), [["Ulm", "Jena"]]);
    let broken = recorded("crate", "packed", 2, "{}");
    let id = "00000000-0000-0000-0000-000000000001";
    assert_eq!(keys::<ByStream>(vec![broken.clone()]), [["s-1"]]);
    assert_eq!(keys::<Invoicing>(vec![broken.clone()]), [[id]]);
    assert!(catch_unwind(|| keys::<Billing>(vec![broken])).is_err());
}

#[test]
fn a_step_is_what_is_listed_after_an_input_and_was_not_before() {
    let inputs = vec![begun(), due(61_000), rejected("issue"), sealed()];
    let folded = fold_one::<Billing>(None, inputs).unwrap();
    let [first, second, third, last] = folded.steps.as_slice() else {
        panic!("{folded:?}");
    };
    assert_step(first, &["issue", "silence@61000"], &[]);
    assert_step(second, &["remind-1", "silence@121000"], &["silence"]);
    assert_step(third, &[], &[]);
    assert_step(last, &[], &["issue", "remind-1", "silence"]);
    assert_eq!(folded.state, None);
}

#[test]
fn a_send_holds_as_first_recorded_and_a_wait_with_another_time_is_another() {
    let more = told(4000, recorded("crate", "packed", 2, r#"{"parcels":5}"#));
    let same = told(4000, recorded("crate", "packed", 2, r#"{"parcels":6}"#));
    let folded = fold_one::<Billing>(None, vec![begun(), more, same]).unwrap();
    assert_step(&folded.steps[0], &["issue", "silence@61000"], &[]);
    assert_step(&folded.steps[1], &["silence@64000"], &["silence"]);
    assert_step(&folded.steps[2], &[], &[]);
}

#[test]
fn an_order_says_where_what_and_under_which_conditions() {
    let folded = fold_one::<Billing>(None, vec![begun(), due(61_000)]).unwrap();
    let order = |step: usize| match &folded.steps[step].added[0].action {
        Action::Send(order) => order,
        Action::WaitUntil(time) => panic!("waits until {time}"),
    };
    let issue = order(0);
    assert_eq!((issue.decider, issue.command), ("invoice", "issue"));
    assert_eq!(issue.stream_id, "b-1");
    assert_eq!(issue.data, r#"{"parcels":3}"#);
    assert_eq!(issue.expected_version, Some(0));
    assert!(issue.metadata.is_empty());
    let remind = order(1);
    assert_eq!((remind.command, remind.data.as_str()), ("remind", "{}"));
    assert_eq!(remind.expected_version, None);
    assert_eq!(remind.metadata, [("number".into(), "1".into())].into());
}

#[test]
fn the_commands_of_a_target_have_the_names_that_serde_gives_them() {
    assert_eq!(InvoiceCommand::DECIDER, "invoice");
    assert_eq!(InvoiceCommand::COMMANDS, ["issue", "remind", "rate"]);
}

#[test]
fn a_page_more_or_less_makes_no_difference() {
    let inputs = vec![
        begun(),
        due(61_000),
        accepted("issue"),
        begun(),
        sealed(),
        begun(),
    ];
    let at_once = fold_one::<Billing>(None, inputs.clone()).unwrap();
    for page in 1..inputs.len() {
        let (mut state, mut steps) = (None, vec![]);
        for inputs in inputs.chunks(page) {
            let folded = fold_one::<Billing>(state.as_deref(), inputs.to_vec()).unwrap();
            state = folded.state;
            steps.extend(folded.steps);
        }
        assert_eq!((&state, &steps), (&at_once.state, &at_once.steps));
    }
}

#[test]
fn an_instance_learns_of_each_outcome() {
    let abandoned = Input::new(5000, News::Abandoned { task: "c".into() });
    let inputs = vec![accepted("a"), rejected("b"), abandoned, due(9)];
    let state = fold_one::<Billing>(None, inputs).unwrap().state.unwrap();
    let state: Billing = gavel_json::read(&state).unwrap();
    let outcomes = [
        ("a", "accepted"),
        ("b", "rejected not-open"),
        ("c", "abandoned"),
        ("silence", "due 1970-01-01T00:00:00.009Z"),
    ];
    let outcomes = outcomes.map(|(task, outcome)| (task.to_owned(), outcome.to_owned()));
    assert_eq!(state.outcomes, outcomes.into());
}

#[test]
fn a_state_is_kept_until_it_is_the_initial_one_and_nothing_is_listed() {
    assert_eq!(fold_one::<Billing>(None, vec![]).unwrap().state, None);
    assert_eq!(
        fold_one::<Billing>(None, vec![sealed()]).unwrap().state,
        None
    );
    let learnt = fold_one::<Billing>(None, vec![accepted("a")])
        .unwrap()
        .state;
    assert_eq!(
        learnt.as_deref(),
        Some(
            r#"{"kilograms":0,"outcomes":{"a":"accepted"},"parcels":0,"remindAt":null,"reminders":0,"weight":0.0}"#
        )
    );
    let kept = fold_one::<Billing>(learnt.as_deref(), vec![]).unwrap();
    assert_eq!((kept.state, kept.steps), (learnt, vec![]));
    // Written otherwise, it is the initial state all the same.
    let initial = fold_one::<ByTag>(Some(r#"{"of_before":1}"#), vec![]).unwrap();
    assert_eq!(initial.state, None);
}

#[test]
fn an_instance_that_cannot_be_folded_says_where_and_the_others_are_kept() {
    let broken = told(1, recorded("crate", "packed", 2, "{}"));
    let foreign = told(1, recorded("train", "left", 1, "{}"));
    let weightless = told(1, recorded("parcel", "weighed", 1, "0"));
    let kept =
        r#"{"parcels":1,"remindAt":null,"reminders":0,"outcomes":{},"kilograms":3,"weight":0}"#;
    let instances = vec![
        instance(None, vec![begun()]),
        instance(None, vec![begun(), broken]),
        instance(None, vec![foreign]),
        instance(None, vec![begun(), begun(), weightless]),
        instance(Some("[]"), vec![begun()]),
        instance(None, vec![begun(), loaded(1)]),
        instance(None, vec![loaded(2), sealed()]),
        instance(None, vec![begun(), loaded(3)]),
        instance(Some(kept), vec![sealed()]),
    ];
    let mut folded = fold::<Billing>(instances).into_iter();
    assert!(folded.next().unwrap().is_ok());
    let faults: Vec<FoldError> = folded.map(Result::unwrap_err).collect();
    let expected = [
        (1, "missing field `parcels`"),
        (0, "the module reads no left of train"),
        (2, "the state cannot be written as JSON: "),
        (0, "the stored state cannot be read: "),
        (
            1,
            "the task rate cannot be done: its command to invoice cannot be written as JSON: ",
        ),
        (
            0,
            "the task unload cannot be done: the process sends no Unload to lorry",
        ),
        (1, "`todo` lists two tasks with the id issue"),
        (0, "`todo` lists two tasks with the id issue"),
    ];
    assert_eq!(faults.len(), expected.len());
    for (fault, (index, message)) in faults.iter().zip(expected) {
        assert_eq!(fault.index, index, "{fault:?}");
        assert!(fault.message.starts_with(message), "{fault:?}");
    }
}

#[test]
fn what_is_to_be_done_follows_from_the_stored_state() {
    let folded = fold_one::<Billing>(None, vec![begun()]).unwrap();
    let listed = todo::<Billing>("b-1", &folded.state.unwrap());
    assert_eq!(listed, folded.steps[0].added);
    let fault = catch_unwind(|| todo::<Billing>("b-1", "[]")).unwrap_err();
    let message = fault.downcast_ref::<String>().unwrap();
    let expected = "the instance b-1 of billing: the stored state cannot be read: ";
    assert!(message.starts_with(expected), "{message}");
}

#[test]
fn a_saga_answers_an_event_with_tasks_and_keeps_nothing() {
    let news = vec![
        told(1, recorded("crate", "packed", 2, r#"{"parcels":2}"#)),
        rejected("issue"),
    ];
    let Folded { state, steps } = fold_one::<Invoicing>(None, news).unwrap();
    assert_eq!(state, None);
    assert_step(&steps[0], &["issue", "issue-2", "rate"], &[]);
    assert_step(&steps[1], &[], &[]);
    let second = Order::new("i-1", &InvoiceCommand::Issue { parcels: 2 });
    assert_eq!(steps[0].added[1], Task::send("issue-2", second));
    assert_eq!(todo::<Invoicing>("e-1", "{}"), []);

    let seven = told(1, recorded("crate", "packed", 2, r#"{"parcels":7}"#));
    let fault = fold_one::<Invoicing>(None, vec![sealed(), seven]).unwrap_err();
    let expected = "the task Unload cannot be done: the process sends no Unload to lorry";
    assert_eq!((fault.index, fault.message.as_str()), (1, expected));
}

#[test]
fn sources_follow_from_the_key_or_are_the_authors() {
    let [by_stream] = ByStream::sources("s-1").try_into().unwrap();
    assert_eq!(by_stream.stream_id.as_deref(), Some("s-1"));
    let [by_tag] = ByTag::sources("Ulm").try_into().unwrap();
    assert_eq!(by_tag.tags, ["town:Ulm"]);
    let [by_hand] = Billing::sources("s-1").try_into().unwrap();
    assert_eq!(
        by_hand.events.len(),
        <Event as crate::Foreign>::reads().len()
    );
}

fn news() -> impl Strategy<Value = News<EventText>> {
    let event = (
        prop_oneof![Just("crate"), Just("lorry"), Just("parcel"), Just("")],
        prop_oneof![
            Just("packed"),
            Just("sealed"),
            Just("Loaded"),
            Just("weighed")
        ],
        0..4_u32,
        prop_oneof![".*", r#"\{"(parcels|kilograms|tons)":-?[0-9]{1,20}\}"#],
    );
    prop_oneof![
        event.prop_map(|(decider, name, version, data)| {
            News::Event(recorded(decider, name, version, &data))
        }),
        (".*", any::<u64>()).prop_map(|(task, ms)| News::Due {
            task,
            time: Timestamp::from_ms(ms)
        }),
        (".*", ".*").prop_map(|(task, code)| News::Rejected {
            task,
            rejection: TaskRejection {
                code,
                message: String::new(),
                data: None
            }
        }),
        ".*".prop_map(|task| News::Accepted { task }),
        ".*".prop_map(|task| News::Abandoned { task }),
    ]
}

proptest! {
    #[test]
    fn no_input_and_no_state_makes_fold_panic(
        state in prop::option::of(prop_oneof![".*", Just("{}".to_owned()), Just("null".to_owned())]),
        news in prop::collection::vec((any::<u64>(), news()), 0..8),
    ) {
        let count = news.len();
        let inputs: Vec<_> = news.into_iter().map(|(ms, what)| Input::new(ms, what)).collect();
        for folded in [
            fold_one::<Billing>(state.as_deref(), inputs.clone()),
            fold_one::<Invoicing>(state.as_deref(), inputs),
        ] {
            match folded {
                Ok(folded) => prop_assert_eq!(folded.steps.len(), count),
                Err(fault) => prop_assert!(fault.index as usize <= count.saturating_sub(1)),
            }
        }
    }

    #[test]
    fn the_steps_together_are_what_is_listed_in_the_end(
        news in prop::collection::vec((0..1_000_000_u64, news()), 0..20),
    ) {
        let inputs = news.into_iter().map(|(ms, what)| Input::new(ms, what)).collect();
        if let Ok(Folded { state, steps }) = fold_one::<Billing>(None, inputs) {
            let mut open: Vec<String> = vec![];
            for Step { added, gone } in steps {
                open.retain(|id| !gone.contains(id));
                open.extend(added.into_iter().map(|task| task.id));
            }
            let listed = state.map_or(vec![], |state| todo::<Billing>("b-1", &state));
            let mut listed: Vec<String> = listed.into_iter().map(|task| task.id).collect();
            open.sort();
            listed.sort();
            prop_assert_eq!(open, listed);
        }
    }
}

fn manifest<P: ProcessModule>() -> Value {
    serde_json::from_str(&describe_process::<P>()).unwrap()
}

#[test]
fn the_manifest_of_a_process_says_what_it_reads_sends_and_keeps() {
    let mut manifest = manifest::<Billing>();
    let reads = manifest["reads"].take();
    assert_eq!(
        reads[0],
        json!({ "decider": "crate", "event": "packed", "schema_versions": [2, 4] })
    );
    assert_eq!(reads.as_array().unwrap().len(), 8);
    assert_eq!(
        manifest,
        json!({
            "name": "billing",
            "kind": "process",
            "sdk": concat!("gavel-guest-sdk/", env!("CARGO_PKG_VERSION")),
            "reads": null,
            "sends": [
                { "decider": "invoice", "command": "issue" },
                { "decider": "invoice", "command": "remind" },
                { "decider": "invoice", "command": "rate" },
            ],
            "accepted": true,
            "state_schema": {
                "type": "object",
                "properties": {
                    "parcels": { "type": "integer", "format": "uint32", "minimum": 0, "maximum": u32::MAX },
                    "remindAt": { "type": ["string", "null"], "format": "date-time" },
                    "reminders": { "type": "integer", "format": "uint32", "minimum": 0, "maximum": u32::MAX },
                    "outcomes": {
                        "description": "The outcomes of tasks, in words.",
                        "type": "object",
                        "additionalProperties": { "type": "string" },
                    },
                    "kilograms": { "type": "integer", "format": "uint32", "minimum": 0, "maximum": u32::MAX },
                    "weight": { "type": "number", "format": "double" },
                },
                "required": ["parcels", "reminders", "outcomes", "kilograms", "weight"],
            },
        })
    );
}

#[test]
fn the_manifest_says_where_keys_come_from_and_what_has_no_state() {
    let (by_stream, by_tag, saga) = (
        manifest::<ByStream>(),
        manifest::<ByTag>(),
        manifest::<Invoicing>(),
    );
    assert_eq!(by_stream["key"], "stream_id");
    assert_eq!(
        by_stream["sends"][3],
        json!({ "decider": "lorry", "command": "Unload" })
    );
    assert_eq!(by_tag["key"], json!({ "tag": "town" }));
    assert_eq!(by_tag["reads"][0]["by_tag"], true);
    assert_eq!(by_tag["sends"], json!([]));
    for manifest in [&by_stream, &by_tag] {
        assert_eq!(
            (manifest.get("accepted"), manifest.get("stateless")),
            (None, None)
        );
    }
    assert_eq!(saga["stateless"], true);
    assert_eq!((saga.get("key"), saga.get("state_schema")), (None, None));
}

#[test]
fn the_published_schema_takes_what_it_should_of_processes_and_nothing_else() {
    let schema = super::manifest::published();
    let list = |text| serde_json::from_str::<Vec<Value>>(text).unwrap();
    let mut accepted = list(include_str!(
        "../../../../tests/manifests/processes_accepted.json"
    ));
    accepted.extend([
        manifest::<Billing>(),
        manifest::<ByStream>(),
        manifest::<ByTag>(),
        manifest::<Invoicing>(),
    ]);
    for manifest in accepted {
        let errors: Vec<_> = schema.iter_errors(&manifest).collect();
        assert!(errors.is_empty(), "{manifest}: {errors:?}");
    }
    for manifest in list(include_str!(
        "../../../../tests/manifests/processes_refused.json"
    )) {
        assert!(!schema.is_valid(&manifest), "{manifest}");
    }
}
