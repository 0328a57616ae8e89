//! `cargo xtask words`: the measurable part of how comments and names are to read.
//!
//! - A doc comment opens with a verb in the third person or a noun with its article: an opening
//!   clause ("Whether …") or a pronoun leaves a stranger to guess what is meant.
//! - A comment line has 100 columns at most, as code has.
//! - A name means one type in the crates between configuration and command line. Those two and the
//!   crates of the wire repeat the names of what they configure and carry.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result, bail};
use proc_macro2::Span;
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, Ident, ItemEnum, ItemMod, ItemStruct, ItemTrait, ItemType, Lit, Meta};
use xshell::{Shell, cmd};

/// The most columns of a line of a comment (inclusive).
const MAX_COLUMNS: usize = 100;

/// The first words that begin a clause, or stand for something that was not named.
const NO_OPENINGS: [&str; 27] = [
    "Because", "How", "However", "If", "It", "Its", "Nobody", "Somebody", "That", "Their", "There",
    "These", "They", "Those", "What", "Whatever", "When", "Whenever", "Where", "Wherever",
    "Whether", "Which", "Who", "Whoever", "Whom", "Whose", "Why",
];

/// The crates in which a name means one type.
const ONE_NAME: [&str; 8] = [
    "host/engine/src/",
    "host/gate/src/",
    "host/http/src/",
    "host/model/src/",
    "host/postgres/src/",
    "host/sandbox/src/",
    "host/sqlite/src/",
    "host/store/src/",
];

/// Parts of the paths of files with tests alone.
const TESTS: [&str; 3] = ["/tests/", "/tests.rs", "/conformance/"];

/// Names that say by their module what they are, as `store::Error` does.
const BY_MODULE: [&str; 2] = ["Error", "Inner"];

/// Checks all Rust files that are committed, or could be.
///
/// # Errors
///
/// With every fault, each with its place.
pub(crate) fn check(sh: &Shell) -> Result<()> {
    let files = cmd!(sh, "git ls-files --cached --others --exclude-standard *.rs")
        .quiet()
        .read()?;
    let mut words = Words::default();
    for path in files.lines() {
        // Git knows files that were deleted until that is committed.
        let Ok(text) = fs::read_to_string(sh.current_dir().join(path)) else {
            continue;
        };
        words.read(path, &text)?;
    }
    let faults = words.into_faults();
    if !faults.is_empty() {
        bail!("{} faults:\n{}", faults.len(), faults.join("\n"));
    }
    Ok(())
}

/// The faults so far, and where each name of a type is.
#[derive(Debug, Default)]
struct Words {
    path: String,
    /// The last line of the doc comment that was read last.
    last_line: usize,
    is_test: bool,
    faults: Vec<String>,
    types: BTreeMap<String, BTreeSet<String>>,
}

impl Words {
    fn read(&mut self, path: &str, text: &str) -> Result<()> {
        path.clone_into(&mut self.path);
        self.last_line = 0;
        self.is_test = TESTS.iter().any(|tests| path.contains(tests));
        for (line, number) in text.lines().zip(1..) {
            let columns = line.chars().count();
            if line.trim_start().starts_with("//") && columns > MAX_COLUMNS {
                let fault = format!("{path}:{number}: a comment of {columns} columns");
                self.faults.push(fault);
            }
        }
        let file = syn::parse_file(text).with_context(|| format!("cannot read {path}"))?;
        self.visit_file(&file);
        Ok(())
    }

    fn into_faults(mut self) -> Vec<String> {
        for (name, paths) in self.types {
            if paths.len() > 1 && !BY_MODULE.contains(&name.as_str()) {
                let paths: Vec<_> = paths.into_iter().collect();
                let fault = format!("`{name}` names {} types: {}", paths.len(), paths.join(", "));
                self.faults.push(fault);
            }
        }
        self.faults
    }

    fn check_opening(&mut self, opening: &str, line: usize) {
        let word = opening
            .trim_start()
            .split(|c: char| !c.is_alphabetic())
            .next();
        if word.is_some_and(|word| NO_OPENINGS.contains(&word)) {
            let fault = format!("{}:{line}: opens with a clause:{opening}", self.path);
            self.faults.push(fault);
        }
    }

    fn name_type(&mut self, name: &Ident) {
        if !self.is_test && ONE_NAME.iter().any(|crate_| self.path.starts_with(crate_)) {
            let paths = self.types.entry(name.to_string()).or_default();
            paths.insert(self.path.clone());
        }
    }
}

impl<'ast> Visit<'ast> for Words {
    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        let Some((text, at)) = doc_of(attribute) else {
            return;
        };
        let line = at.start().line;
        if self.last_line + 1 != line {
            self.check_opening(&text, line);
        }
        self.last_line = line;
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        let is_test = |attribute: &Attribute| {
            attribute.path().is_ident("cfg")
                && matches!(&attribute.meta, Meta::List(list) if list.tokens.to_string() == "test")
        };
        let was_test = self.is_test;
        self.is_test |= module.attrs.iter().any(is_test);
        visit::visit_item_mod(self, module);
        self.is_test = was_test;
    }

    fn visit_item_struct(&mut self, item: &'ast ItemStruct) {
        self.name_type(&item.ident);
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast ItemEnum) {
        self.name_type(&item.ident);
        visit::visit_item_enum(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast ItemTrait) {
        self.name_type(&item.ident);
        visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast ItemType) {
        self.name_type(&item.ident);
        visit::visit_item_type(self, item);
    }
}

/// The line of a doc comment that an attribute is.
fn doc_of(attribute: &Attribute) -> Option<(String, Span)> {
    let Meta::NameValue(pair) = &attribute.meta else {
        return None;
    };
    let (true, Expr::Lit(literal)) = (pair.path.is_ident("doc"), &pair.value) else {
        return None;
    };
    match &literal.lit {
        Lit::Str(line) => Some((line.value(), attribute.span())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(files: &[(&str, &str)]) -> Vec<String> {
        let mut words = Words::default();
        for (path, text) in files {
            words.read(path, text).unwrap();
        }
        words.into_faults()
    }

    #[test]
    fn only_the_first_word_of_a_comment_is_an_opening() {
        let text = "//! Words.\n\n/// A name.\n/// What it means is up to its reader.\nstruct A {\n    \
                    /// Whether it is there.\n    b: bool,\n}\n";
        let found = faults(&[("xtask/src/a.rs", text)]);
        assert_eq!(
            found,
            ["xtask/src/a.rs:6: opens with a clause: Whether it is there."]
        );
    }

    #[test]
    fn a_line_of_a_comment_is_as_long_as_one_of_code() {
        let long = format!("// {}\n// {}\n", "x".repeat(97), "x".repeat(98));
        let found = faults(&[("xtask/src/a.rs", &long)]);
        assert_eq!(found, ["xtask/src/a.rs:2: a comment of 101 columns"]);
    }

    #[test]
    fn a_name_is_given_to_one_type_but_in_tests_and_at_the_edges() {
        let text = "struct A;\nenum Error {}\n#[cfg(test)]\nmod tests {\n    struct B;\n}\n";
        let found = faults(&[
            ("host/model/src/a.rs", text),
            ("host/store/src/a.rs", text),
            ("host/store/src/conformance/a.rs", text),
            ("host/api/src/a.rs", text),
        ]);
        assert_eq!(
            found,
            ["`A` names 2 types: host/model/src/a.rs, host/store/src/a.rs"]
        );
    }
}
