//! The tasks that acts ask for.

use serde_json::{Value, json};

use crate::exports::gavel::module::process::{Action, Order, Task};
use crate::loop_for_ever;

/// The size of a payload that is too large, in bytes: a host takes 1 MiB of output from a call.
const HUGE_DATA: usize = (1 << 20) + 1;

/// The tasks that are listed at a state: its member `act` says which.
pub fn todo(state: &str) -> Vec<Task> {
    let state: Value = serde_json::from_str(state).expect("the host sends JSON");
    let act = state["act"].as_str().unwrap_or("Ok");
    match act {
        "TrapInTodo" => core::arch::wasm32::unreachable(),
        "LoopInTodo" => loop_for_ever(),
        _ => acted(act, state["number"].as_u64().unwrap_or(1)),
    }
}

/// The tasks that one act asks for.
pub fn acted(act: &str, number: u64) -> Vec<Task> {
    let send = |change: fn(&mut Order)| {
        let mut order = order();
        change(&mut order);
        vec![task("send", Action::Send(order))]
    };
    match act {
        "Send" => send(|_| {}),
        "Wait" => vec![wait("wait", number)],
        // As many as the event's member `number` says.
        "ManyTasks" => (0..number).map(|n| wait(&format!("wait-{n}"), n)).collect(),
        // Tasks that a host cannot take.
        "TaskTwice" => vec![wait("wait", 1), task("wait", Action::Send(order()))],
        "Nameless" => vec![wait("", 1)],
        "LongName" => vec![wait(&"t".repeat(129), 1)],
        "ControlName" => vec![wait("\u{1b}[31m", 1)],
        "NoDecider" => send(|order| order.decider = "an actor".to_owned()),
        "NoStream" => send(|order| order.stream_id.clear()),
        "NulCommand" => send(|order| order.command.push('\0')),
        "NoJsonData" => send(|order| order.data = "{]".to_owned()),
        "HugeData" => send(|order| order.data = json!("x".repeat(HUGE_DATA)).to_string()),
        "HugeVersion" => send(|order| order.expected_version = Some(u64::MAX)),
        "MetadataTwice" => send(|order| order.metadata.push(("a".to_owned(), "c".to_owned()))),
        "OfTheHost" => send(|order| order.metadata.push(("actor".to_owned(), "me".to_owned()))),
        _ => Vec::new(),
    }
}

pub fn wait(id: &str, ms: u64) -> Task {
    task(id, Action::WaitUntil(ms))
}

fn task(id: &str, action: Action) -> Task {
    let id = id.to_owned();
    Task { id, action }
}

fn order() -> Order {
    Order {
        decider: "actor".to_owned(),
        stream_id: "a-1".to_owned(),
        command: "Act".to_owned(),
        data: json!({ "number": 7 }).to_string(),
        expected_version: Some(3),
        metadata: vec![("a".to_owned(), "b".to_owned())],
    }
}
