//! The acts of `fold`.

use serde_json::{Value, json};

use crate::exports::gavel::module::process::{EvolveError, Folded, Input, Instance, News, Step};
use crate::tasks::{acted, wait};
use crate::{Act, loop_for_ever};

/// The size of a state that is too large, in bytes: a host takes 1 MiB of output from a call.
const HUGE_STATE: usize = (1 << 20) + 1;

/// The instances; one too few or too many when an event of theirs says so.
pub fn fold(instances: Vec<Instance>) -> Vec<Result<Folded, EvolveError>> {
    let inputs = instances.iter().flat_map(|instance| &instance.inputs);
    let acts: Vec<String> = inputs.filter_map(act_of).map(|act| act.name).collect();
    let mut folded: Vec<_> = instances.into_iter().map(fold_instance).collect();
    for act in acts {
        match act.as_str() {
            "TooFewInstances" => drop(folded.pop()),
            "TooManyInstances" => folded.push(Ok(Folded {
                state: None,
                steps: Vec::new(),
            })),
            _ => {}
        }
    }
    folded
}

fn fold_instance(instance: Instance) -> Result<Folded, EvolveError> {
    let mut state: Value = match &instance.state {
        Some(text) => serde_json::from_str(text).expect("the host sends JSON"),
        None => json!({ "inputs": [] }),
    };
    let mut folded = Folded {
        state: None,
        steps: Vec::new(),
    };
    let mut fate = Fate::Keep;
    for (index, input) in (0..).zip(&instance.inputs) {
        let act = act_of(input);
        let name = act.as_ref().map_or("Ok", |act| act.name.as_str());
        match name {
            "TrapInFold" => core::arch::wasm32::unreachable(),
            "LoopInFold" => loop_for_ever(),
            "EvolveError" | "LyingError" => {
                return Err(EvolveError {
                    // One that the instance has not, when it lies.
                    index: if name == "LyingError" { 1000 } else { index },
                    message: "I never wanted this event".to_owned(),
                });
            }
            "End" => fate = Fate::Forget,
            "NoJson" => fate = Fate::Text("{]".to_owned()),
            "HugeState" => fate = Fate::Text(format!("\"{}\"", "x".repeat(HUGE_STATE))),
            _ => {}
        }
        let inputs = state["inputs"].as_array_mut().expect("it is my own state");
        inputs.push(json!(in_words(input)));
        let step = act.as_ref().map_or_else(nothing, step_of);
        match name {
            "TooFewSteps" => {}
            "TooManySteps" => folded.steps.extend([nothing(), step]),
            _ => folded.steps.push(step),
        }
    }
    folded.state = match fate {
        Fate::Keep => Some(state.to_string()),
        Fate::Forget => None,
        Fate::Text(text) => Some(text),
    };
    Ok(folded)
}

/// The fate of a state.
enum Fate {
    Keep,
    Forget,
    Text(String),
}

fn nothing() -> Step {
    Step {
        added: Vec::new(),
        gone: Vec::new(),
    }
}

fn step_of(act: &Act) -> Step {
    let gone = match act.name.as_str() {
        "Done" => vec!["send".to_owned()],
        "GoneTwice" => vec!["send".to_owned(), "send".to_owned()],
        "GoneNameless" => vec![String::new()],
        // Another time is another wait: the old one is gone.
        "WaitAgain" => {
            return Step {
                added: vec![wait("wait", act.number)],
                gone: vec!["wait".to_owned()],
            };
        }
        _ => Vec::new(),
    };
    Step {
        added: acted(&act.name, act.number),
        gone,
    }
}

fn act_of(input: &Input) -> Option<Act> {
    match &input.what {
        News::Event(event) => Some(Act::of(event)),
        _ => None,
    }
}

/// All that the host says of an input.
fn in_words(input: &Input) -> String {
    let what = match &input.what {
        News::Event(event) => format!("event {} {}", event.name, event.data),
        News::Due((task, ms)) => format!("due {task} {ms}"),
        News::Rejected((task, rejection)) => {
            let data = rejection.data.as_deref().unwrap_or("without data");
            format!(
                "rejected {task} {} {} {data}",
                rejection.code, rejection.message
            )
        }
        News::Accepted(task) => format!("accepted {task}"),
        News::Abandoned(task) => format!("abandoned {task}"),
    };
    format!("{} {what}", input.at_ms)
}
