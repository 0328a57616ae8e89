//! The commands of the hostile decider.

use std::collections::HashMap;
use std::hint::black_box;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use base::{Context, Event, GuestState as _, Rejection};
use serde_json::{Value, json};

type Outcome = Result<Vec<Event>, Rejection>;
type Act = fn(&Value, &Context) -> Outcome;

/// The commands, by name. Their data give the amount, where there is one.
pub const ACTS: &[(&str, Act)] = &[
    ("Ok", |_, _| Ok(Vec::new())),
    ("Increment", |_, _| Ok(vec![event("Incremented", "{}")])),
    ("Reject", |_, _| Err(rejection("no", "no", Some("{}")))),
    ("Until", |data, context| {
        if context.now_ms < data["ms"].as_u64().expect("a time is a number") {
            Ok(vec![event("Incremented", "{}")])
        } else {
            Err(rejection("no", "it is too late", None))
        }
    }),
    // Faults of one call.
    ("Trap", |_, _| core::arch::wasm32::unreachable()),
    ("Panic", |data, _| panic!("{}", text(data))),
    ("Abort", |_, _| std::process::abort()),
    ("Exit", |_, _| std::process::exit(0)),
    ("Loop", |_, _| loop_for_ever()),
    ("Recurse", |_, _| {
        Ok(vec![event("Happened", &recurse(1).to_string())])
    }),
    ("Sleep", |_, _| {
        std::thread::sleep(Duration::from_secs(3600));
        Ok(Vec::new())
    }),
    ("StartThread", |_, _| {
        happened(json!(std::thread::Builder::new().spawn(|| ()).is_err()))
    }),
    ("FillMemory", fill_memory),
    // An event of which the state keeps the text: that of the command's member `text`. `TellState`
    // is answered where the state is.
    ("Keep", |data, _| Ok(vec![event("Kept", text(data))])),
    ("TellState", |_, _| Ok(Vec::new())),
    // As many events as the command's member `number` says, each of some 200 bytes.
    ("Burst", |data, _| {
        let text = json!("x".repeat(200)).to_string();
        Ok((0..number(data))
            .map(|_| event("Happened", &text))
            .collect())
    }),
    // Too much of something.
    ("EatMemory", |_, _| eat_memory()),
    ("LeakStates", |_, _| {
        loop {
            std::mem::forget(black_box(crate::Counter::initial()));
        }
    }),
    ("Say", |data, _| {
        let mut stdout = std::io::stdout();
        let said = stdout
            .write_all(text(data).as_bytes())
            .and_then(|()| stdout.flush());
        eprintln!(" {}", said.is_ok());
        Ok(Vec::new())
    }),
    // No text at all.
    ("Stammer", |_, _| {
        let written = std::io::stdout().write_all(b"a\xffb\n");
        Ok(written.map(|()| Vec::new()).unwrap_or_default())
    }),
    ("Print", |_, _| {
        loop {
            println!("{}", "all work and no play ".repeat(50));
        }
    }),
    ("ManyEvents", |data, _| {
        Ok((0..number(data)).map(|_| event("", "")).collect())
    }),
    ("HugeEvent", |data, _| {
        Ok(vec![event(
            "Happened",
            &format!("\"{}\"", "x".repeat(number(data))),
        )])
    }),
    ("AliasedEvents", aliased_events),
    ("HugeRejection", |data, _| {
        Err(rejection("no", &"x".repeat(number(data)), None))
    }),
    ("HugeTags", |data, _| {
        let mut event = event("Happened", "{}");
        event.tags = (0..number(data)).map(|tag| tag.to_string()).collect();
        Ok(vec![event])
    }),
    ("DeepJson", |data, _| {
        Ok(vec![event("Happened", &"[".repeat(number(data)))])
    }),
    // Answers against the contract.
    ("InvalidJson", |_, _| Ok(vec![event("Happened", "{]")])),
    ("InvalidUtf8", |_, _| {
        // SAFETY: there is none; the host is to find out.
        let data = unsafe { String::from_utf8_unchecked(vec![b'"', 0xff, b'"']) };
        Ok(vec![Event {
            data,
            ..event("Happened", "")
        }])
    }),
    ("NulCharacter", |_, _| {
        Ok(vec![event("Happened", r#""\u0000""#)])
    }),
    ("NulInName", |_, _| Ok(vec![event("Hap\0pened", "{}")])),
    ("NulInTag", |_, _| {
        Ok(vec![Event {
            tags: vec!["\0".to_owned()],
            ..event("Happened", "{}")
        }])
    }),
    ("NulInRejection", |_, _| Err(rejection("no", "n\0", None))),
    ("InvalidRejectionData", |_, _| {
        Err(rejection("no", "no", Some("nope")))
    }),
    ("TwiceTagged", |_, _| {
        Ok(vec![Event {
            tags: vec!["a".to_owned(), "a".to_owned()],
            ..event("Happened", "{}")
        }])
    }),
    ("UndeclaredEvent", |_, _| {
        Ok(vec![event("Undeclared", "{}")])
    }),
    ("UndeclaredVersion", |_, _| {
        Ok(vec![Event {
            schema_version: 7,
            ..event("Happened", "{}")
        }])
    }),
    ("UndeclaredRejection", |_, _| {
        Err(rejection("undeclared", "no", None))
    }),
    ("RefusedEvent", |_, _| {
        Ok(vec![event("Incremented", "{}"), event("Refused", "{}")])
    }),
    ("PoisonedEvent", |_, _| Ok(vec![event("Poisoned", "{}")])),
    ("SlowEvent", |_, _| Ok(vec![event("Slow", "{}")])),
    // Looking around.
    ("Count", |_, _| {
        happened(json!(CALLS.fetch_add(1, Ordering::Relaxed)))
    }),
    ("Clocks", |_, _| clocks()),
    ("Random", |data, _| happened(json!(random(number(data))))),
    ("HashOrder", |_, _| {
        let map: HashMap<u32, u32> = (0..100).map(|key| (key, key)).collect();
        happened(json!(map.into_keys().collect::<Vec<_>>()))
    }),
    ("LookAround", |_, _| look_around()),
    ("Context", |_, context| {
        happened(json!(format!("{context:?}")))
    }),
    ("NotANumber", |_, _| {
        let nan = black_box(0.0_f64) / black_box(0.0);
        happened(json!((-nan).to_bits().to_string()))
    }),
];

/// A count with which a state traps when the host lets go of it.
pub const TRAPS_WHEN_DROPPED: u64 = 666;

static CALLS: AtomicU64 = AtomicU64::new(0);

pub fn act(name: &str, data: &str, context: &Context) -> Outcome {
    let (_, act) = ACTS
        .iter()
        .find(|(known, _)| *known == name)
        .expect("the host knows the commands");
    act(
        &serde_json::from_str(data).expect("the host passes JSON"),
        context,
    )
}

pub fn loop_for_ever() -> ! {
    loop {
        black_box(());
    }
}

/// Recurses on the host's stack, since the function has no value in memory; and in a shape that a
/// compiler does not turn into a loop.
fn recurse(depth: u64) -> u64 {
    if depth == u64::MAX {
        return depth;
    }
    recurse(depth + 1).rotate_left(7) ^ depth
}

fn eat_memory() -> ! {
    let mut eaten = Vec::new();
    loop {
        eaten.push(black_box(vec![1_u8; 1 << 20]));
    }
}

/// One instruction that does the work of many, over and over.
fn fill_memory(_data: &Value, _context: &Context) -> Outcome {
    let mut memory = vec![0_u8; 32 << 20];
    for byte in 0.. {
        memory.fill(black_box(byte));
        black_box(&memory);
    }
    Ok(Vec::new())
}

/// Returns many events that share one long text: small for the guest, huge for a host that copies
/// each.
fn aliased_events(data: &Value, _context: &Context) -> Outcome {
    let text: &'static mut [u8] = vec![b'1'; 1 << 20].leak();
    let (pointer, length) = (text.as_mut_ptr(), text.len());
    Ok((0..number(data))
        .map(|_| {
            // SAFETY: there is none; freeing these would be a bug, and the host ends this instance
            // before.
            let data = unsafe { String::from_raw_parts(pointer, length, length) };
            Event {
                data,
                ..event("", "")
            }
        })
        .collect())
}

fn clocks() -> Outcome {
    let wall = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map(|since| since.as_millis().to_string());
    let start = Instant::now();
    let passed = start.elapsed().as_nanos().to_string();
    happened(json!({ "wall": wall.unwrap_or_default(), "passed": passed }))
}

fn random(count: usize) -> Vec<u8> {
    #[link(wasm_import_module = "wasi:random/random@0.2.0")]
    unsafe extern "C" {
        #[link_name = "get-random-bytes"]
        fn get_random_bytes(length: u64, list: *mut [usize; 2]);
    }
    let mut list = [0; 2];
    // SAFETY: this is the canonical ABI of `func(len: u64) -> list<u8>`; the list is allocated by
    // this component's `cabi_realloc`.
    unsafe {
        get_random_bytes(count as u64, &raw mut list);
        Vec::from_raw_parts(list[0] as *mut u8, list[1], list[1])
    }
}

fn look_around() -> Outcome {
    let mut line = String::new();
    let seen = json!({
        "arguments": std::env::args().count(),
        "variables": std::env::vars().count(),
        "folder": std::fs::read_dir("/").is_ok(),
        "file": std::fs::read_to_string("/etc/passwd").is_ok(),
        "written": std::fs::write("/tmp/hostile", "was here").is_ok(),
        "stdin": std::io::stdin().read_line(&mut line).unwrap_or(0),
    });
    println!("to the log");
    happened(seen)
}

fn happened(data: Value) -> Outcome {
    Ok(vec![event("Happened", &data.to_string())])
}

pub fn event(name: &str, data: &str) -> Event {
    Event {
        name: name.to_owned(),
        schema_version: 1,
        data: data.to_owned(),
        final_: false,
        tags: Vec::new(),
    }
}

fn rejection(code: &str, message: &str, data: Option<&str>) -> Rejection {
    Rejection {
        code: code.to_owned(),
        message: message.to_owned(),
        data: data.map(str::to_owned),
    }
}

fn number(data: &Value) -> usize {
    let number = data["number"].as_u64().expect("the command has a number");
    usize::try_from(number).expect("the number fits")
}

fn text(data: &Value) -> &str {
    data["text"].as_str().expect("the command has a text")
}
