//! The calls of the process world: what comes back is checked, and what cannot be used is told by
//! its instance and its input.

use std::sync::LazyLock;

use gavel_model::{
    DeciderName, Json, Metadata, ModuleKind, Namespace, NewEvent, Order, Position, RecordedEvent,
    Rejection, StreamId, StreamKey, Task, TaskAction, TaskId, Version, new_id,
};
use gavel_sandbox::{
    Fault, FoldedInstance, InstanceFault, InstanceInput, InstanceToFold, Limits, Module, News,
    ProcessInstance, TaskStep,
};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::support::{block_on, try_prepare, wasm};

static HOSTILE: LazyLock<Module> = LazyLock::new(|| {
    block_on(try_prepare(
        &wasm("hostile_process"),
        Limits::default(),
        None,
    ))
    .unwrap()
});

fn process() -> ProcessInstance {
    HOSTILE.instantiate_process().unwrap()
}

/// An event that asks for an act.
fn acted(data: &Value) -> RecordedEvent {
    let decider = DeciderName::new("actor").unwrap();
    RecordedEvent {
        stream: StreamId::new(Namespace::default(), decider, "a-1").unwrap(),
        version: Version::new(1).unwrap(),
        position: Position::default(),
        previous_id: None,
        created_at: OffsetDateTime::UNIX_EPOCH,
        event: NewEvent {
            event_id: new_id(),
            event: "Acted".to_owned(),
            schema_version: 1,
            data: Json::from_value(data).unwrap(),
            tags: Vec::new(),
            metadata: Metadata::default(),
            is_final: false,
            command_id: new_id(),
        },
    }
}

fn act(name: &str) -> RecordedEvent {
    acted(&json!({ "act": name }))
}

fn input(news: News<'_>) -> InstanceInput<'_> {
    let at = OffsetDateTime::UNIX_EPOCH;
    InstanceInput { at, news }
}

fn task_id(text: &str) -> TaskId {
    TaskId::new(text).unwrap()
}

fn key(text: &str) -> StreamKey {
    StreamKey::new(text).unwrap()
}

fn time_of(ms: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).unwrap()
}

/// Folds events into one instance without a state.
fn fold(
    process: &mut ProcessInstance,
    events: &[RecordedEvent],
) -> Result<Result<FoldedInstance, InstanceFault>, Fault> {
    let inputs: Vec<_> = events.iter().map(News::Event).map(input).collect();
    let key = key("one");
    let instance = InstanceToFold {
        key: &key,
        state: None,
        inputs: &inputs,
    };
    let mut folded = process.fold(&[instance])?;
    assert_eq!(folded.len(), 1);
    Ok(folded.remove(0))
}

/// The tasks at a state.
fn todo(process: &mut ProcessInstance, state: &Value) -> Result<Vec<Task>, Fault> {
    process.todo(&key("one"), &Json::from_value(state).unwrap())
}

/// The reason for which the second of two events cannot be folded.
#[track_caller]
fn refused(data: &Value) -> String {
    let fault = fold(&mut process(), &[act("Ok"), acted(data)]).unwrap();
    let fault = fault.unwrap_err();
    assert_eq!(fault.index, Some(1), "{fault:?}");
    fault.reason
}

#[test]
fn a_process_describes_itself_and_names_its_keys_and_sources() {
    assert_eq!(HOSTILE.kind(), ModuleKind::Process);
    let mut process = process();
    let manifest = process.describe().unwrap().to_value();
    assert_eq!(manifest["kind"], "process");
    let (plain, named) = (act("Ok"), acted(&json!({ "key": "k" })));
    let (none, many) = (
        act("NoKeys"),
        acted(&json!({ "act": "ManyKeys", "number": 2 })),
    );
    let keys = process.keys(&[&plain, &named, &none, &many]).unwrap();
    let expected: [&[&str]; 4] = [&["a-1"], &["k"], &[], &["a-1-0", "a-1-1"]];
    assert_eq!(keys, expected);
    assert!(process.has_sources());
    let sources = process.sources(&key("one")).unwrap();
    assert_eq!(sources[0].stream_id.as_deref(), Some("one"));
    let nowhere = process.sources(&key("nowhere")).unwrap_err();
    assert!(matches!(nowhere, Fault::BrokeContract { .. }), "{nowhere}");
}

#[test]
fn each_kind_of_news_reaches_the_module_as_it_is() {
    let event = act("Ok");
    let (send, wait) = (task_id("send"), task_id("wait"));
    let rejection = |data| Rejection {
        code: "full".to_owned(),
        message: "no seat is left".to_owned(),
        data,
    };
    let (bare, full) = (rejection(None), rejection(Some(Json::empty_object())));
    let news = [
        News::Event(&event),
        News::Due(&wait, time_of(86_400_001)),
        News::Rejected(&send, &bare),
        News::Rejected(&send, &full),
        News::Accepted(&send),
        News::Abandoned(&wait),
    ];
    let news = (1_000..).zip(news);
    let inputs: Vec<_> = news
        .map(|(ms, news)| InstanceInput {
            at: time_of(ms),
            news,
        })
        .collect();
    let (key, state) = (
        key("one"),
        Json::from_value(&json!({ "inputs": ["before"] })).unwrap(),
    );
    let instance = InstanceToFold {
        key: &key,
        state: Some(&state),
        inputs: &inputs,
    };
    let folded = process().fold(&[instance]).unwrap().remove(0).unwrap();
    assert_eq!(folded.steps, vec![TaskStep::default(); 6]);
    assert_eq!(
        folded.state.unwrap().to_value(),
        json!({ "inputs": [
            "before",
            "1000 event Acted {\"act\": \"Ok\"}",
            "1001 due wait 86400001",
            "1002 rejected send full no seat is left without data",
            "1003 rejected send full no seat is left {}",
            "1004 accepted send",
            "1005 abandoned wait",
        ] })
    );
}

#[test]
fn the_tasks_of_each_input_come_back_in_their_order() {
    let events = [
        act("Send"),
        acted(&json!({ "act": "Wait", "number": 5 })),
        acted(&json!({ "act": "WaitAgain", "number": 7 })),
        act("Done"),
        act("End"),
    ];
    let folded = fold(&mut process(), &events).unwrap().unwrap();
    let (send, wait) = (task_id("send"), task_id("wait"));
    let until = |ms| Task {
        id: wait.clone(),
        action: TaskAction::WaitUntil(time_of(ms)),
    };
    let metadata = [("a".to_owned(), "b".to_owned())].into();
    let order = Order {
        decider: DeciderName::new("actor").unwrap(),
        stream: key("a-1"),
        command: "Act".to_owned(),
        data: Json::from_value(&json!({ "number": 7 })).unwrap(),
        expected_version: Version::new(3),
        metadata: Metadata::from_stored(metadata),
    };
    let sent = Task {
        id: send.clone(),
        action: TaskAction::Send(order),
    };
    let step = |added, gone| TaskStep { added, gone };
    let expected = FoldedInstance {
        state: None,
        steps: vec![
            step(vec![sent.clone()], vec![]),
            step(vec![until(5)], vec![]),
            step(vec![until(7)], vec![wait.clone()]),
            step(vec![], vec![send]),
            step(vec![], vec![]),
        ],
    };
    assert_eq!(folded, expected);
    let todo = todo(&mut process(), &json!({ "act": "Send" }));
    assert_eq!(todo, Ok(vec![sent]));
}

#[test]
fn a_task_that_cannot_be_taken_is_told_with_its_input() {
    for (act, reason) in [
        ("TaskTwice", "the task `wait` is listed twice"),
        ("Nameless", "it names the task ``: a task's id is 1 to 128"),
        ("LongName", "a task's id is 1 to 128 bytes"),
        ("ControlName", r"it names the task `\u{1b}[31m`"),
        ("NoDecider", "the task `send`: a decider's name is"),
        ("NoStream", "the task `send`: a stream id is"),
        ("NulCommand", "the command holds the character U+0000"),
        ("NoJsonData", "the task `send`: the data: "),
        ("HugeVersion", "no stream has the version"),
        ("MetadataTwice", "the metadata `a` is there twice"),
        ("OfTheHost", "metadata `actor` is set by the host"),
        ("GoneTwice", "the task `send` is gone twice"),
        ("GoneNameless", "it names the task ``"),
        ("EvolveError", "I never wanted this event"),
    ] {
        let told = refused(&json!({ "act": act }));
        assert!(told.contains(reason), "{act}: {told}");
        assert!(told.len() < 400 && !told.chars().any(char::is_control));
    }
    let late = refused(&json!({ "act": "Wait", "number": u64::MAX }));
    assert_eq!(late, "the task `wait`: its time is after the year 9999");
    let last = acted(&json!({ "act": "Wait", "number": 253_402_300_799_999_u64 }));
    assert!(fold(&mut process(), &[last]).unwrap().is_ok());
}

#[test]
fn a_fault_of_no_single_input_names_none_and_others_are_folded() {
    for (name, reason) in [
        ("TooFewSteps", "it gives 1 steps for 2 inputs"),
        ("TooManySteps", "it gives 3 steps for 2 inputs"),
        ("NoJson", "the state: "),
        ("LyingError", "I never wanted this event"),
    ] {
        let (good, bad) = (act("Ok"), act(name));
        let (good, bad) = (
            [input(News::Event(&good))],
            [input(News::Event(&good)), input(News::Event(&bad))],
        );
        let keys = ["one", "two", "three"].map(key);
        let instance = |key, inputs| InstanceToFold {
            key,
            state: None,
            inputs,
        };
        let folded = process().fold(&[
            instance(&keys[0], &good[..]),
            instance(&keys[1], &bad[..]),
            instance(&keys[2], &good[..]),
        ]);
        let folded = folded.unwrap();
        assert!(folded[0].is_ok() && folded[2].is_ok(), "{folded:?}");
        let fault = folded[1].clone().unwrap_err();
        assert_eq!(fault.index, None);
        assert!(fault.reason.starts_with(reason), "{name}: {fault:?}");
    }
}

#[test]
fn an_answer_of_another_length_is_none() {
    for (name, reason) in [
        ("TooFewInstances", "it folds 0 of 1 instances"),
        ("TooManyInstances", "it folds 2 of 1 instances"),
    ] {
        let mut process = process();
        let Err(Fault::BrokeContract { reason: told }) = fold(&mut process, &[act(name)]) else {
            panic!("{name} breaks the contract");
        };
        assert_eq!(told, reason);
        // The guest itself is whole.
        assert!(fold(&mut process, &[act("Ok")]).unwrap().is_ok());
    }
    for (name, reason) in [
        ("TooFewKeys", "it names keys for 0 of 1 events"),
        ("TooManyKeys", "it names keys for 2 of 1 events"),
    ] {
        let told = process().keys(&[&act(name)]);
        let reason = reason.to_owned();
        assert_eq!(told, Err(Fault::BrokeContract { reason }));
    }
}

#[test]
fn too_much_output_is_refused_whatever_it_is() {
    let limit = Limits::default().output_bytes;
    let what = "bytes of output";
    for name in ["HugeState", "HugeData"] {
        let folded = fold(&mut process(), &[act(name)]);
        assert_eq!(folded, Err(Fault::OutputTooLarge { what, limit }));
    }
    let todo = |data: &Value| todo(&mut process(), data);
    let huge = todo(&json!({ "act": "HugeData" }));
    assert_eq!(huge, Err(Fault::OutputTooLarge { what, limit }));
    // How many tasks are too many is not for the sandbox to say; how many bytes is.
    let many = todo(&json!({ "act": "ManyTasks", "number": 2_000 }));
    assert_eq!(many.unwrap().len(), 2_000);
    let huge = todo(&json!({ "act": "ManyTasks", "number": 1_000_000 }));
    assert!(huge.is_err(), "{huge:?}");
}

#[test]
fn a_list_of_tasks_that_cannot_be_taken_breaks_the_contract() {
    for act in ["TaskTwice", "Nameless", "NoJsonData", "OfTheHost"] {
        let told = todo(&mut process(), &json!({ "act": act }));
        assert!(matches!(told, Err(Fault::BrokeContract { .. })), "{told:?}");
    }
}

#[test]
fn a_trap_or_an_endless_loop_ends_the_instance_alone() {
    type Call = fn(&mut ProcessInstance, &str) -> Result<(), Fault>;
    let calls: [(&str, Call); 3] = [
        ("Keys", |process, name| {
            process.keys(&[&act(name)]).map(drop)
        }),
        ("Fold", |process, name| {
            fold(process, &[act(name)]).map(drop)
        }),
        ("Todo", |process, name| {
            todo(process, &json!({ "act": name })).map(drop)
        }),
    ];
    for (place, call) in calls {
        for what in ["Trap", "Loop"] {
            let mut process = process();
            let fault = call(&mut process, &format!("{what}In{place}")).unwrap_err();
            let is_trap = matches!(fault, Fault::Trapped { .. });
            assert!(
                is_trap == (what == "Trap") && is_trap != fault.is_limit(),
                "{fault}"
            );
            assert!(process.is_spent());
            assert_eq!(call(&mut process, "Ok"), Err(Fault::Spent));
        }
    }
    assert!(fold(&mut process(), &[act("Ok")]).unwrap().is_ok());
}
