//! The acts of `keys`.

use crate::{Act, loop_for_ever};

/// The keys of each event; a list too few or too many when one of them says so.
pub fn keys(acts: &[Act]) -> Vec<Vec<String>> {
    let mut keys: Vec<Vec<String>> = acts.iter().map(keys_of).collect();
    for act in acts {
        match act.name.as_str() {
            "TooFewKeys" => drop(keys.pop()),
            "TooManyKeys" => keys.push(Vec::new()),
            _ => {}
        }
    }
    keys
}

fn keys_of(act: &Act) -> Vec<String> {
    let key = act.key.clone();
    match act.name.as_str() {
        "TrapInKeys" => core::arch::wasm32::unreachable(),
        "LoopInKeys" => loop_for_ever(),
        "NoKeys" => Vec::new(),
        // As many keys as the event's member `number` says.
        "ManyKeys" => (0..act.number).map(|n| format!("{key}-{n}")).collect(),
        _ => vec![key],
    }
}
