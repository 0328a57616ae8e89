//! The acts of `keys`.

use crate::{Act, eat_memory, loop_for_ever, seen};

/// The keys of each event; a list too few when one of them says so.
pub fn keys(acts: &[Act]) -> Vec<Vec<String>> {
    let mut keys: Vec<Vec<String>> = acts.iter().map(keys_of).collect();
    if acts.iter().any(|act| act.name == "TooFewKeys") {
        keys.pop();
    }
    keys
}

fn keys_of(act: &Act) -> Vec<String> {
    let key = act.key.clone();
    match act.name.as_str() {
        "TrapInKeys" => core::arch::wasm32::unreachable(),
        "LoopInKeys" => loop_for_ever(),
        "EatMemoryInKeys" => eat_memory(),
        "NoKeys" => Vec::new(),
        // As many keys as the event's member `number` says: some are too many.
        "ManyKeys" => (0..act.number).map(|n| format!("{key}-{n}")).collect(),
        "AliasedKeys" => aliased_keys(act.number),
        "KeyTwice" => vec![key.clone(), key],
        "EmptyKey" => vec![String::new()],
        // As many bytes as the event's member `number` says: 255 are a key, 256 are none.
        "LongKey" => vec!["k".repeat(act.number)],
        "ControlKey" => vec![format!("{key}\u{7}")],
        "NulKey" => vec![format!("{key}\0")],
        // Another row in another instance, or in another page.
        "HiddenKeys" => vec![format!("{key}-{}", seen())],
        _ => vec![key],
    }
}

/// Returns many keys that share one long text: small for the guest, huge for a host that copies
/// each.
fn aliased_keys(number: usize) -> Vec<String> {
    let text: &'static mut [u8] = vec![b'k'; 1 << 20].leak();
    let (pointer, length) = (text.as_mut_ptr(), text.len());
    (0..number)
        // SAFETY: there is none; freeing these would be a bug, and the host ends this instance
        // before.
        .map(|_| unsafe { String::from_raw_parts(pointer, length, length) })
        .collect()
}
