//! Rules of the source tree that no compiler checks: who may use whom, module docs, file sizes, and no path of one machine.
//!
//! A rule that no test checks rots. Each failure names `file:line`.

use std::fs;
use std::path::Path;

use anyhow::Result;

/// Modules of the host, lowest first. A module uses only those of a lower row, or of its own.
const LAYERS: [&[&str]; 5] = [
    &["core"],
    &["store", "runtime"],
    &["modules"],
    &["gate", "log", "command"],
    &["http", "cli"],
];

/// What a part of the tree never mentions: crates, types, and modules of the host (as `crate::name`).
const NEVER: [(&str, &[&str]); 9] = [
    (
        "host/src/core/",
        &["tokio", "sqlx", "rusqlite", "axum", "wasmtime"],
    ),
    (
        "host/src/store/",
        &["wasmtime", "crate::runtime", "crate::http"],
    ),
    (
        "host/src/runtime/",
        &["sqlx", "rusqlite", "crate::store", "crate::http"],
    ),
    (
        "host/src/command/",
        &["axum", "StatusCode", "sqlx", "rusqlite"],
    ),
    ("host/src/log/", &["axum", "StatusCode", "sqlx", "rusqlite"]),
    (
        "host/src/gate/",
        &["axum", "StatusCode", "sqlx", "rusqlite"],
    ),
    (
        "host/src/modules/",
        &["axum", "StatusCode", "sqlx", "rusqlite"],
    ),
    ("host/src/http/", &["sqlx", "rusqlite", "wasmtime"]),
    (
        "guest-sdk/",
        &[
            "gavel_host",
            "tokio",
            "sqlx",
            "rusqlite",
            "axum",
            "wasmtime",
        ],
    ),
];

/// Lines of a file, its tests not counted.
const MAX_LINES: usize = 500;

/// Names at any depth of what is made or fetched, not written.
const NOT_OURS: [&str; 4] = ["target", ".git", ".gavel", "node_modules"];

#[test]
fn modules_use_only_what_they_may() {
    let findings = sources()
        .iter()
        .flat_map(|source| forbidden_uses(&source.path, &source.text))
        .collect();
    assert_none(findings);
}

#[test]
fn every_module_says_what_it_holds() {
    let modules = sources()
        .into_iter()
        .filter(|source| !is_test(&source.path));
    let bare = modules.filter(|source| !source.text.starts_with("//!"));
    assert_none(
        bare.map(|source| format!("{}:1: does not open with `//!`", source.path))
            .collect(),
    );
}

#[test]
fn no_file_is_too_long() {
    let lengths = sources()
        .into_iter()
        .map(|source| (code_lines(&source.text), source.path));
    let long = lengths.filter(|(lines, path)| *lines > MAX_LINES && !is_test(path));
    assert_none(
        long.map(|(lines, path)| format!("{path}:{lines}: over {MAX_LINES} lines"))
            .collect(),
    );
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    let findings = files()
        .iter()
        .flat_map(|source| machine_paths(&source.path, &source.text))
        .collect();
    assert_none(findings);
}

#[test]
fn forbidden_uses_are_found_however_they_are_written() {
    let in_store = |text| forbidden_uses("host/src/store/x.rs", text).len();
    assert_eq!(in_store("use wasmtime::Engine;"), 1);
    assert_eq!(in_store("let e = wasmtime::Engine::default();"), 1);
    assert_eq!(
        in_store("use crate::http::router;"),
        1,
        "named twice, found once"
    );
    assert_eq!(
        in_store("use crate::{core::Version, runtime::{self, engine}, log};"),
        2
    );
    assert_eq!(in_store("use super::super::gate;"), 1);
    assert_eq!(in_store("use super::gate; // a sibling of ours"), 0);
    assert_eq!(
        in_store("// wasmtime\n/* wasmtime */ let s = \"wasmtime\"; let r = r#\"\"wasmtime\"#;"),
        0
    );
    assert_eq!(
        in_store("let my_wasmtime = 1; let runtime = 2; let quote = '\"'; fn f<'a>() {}"),
        0
    );
    assert_eq!(
        in_store("use crate::core;\n#[cfg(test)]\nmod tests { use crate::runtime; }"),
        0
    );
}

#[test]
fn a_finding_names_its_line() {
    let findings = forbidden_uses(
        "host/src/core/x.rs",
        "//! x\n/* a\nb */\nuse tokio::time;\n",
    );
    assert_eq!(findings, ["host/src/core/x.rs:4: mentions `tokio`"]);
}

#[test]
fn only_absolute_paths_are_machine_paths() {
    let absolute = concat!("see /ho", "me/someone/x");
    assert_eq!(machine_paths("a", absolute).len(), 1);
    assert!(machine_paths("a", &absolute.replace(" /", " target/")).is_empty());
}

struct Source {
    /// Below the root, with `/`.
    path: String,
    text: String,
}

/// Whether the whole file is tests. Their names and titles say what they hold.
fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests is a folder of the repository")
}

/// All files with text in them.
fn files() -> Vec<Source> {
    let mut found = Vec::new();
    walk(root(), &mut found).expect("the tree can be read");
    found
}

fn sources() -> Vec<Source> {
    let sources: Vec<_> = files()
        .into_iter()
        .filter(|file| file.path.ends_with(".rs"))
        .collect();
    assert!(
        sources
            .iter()
            .any(|source| source.path == "host/src/lib.rs"),
        "the walk misses the host"
    );
    sources
}

fn walk(folder: &Path, found: &mut Vec<Source>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if NOT_OURS.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            walk(&path, found)?;
        } else if let Ok(text) = fs::read_to_string(&path) {
            let path = path.strip_prefix(root())?.to_string_lossy().into_owned();
            found.push(Source { path, text });
        }
    }
    Ok(())
}

#[track_caller]
fn assert_none(mut findings: Vec<String>) {
    findings.sort();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

fn forbidden_uses(path: &str, text: &str) -> Vec<String> {
    let (_, words_never) = NEVER
        .iter()
        .find(|(part, _)| path.starts_with(part))
        .unwrap_or(&("", &[]));
    let mut never: Vec<String> = words_never.iter().map(|word| (*word).to_owned()).collect();
    let in_host = path
        .strip_prefix("host/src/")
        .map(|path| path.trim_end_matches(".rs").trim_end_matches("/mod"));
    let modules: Vec<_> = in_host
        .into_iter()
        .flat_map(|path| path.split('/'))
        .collect();
    if let Some(layer) = LAYERS
        .iter()
        .position(|row| modules.first().is_some_and(|module| row.contains(module)))
    {
        never.extend(
            LAYERS[layer + 1..]
                .concat()
                .iter()
                .map(|module| format!("crate::{module}")),
        );
    }

    let code = blank_comments_and_strings(text);
    let code = code_before_tests(&code);
    let mut mentions: Vec<_> = words(code)
        .map(|(at, word)| (at, word.to_owned()))
        .collect();
    mentions.extend(host_modules(code, modules.len()));
    mentions.retain(|(_, mention)| never.contains(mention));
    mentions
        .iter()
        .map(|(at, mention)| format!("{path}:{}: mentions `{mention}`", line_of(code, *at)))
        .collect()
}

/// The identifiers of `code` and where they start.
fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = 0;
    code.split(|c: char| !is_word(c)).map(move |word| {
        let at = rest;
        // Every separator that matters here is one byte: the rest of the code is ASCII once strings are blank.
        rest += word.len() + 1;
        (at, word)
    })
}

/// The modules of the host that `code`, `depth` modules below its root, reaches by `crate::` or `super::`.
fn host_modules(code: &str, depth: usize) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for prefix in ["crate::", &"super::".repeat(depth)] {
        for (at, _) in code.match_indices(prefix).filter(|_| !prefix.is_empty()) {
            let names = first_segments(&code[at + prefix.len()..]);
            found.extend(names.into_iter().map(|name| (at, format!("crate::{name}"))));
        }
    }
    found
}

/// `a` of `a::b`; `a` and `b` of `{a::{c, d}, b}`.
fn first_segments(path: &str) -> Vec<&str> {
    let first = |path: &'_ str| path.split(|c| !is_word(c)).next().unwrap_or_default().len();
    let Some(group) = path.strip_prefix('{') else {
        return vec![&path[..first(path)]];
    };
    let (mut depth, mut start, mut segments) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' | ',' if depth == 0 => {
                let item = group[start..at].trim_start();
                segments.push(&item[..first(item)]);
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    segments
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Replaces comments and the inside of literals by spaces, so that line numbers and offsets stay.
fn blank_comments_and_strings(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = literal_or_comment(rest, code.chars().next_back());
        let taken = if skipped == 0 { c.len_utf8() } else { skipped };
        for c in rest[..taken].chars() {
            code.push(if c == '\n' || (skipped == 0 && c.is_ascii()) {
                c
            } else {
                ' '
            });
        }
        rest = &rest[taken..];
    }
    code
}

/// The length in bytes of the comment or literal that `rest` starts with, else 0.
fn literal_or_comment(rest: &str, before: Option<char>) -> usize {
    let until = |end: &str, from: usize| {
        rest[from..]
            .find(end)
            .map_or(rest.len(), |at| from + at + end.len())
    };
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return until("*/", 2);
    }
    let hashes = rest
        .strip_prefix('r')
        .map(|raw| raw.len() - raw.trim_start_matches('#').len());
    if let Some(hashes) = hashes
        && !before.is_some_and(is_word)
        && rest[1 + hashes..].starts_with('"')
    {
        return until(&format!("\"{}", "#".repeat(hashes)), hashes + 2);
    }
    if rest.starts_with('"') {
        return quoted(rest, '"');
    }
    // A quote that is not closed after one character, escaped or not, is a lifetime.
    let mut chars = rest.chars();
    let is_char =
        chars.next() == Some('\'') && (chars.next() == Some('\\') || chars.next() == Some('\''));
    if is_char { quoted(rest, '\'') } else { 0 }
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Tests stand at the end of a file.
fn code_before_tests(text: &str) -> &str {
    let tests = text.match_indices("#[cfg(test)]").find(|(at, attribute)| {
        let item = text[at + attribute.len()..].trim_start();
        item.starts_with("mod ") && item.lines().next().is_some_and(|line| line.contains('{'))
    });
    tests.map_or(text, |(at, _)| &text[..at])
}

fn code_lines(text: &str) -> usize {
    code_before_tests(text).lines().count()
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

fn machine_paths(path: &str, text: &str) -> Vec<String> {
    let homes = ["root", "home", "Users", "work"].map(|folder| format!("/{folder}/"));
    let found = homes
        .iter()
        .flat_map(|home| text.match_indices(home.as_str()));
    let absolute = found.filter(|(at, home)| {
        let before = text[..*at].chars().next_back();
        let after = text[at + home.len()..].chars().next();
        !before.is_some_and(|c| is_word(c) || "./-~}*$".contains(c))
            && after.is_some_and(char::is_alphanumeric)
    });
    absolute
        .map(|(at, home)| {
            format!(
                "{path}:{}: `{home}…` is a path of one machine",
                line_of(text, at)
            )
        })
        .collect()
}
