//! Rules of the source tree that no compiler checks: who may use whom, module docs, file sizes, and
//! no path of one machine.
//!
//! A rule that no test checks rots. Each failure names `file:line`.

mod papers;

use std::fs;
use std::path::Path;

use anyhow::Result;

/// The crates of the host, lowest first, each with those that it is built from. Cargo forbids
/// circles; this list forbids the rest.
const ARROWS: [(&str, &[&str]); 12] = [
    ("model", &[]),
    ("client", &[]),
    ("config", &["model"]),
    ("store", &["model"]),
    ("sqlite", &["model", "store"]),
    ("postgres", &["model", "store"]),
    ("sandbox", &["model"]),
    ("engine", &["config", "model", "sandbox", "store"]),
    ("gate", &["engine", "model", "sandbox", "store"]),
    ("api", &["engine", "gate", "model", "sandbox", "store"]),
    (
        "http",
        &[
            "api", "config", "engine", "gate", "model", "sandbox", "store",
        ],
    ),
    (
        "gavel",
        &[
            "client", "config", "engine", "gate", "http", "model", "postgres", "sandbox", "sqlite",
            "store",
        ],
    ),
];

/// Crates of others that have one home, each with the crates of the host that may name it.
const HOMES: [(&str, &[&str]); 5] = [
    ("axum", &["http"]),
    ("reqwest", &["client", "engine", "gavel"]),
    ("rusqlite", &["sqlite"]),
    ("sqlx", &["postgres"]),
    ("wasmtime", &["sandbox"]),
];

/// The largest number of lines of a file, its tests not counted.
const MAX_LINES: usize = 500;

/// Names at any depth of what is made or fetched, not written.
const NOT_OURS: [&str; 4] = ["target", ".git", ".gavel", "node_modules"];

#[test]
fn crates_use_only_what_they_may() {
    let mut crates: Vec<_> = fs::read_dir(root().join("host"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    crates.sort();
    let mut listed = ARROWS.map(|(name, _)| name);
    listed.sort_unstable();
    assert_eq!(crates, listed);

    for (name, own) in ARROWS {
        let dependencies = dependencies_of(name).unwrap();
        let used: Vec<_> = dependencies
            .iter()
            .filter_map(|dependency| dependency.strip_prefix("gavel-"))
            .collect();
        assert_eq!(used, own, "what `{name}` is built from");
        for (foreign, homes) in HOMES {
            assert!(
                homes.contains(&name) || !dependencies.iter().any(|other| other == foreign),
                "`{name}` names `{foreign}`"
            );
        }
    }
}

/// A feature that a crate has only because another one asks for it is missed as soon as the crate
/// is built alone.
#[test]
fn every_crate_has_all_features_by_itself() {
    let own = |manifest: &toml::Table| {
        let dependencies = manifest["dependencies"].as_table().into_iter().flatten();
        let differing = dependencies
            .filter(|(_, how)| how.get("workspace").is_none() || how.get("features").is_some());
        differing.map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    // What `model` asks for the others have as well, since they are built from it.
    let others = ARROWS.iter().filter(|(name, _)| *name != "model");
    let findings = others.map(|(name, _)| {
        let differing = own(&manifest_of(name).unwrap());
        (!differing.is_empty())
            .then(|| format!("host/{name}: {} is not as for all", differing.join(", ")))
    });
    assert_none(findings.flatten().collect());
}

#[test]
fn every_crate_uses_what_it_is_built_from() {
    let sources = sources();
    let mut unused = Vec::new();
    for (name, _) in ARROWS {
        let folder = format!("host/{name}/");
        let is_named = |dependency: &str| {
            let identifier = dependency.replace('-', "_");
            sources
                .iter()
                .filter(|source| source.path.starts_with(&folder))
                .any(|source| names(&source.text, &identifier))
        };
        let dependencies = dependencies_of(name).unwrap();
        let idle = dependencies
            .iter()
            .filter(|dependency| !is_named(dependency));
        unused.extend(
            idle.map(|dependency| format!("{folder}Cargo.toml: nothing uses `{dependency}`")),
        );
    }
    assert_none(unused);
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
fn only_absolute_paths_are_machine_paths() {
    let absolute = concat!("see /ho", "me/someone/x");
    assert_eq!(machine_paths("a", absolute).len(), 1);
    assert!(machine_paths("a", &absolute.replace(" /", " target/")).is_empty());
}

struct Source {
    /// The path below the root, with `/`.
    path: String,
    text: String,
}

/// Tells whether the whole file is tests. The names and titles of tests say what they hold.
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
            .any(|source| source.path == "host/gavel/src/main.rs"),
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

fn manifest_of(name: &str) -> Result<toml::Table> {
    let path = root().join("host").join(name).join("Cargo.toml");
    Ok(toml::from_str(&fs::read_to_string(path)?)?)
}

/// The names of what a crate of the host is built from, sorted; what only its tests need is not
/// among them.
fn dependencies_of(name: &str) -> Result<Vec<String>> {
    let manifest = manifest_of(name)?;
    let dependencies = manifest["dependencies"].as_table();
    Ok(dependencies
        .into_iter()
        .flat_map(toml::Table::keys)
        .cloned()
        .collect())
}

/// Tells whether a text holds the identifier as a word of its own.
fn names(text: &str, identifier: &str) -> bool {
    text.match_indices(identifier).any(|(at, found)| {
        let before = text[..at].chars().next_back();
        let after = text[at + found.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
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
